"""Import every module of the folders that are named: `python containers/import_all.py data flows serving`."""

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(folders: list[str]) -> None:
    """Import them; the first that cannot be imported ends it."""
    sys.path.insert(0, str(ROOT))
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if name.replace(".", "").replace("_", "").isalnum() and not path.name.endswith(".conf.py"):
                importlib.import_module(name)
                print(name)


if __name__ == "__main__":
    main(sys.argv[1:])
