"""Final names: what has one is whole, and still is after a loss of power. And locks of files."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def file_lock(
    path: Path, *, shared: bool = False, blocking: bool = True, create: bool = True
) -> Iterator[int]:
    """Hold a lock on a file, made if need be, and yield its descriptor.

    A shared lock can be held by many, an exclusive one by one process alone. A child that inherits
    the descriptor holds the lock too, for as long as it lives.

    Raises:
        BlockingIOError: another process holds the lock and `blocking` is false.
        FileNotFoundError: there is no such file, or folder, and `create` is false.
    """
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY, 0o644)
    try:
        lock(descriptor, shared=shared, blocking=blocking)
        yield descriptor
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, shared: bool = False, blocking: bool = True) -> None:
    """Lock an open file until it is closed; raises BlockingIOError as `file_lock` does."""
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    fcntl.flock(descriptor, mode if blocking else mode | fcntl.LOCK_NB)


def is_locked(path: Path) -> bool:
    """Tell whether a process holds an exclusive lock on a file; a file that is not there is free."""
    try:
        with file_lock(path, shared=True, blocking=False, create=False):
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
