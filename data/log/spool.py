"""The spool: what has been answered and the database does not have yet, in files of JSON lines.

A worker appends to a file of its own, `*.jsonl`, without ever waiting for a database. It holds the file
locked for a second or until it dies; an append is one write, whole before it returns: it survives the death
of any process, not the loss of power. Whoever drains takes a file that nobody holds, by renaming it under
its lock; a taken file belongs to whoever has the spool's own lock, and is removed once the database has its
lines.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from data.durable import file_lock, lock, put
from data.log.entries import Entry

ACTIVE, TAKEN = ".jsonl", ".taken"
REFUSED = "refused.lines"
"""The file of lines that no database took: kept for people to look at, and covered by erasure."""
ATTEMPTS = 100  # at a new file that the drainer does not take at the same moment
SECONDS = 1.0  # that a file is written to, then the drainer may have it
FRESH = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL


class SpoolError(RuntimeError):
    """Nothing could be written down, and so nothing may be answered: a full disk, most likely."""


class Spool:
    """One process's end of the spool; its threads may share it, and it may be made before a fork.

    A file is locked for as long as it is written to, so that an entry costs one system call.
    """

    def __init__(self, folder: Path) -> None:
        """Write into this folder (`settings.spool`), which need not exist yet."""
        self._folder, self._lock = folder, threading.Lock()
        self._descriptor, self._owner = -1, -1

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries down, all or none; raises SpoolError, after which they count as not written."""
        lines = b"".join(map(_line, entries))
        if not lines:
            return
        with self._lock:
            try:
                if self._descriptor < 0 or self._owner != os.getpid():
                    self._open()
                self._write(lines)
            except OSError as error:
                self._close()
                raise SpoolError(f"{self._folder}: {error}") from error

    def close(self) -> None:
        """Let the drainer have what is written; the next entries begin another file."""
        with self._lock:
            self._close()

    def _write(self, lines: bytes) -> None:
        written = os.write(self._descriptor, lines)
        if written < len(lines):  # the disk is full: what is there of a line must not stay
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            raise SpoolError(f"{self._folder}: no space left for what was to be logged")

    def _open(self) -> None:
        """Begin a file, and see to it that it is let go of though nothing more may ever be written."""
        self._close()  # before a fork it was the parent's
        self._folder.mkdir(parents=True, exist_ok=True)
        self._descriptor, self._owner = _new_file(self._folder), os.getpid()
        closing = threading.Timer(SECONDS, self.close)
        closing.daemon = True
        try:
            closing.start()
        except RuntimeError as error:
            raise OSError(f"no thread can be started: {error}") from error

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def _new_file(folder: Path) -> int:
    """Return the descriptor of a new file, locked before the drainer could take it; its name says its age."""
    for _ in range(ATTEMPTS):
        path = folder / f"{time.time_ns():020d}-{os.getpid()}{ACTIVE}"
        descriptor = os.open(path, FRESH, 0o600)
        try:
            lock(descriptor, blocking=False)
            if path.exists():
                return descriptor
        except BlockingIOError:  # it is being taken at this moment
            pass
        os.close(descriptor)
    raise SpoolError(f"{folder}: its files are taken as fast as they are made")


def _line(entry: Entry) -> bytes:
    try:
        return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits
        return json.dumps(entry, default=str).encode() + b"\n"


class Backlog(NamedTuple):
    """What waits in the spool: files with lines in them, their bytes, the age of the oldest."""

    files: int
    bytes: int
    oldest_seconds: float


def backlog(home: Path) -> Backlog:
    """Return what the database does not have yet; cheap, and needs no database."""
    waiting = []
    for path in spooled(home / "spool", ACTIVE) + spooled(home / "spool", TAKEN):
        with suppress(FileNotFoundError):  # taken or drained since it was listed
            if size := path.stat().st_size:
                waiting.append((int(path.name.partition("-")[0]) / 1e9, size))
    now = time.time()
    oldest = min((born for born, _ in waiting), default=now)
    return Backlog(len(waiting), sum(size for _, size in waiting), max(0.0, now - oldest))


def drained_alone(folder: Path) -> AbstractContextManager[int]:
    """Hold the spool's lock: nobody else takes, drains or erases meanwhile; workers write on."""
    return file_lock(folder / ".lock")


def spooled(folder: Path, suffix: str) -> list[Path]:
    """Return the files, oldest first, that are ACTIVE (workers append, or have let go) or TAKEN."""
    return sorted(folder.glob(f"*{suffix}"))


def take(folder: Path) -> list[Path]:
    """Take the files that workers have let go of, or died over; return all that are taken, oldest first."""
    for path in spooled(folder, ACTIVE):
        # A worker may have it; or it was taken since it was listed.
        with suppress(BlockingIOError, FileNotFoundError), file_lock(path, blocking=False, create=False):
            path.rename(path.with_suffix(TAKEN))
    return spooled(folder, TAKEN)


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
