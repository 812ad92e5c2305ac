"""Locks between processes: released by the kernel however their holder ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path, *, shared: bool = False, blocking: bool = True) -> Iterator[int]:
    """Hold a lock on a file, made if need be, and yield its descriptor.

    A shared lock can be held by many, an exclusive one by one process alone. A child that inherits
    the descriptor holds the lock too, for as long as it lives.

    Raises:
        BlockingIOError: another process holds the lock and `blocking` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, mode if blocking else mode | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Tell whether a process holds an exclusive lock on a file; a file that is not there is free."""
    if not path.exists():
        return False
    try:
        with file_lock(path, shared=True, blocking=False):
            return False
    except BlockingIOError:
        return True
