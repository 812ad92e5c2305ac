"""Logs as JSON lines: one for each request, Gunicorn's own, and errors without what they were about.

No line holds a path, a query, a body or an error's message: any of them could name a student. Who asked is
there by address alone.
"""

import json
import logging
import os
import re
import sys
import threading
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
STDERR = 2
MOST_GATHERED = 12
"""Lines of at most 310 bytes: together no more than the 4,096 bytes that a pipe takes whole."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class RequestIds:
    """Ids of requests: the caller's own where it brings a plain one, else a new one."""

    def __init__(self) -> None:
        self._prefix, self._numbers = os.urandom(6).hex(), count(1)

    def of(self, given: str | None) -> str:
        """Return the id of a request that came with this X-Request-ID, if with any."""
        if given and REQUEST_ID.fullmatch(given):
            return given
        return f"{self._prefix}-{next(self._numbers):x}"


class RequestLog:
    """One line for each answered request, on the standard error.

    Under our Gunicorn worker, which flushes every second, lines are gathered: a write a request would
    cost a tenth of a forecast. They go out in pieces that a pipe takes whole, so no line is cut by another
    process's.
    """

    def __init__(self) -> None:
        self.gathers = False
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def add(self, request_id: str, client: str, method: str, route: str, status: str, seconds: float) -> None:
        """Write the line of one request, or keep it for the next flush."""
        self._lines.append(
            f'{{"time":"{_now()}","level":"info","request_id":"{request_id}","client":"{client}","method":"{method}",'
            f'"route":"{route}","status":{status},"ms":{seconds * 1e3:.2f}}}\n'
        )
        if len(self._lines) >= MOST_GATHERED or not self.gathers:
            self.flush()

    def flush(self) -> None:
        """Write what has been gathered."""
        with self._lock:
            lines, self._lines = self._lines, []
        if lines:
            with suppress(OSError):  # on a full disk lines are lost, and no request is
                os.write(STDERR, "".join(lines).encode())


def log_error(error: BaseException, trace: TracebackType | None, request_id: str = "") -> None:
    """Write an unforeseen error as one line: its type and where it was raised, not its message."""
    entry = {"time": _now(), "level": "error", **_without_message(error, trace)}
    if request_id:
        entry["request_id"] = request_id
    with suppress(OSError):
        sys.stderr.write(json.dumps(entry) + "\n")


class JsonFormatter(logging.Formatter):
    """A record of the logging package as one JSON line; an exception as in `log_error`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info and record.exc_info[1] is not None:
            entry |= _without_message(record.exc_info[1], record.exc_info[2])
        return json.dumps(entry)


def log_json_lines() -> None:
    """Have the logging package write JSON lines on the standard error, from warnings on."""
    lines = logging.StreamHandler()
    lines.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[lines])


class JsonLogger(Logger):  # type: ignore[misc]
    """Gunicorn's logger, in JSON lines."""

    def setup(self, cfg: Any) -> None:
        """Set the handlers up as Gunicorn does, and give them our formatter, and ours to all others."""
        super().setup(cfg)
        log_json_lines()
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonFormatter())


def _without_message(error: BaseException, trace: TracebackType | None) -> dict[str, Any]:
    """Return an error's type and where it was raised, the innermost place first."""
    frames = reversed(traceback.extract_tb(trace))
    return {
        "error": type(error).__name__,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
