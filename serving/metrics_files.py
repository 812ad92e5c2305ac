"""The folder in which the workers' counters meet, one file a process and kind.

A dead worker's counts are added to one file that no worker writes and its own files go: nothing
falls, nothing is left behind. The lock keeps whoever reads from seeing a count twice or not at all.
"""

import fcntl
import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from data.durable import file_lock
from data.errors import BadInput

# prometheus_client reads FOLDER when it is imported, and Gunicorn's settings, which set it, import this.
if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client knows the folder."""
LOCK = ".lock"
DEAD = "0"
"""Stands for the process in the names of the files that hold the dead workers' counts."""
ROOM = 1 << 17
"""Bytes that a file has at first: of some fifty routes and statuses, a histogram each."""


def hold_folder(folder: Path, whom: str) -> IO[str]:
    """Keep the folder to this process for as long as what is returned is open.

    Unlike that of `file_lock`, the lock is not inherited by children. `whom` is told to others that want
    the folder: they get BadInput.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f"{folder.name}.lock").open("a+", encoding="utf-8")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with lock:
            lock.seek(0)
            raise BadInput(lock.read() or "another process") from error
    with suppress(OSError):  # a full disk: it is held all the same
        os.truncate(lock.fileno(), 0)
        os.write(lock.fileno(), f"process {os.getpid()}, {whom}".encode())
    return lock


def empty_folder(folder: Path) -> None:
    """Make the folder anew; the master calls it before there are workers."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def fold_dead(folder: Path, living: Collection[int]) -> None:
    """Add the counts of workers that live no more to those of the dead, and remove their files.

    Where the disk is full they stay as they are, counted all the same, until there is room.
    """
    with suppress(OSError), file_lock(folder / LOCK):
        for file in sorted(folder.glob("*.db")):
            kind, _, process = file.stem.rpartition("_")
            if process != DEAD and int(process) not in living:
                _add_file(file, file.with_name(f"{kind}_{DEAD}.db"))
                file.unlink()


def read_folder(folder: Path) -> "Iterable[Metric]":
    """Return the counts of all workers, living and dead; none where the folder could not be made."""
    from prometheus_client.multiprocess import MultiProcessCollector

    merge: Any = MultiProcessCollector.merge
    try:
        with file_lock(folder / LOCK, shared=True):
            files = [str(file) for file in folder.glob("*.db") if file.stat().st_size]
            return list(merge(files))
    except OSError:
        return []


def reserve(path: Path, size: int) -> None:
    """Have the disk set aside so many bytes for a file that is to be mapped; raises OSError where it is full.

    Whoever writes to a mapped page that the disk then has no room for is killed (SIGBUS).
    """
    with path.open("ab") as file:
        before = file.tell()
        if before >= size:
            return
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), before, size - before)
            else:
                file.write(bytes(size - before))
                file.flush()
        except OSError:
            os.truncate(path, before)
            raise


def _add_file(source: Path, total: Path) -> None:
    """Add a file's values to another's, which is replaced in one step; raises OSError where it cannot be."""
    from prometheus_client import mmap_dict

    counts_in: Any = mmap_dict.MmapedDict
    values: dict[str, float] = defaultdict(float)
    files = [file for file in (total, source) if file.exists() and file.stat().st_size]
    for file in files:
        for key, value, _, _ in counts_in.read_all_values_from_file(file):
            values[key] += value
    draft = total.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    try:
        reserve(draft, max((sum(file.stat().st_size for file in files), ROOM)))
        counts = counts_in(str(draft))
        for key, value in values.items():
            counts.write_value(key, value, 0.0)
        counts.close()
        draft.replace(total)
    finally:
        draft.unlink(missing_ok=True)
