"""How a worker writes down what it is about to answer, without ever waiting for a database.

`append` is one write to a file of the worker's own, whole before it returns: the worker may be killed
right after. It survives the death of any process, not the loss of power.
"""

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import orjson

from data.durable import lock
from data.log.entries import Entry
from data.log.spool import new_name

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
    """Return the descriptor of a new file, locked before the drainer could take it."""
    for _ in range(ATTEMPTS):
        path = new_name(folder)
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
