"""Fingerprints: what a result depends on, as one digest, so that equal work is done once."""

import hashlib
import json
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def fingerprint(**parts: Any) -> str:
    """Return 16 hex digits of the SHA-256 of named parts that can be written as JSON."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_digest(*folders: str) -> str:
    """Return the digest of the Python and YAML files in folders of the repository."""
    files = sorted(path for folder in folders for path in _sources(ROOT / folder))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def git_commit() -> str:
    """Return the commit of the code, with "+changes" when it differs; "unknown" outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return f"{commit}+changes" if _git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _sources(place: Path) -> Iterable[Path]:
    return (path for path in place.rglob("*") if path.suffix in (".py", ".yaml"))
