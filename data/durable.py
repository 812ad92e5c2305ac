"""Final names: what has one is whole, and still is after a loss of power."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Have the disk keep a file, or a folder with everything in it."""
    if path.is_symlink():
        return
    if path.is_dir():
        for inside in path.iterdir():
            flush(inside)
    _flush_one(path)


def put(draft: Path, final: Path) -> None:
    """Give a file, a folder or a link its final name in one step, once the disk has all that is in it.

    What has the name already is replaced, but for a folder that is not empty: that raises OSError.
    """
    flush(draft)
    draft.replace(final)
    _flush_one(final.parent)


def write_whole(final: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file, in the place of the one before, whoever else does so at the same time."""
    draft = final.with_name(f".{final.name}.{os.getpid()}")  # one killed leaves it to the next of its number
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
        put(draft, final)
    finally:
        draft.unlink(missing_ok=True)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
