"""Changes to a bundle, as one who means harm would make them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.bundle.manifest import MANIFEST
from data.durable import digest

Edit = Callable[[dict[str, Any]], object]


def rewrite(folder: Path, name: str, edit: Edit) -> None:
    """Change a JSON file of a bundle, and its digest in the manifest where it has one."""
    content = json.loads((folder / name).read_bytes())
    edit(content)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    if name != MANIFEST:
        seal(folder, name)


def seal(folder: Path, name: str) -> None:
    """Write a file's digest into the manifest."""
    rewrite(folder, MANIFEST, lambda manifest: manifest["files"].update({name: digest(folder / name)}))
