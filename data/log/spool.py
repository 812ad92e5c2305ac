"""The spool: what has been answered and the database does not have yet, in files of JSON lines.

A worker appends to a file of its own, `*.jsonl`, which it holds locked for a second or until it dies.
Whoever drains takes a file that nobody holds, by renaming it under its lock; a taken file belongs to
whoever has the spool's own lock, and is removed once the database has its lines.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from data.durable import file_lock, put

ACTIVE, TAKEN = ".jsonl", ".taken"
REFUSED = "refused.lines"
"""The file of lines that no database took: kept for people to look at, and covered by erasure."""


class Backlog(NamedTuple):
    """What waits in the spool: files with lines in them, their bytes, the age of the oldest."""

    files: int
    bytes: int
    oldest_seconds: float


def backlog(home: Path) -> Backlog:
    """Return what the database does not have yet; cheap, and needs no database."""
    waiting = []
    for path in _files(home / "spool", ACTIVE) + _files(home / "spool", TAKEN):
        try:
            size = path.stat().st_size
        except FileNotFoundError:  # taken or drained since it was listed
            continue
        if size:
            waiting.append((_born(path), size))
    oldest = min((born for born, _ in waiting), default=None)
    seconds = 0.0 if oldest is None else max(0.0, time.time() - oldest)
    return Backlog(len(waiting), sum(size for _, size in waiting), seconds)


def new_name(folder: Path) -> Path:
    """Return a path for a new file, which says when it was begun and by which process."""
    return folder / f"{time.time_ns():020d}-{os.getpid()}{ACTIVE}"


@contextmanager
def drained_alone(folder: Path) -> Iterator[None]:
    """Hold the spool's lock: nobody else takes, drains or erases meanwhile; workers write on."""
    with file_lock(folder / ".lock"):
        yield


def taken(folder: Path) -> list[Path]:
    """Return the files taken already, oldest first."""
    return _files(folder, TAKEN)


def worked_on(folder: Path) -> list[Path]:
    """Return the files that workers append to or have let go of, oldest first."""
    return _files(folder, ACTIVE)


def take(folder: Path) -> list[Path]:
    """Take the files that workers have let go of, or died over; return all that are taken, oldest first."""
    for path in worked_on(folder):
        _take(path)
    return taken(folder)


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield a taken file's lines; a last one without its end is left out, for it was never answered."""
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))


def keep_lines(path: Path, wanted: Callable[[bytes], bool]) -> int:
    """Rewrite a file with the wanted lines alone, whole or not at all; return how many went."""
    draft, gone = path.with_name(".draft"), 0
    with draft.open("wb") as kept:
        for line in whole_lines(path):
            if wanted(line):
                kept.write(line)
            else:
                gone += 1
    if gone:
        put(draft, path)
    draft.unlink(missing_ok=True)
    return gone


def _take(path: Path) -> None:
    try:
        with file_lock(path, blocking=False, create=False):
            path.rename(path.with_suffix(TAKEN))
    except (BlockingIOError, FileNotFoundError):  # a worker has it; or it was taken since it was listed
        return


def _files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*{suffix}"))


def _born(path: Path) -> float:
    """Return when a file was begun, in seconds since 1970: its name says it."""
    return int(path.name.partition("-")[0]) / 1e9
