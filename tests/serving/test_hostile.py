"""Requests by the thousand over raw sockets: cut, slow, stalled, at once, malformed. The predictor holds."""

import json
import random
import re
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from data.log.spool import backlog
from tests.serving.running import PATIENCE, Running, running, wait_until

Student = dict[str, Any]
CLIENTS = 6
OPEN_AT_ONCE = 40  # connections that a client has begun and lets wait
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
PATHS = ["/", "/predict", "/predict/batch", "/outcomes", "/model", "/roster", "/login", "/metrics", "/x", "*"]
METHODS = ["GET", "POST", "HEAD", "OPTIONS", "DELETE", "BREW"]
ODD = [
    b"\r\n",
    b"\r",
    b"\x00",
    b": ",
    b"\xff",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n",
]

WATCH = """
import socket, sys, time
port, patience = int(sys.argv[1]), float(sys.argv[2])
slowest, asked = 0.0, 0
print("watching", flush=True)
while sys.stdin.readable() and not __import__("select").select([sys.stdin], [], [], 0.05)[0]:
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    slowest, asked = max(slowest, time.monotonic() - begun), asked + 1
print(asked, slowest, flush=True)
"""


class Sender:
    """One client that sends what it should not, and keeps what it was answered and what it sent whole."""

    def __init__(self, server: Running, student: Student, seed: int) -> None:
        self._port, self._student = server.port, json.dumps(student).encode()
        self._random = random.Random(seed)
        self._slow: deque[tuple[socket.socket, bytes, str]] = deque()
        self.statuses: Counter[int] = Counter()
        self.whole: set[str] = set()
        """Ids of outcomes of which the last byte was sent."""
        self.taken: set[str] = set()
        """Ids of outcomes that were answered 202."""

    def send(self, count: int) -> None:
        kinds: list[Callable[[], None]] = [self.ask, self.ask_at_once, self.report, self.report_cut]
        kinds += [self.mutate, self.babble, self.begin, self.reset]
        for _ in range(count):
            self._random.choice(kinds)()
        while self._slow:
            self._go_on()

    def ask(self) -> None:
        self._exchange(self._request("POST", "/predict", self._student))

    def ask_at_once(self) -> None:
        some = [self._request("POST", "/predict", self._student) for _ in range(self._random.randint(2, 5))]
        self._exchange(b"".join([*some, self._request("GET", self._random.choice(PATHS), b"")]))

    def report(self) -> None:
        sent, name = self._outcome()
        self.whole.add(name)
        if 202 in self._exchange(sent):
            self.taken.add(name)

    def report_cut(self) -> None:
        sent, _ = self._outcome()
        self._exchange(sent[: self._random.randint(1, len(sent) - 1)])

    def mutate(self) -> None:
        path, body = self._random.choice(PATHS), self._random.choice([self._student, b"Age\n17\n", b""])
        sent = bytearray(self._request(self._random.choice(METHODS), path, body))
        for _ in range(self._random.randint(1, 4)):
            place, odd = self._random.randrange(len(sent)), self._random.choice(ODD)
            sent[place : place + self._random.randint(0, 8)] = odd
        if b"/outcomes" not in sent:
            self._exchange(bytes(sent))

    def babble(self) -> None:
        self._exchange(self._random.randbytes(self._random.randint(1, 3_000)))

    def begin(self) -> None:
        """Begin a request, and end it or not when others have begun."""
        sent, name = self._outcome()
        place = self._random.randint(1, len(sent) - 1)
        with suppress(OSError):
            connection = self._connect()
            connection.sendall(sent[:place])
            rest = sent[place:] if self._random.random() < 0.5 else b""
            self._slow.append((connection, rest, name))
        if len(self._slow) > OPEN_AT_ONCE:
            self._go_on()

    def reset(self) -> None:
        """Send a forecast's record, and be gone with a reset before the answer."""
        with suppress(OSError), self._connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(self._request("POST", "/predict", self._student))

    def _go_on(self) -> None:
        connection, rest, name = self._slow.popleft()
        with connection:
            if rest:
                self.whole.add(name)
                if 202 in self._finish(connection, rest):
                    self.taken.add(name)

    def _outcome(self) -> tuple[bytes, str]:
        """An outcome as JSON, or with another one as a CSV that could be cut between them."""
        name = self._random.randbytes(16).hex()
        if self._random.random() < 0.5:
            return self._request(
                "POST", "/outcomes", json.dumps({"prediction_id": name, "grade_class": "B"}).encode()
            ), name
        body = f"prediction_id,grade_class\n{name},B\n{name},B".encode()
        return self._request("POST", "/outcomes", body, b"text/csv"), name

    def _request(self, method: str, path: str, body: bytes, kind: bytes = b"application/json") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: ".encode() + kind + b"\r\n"
        if self._random.random() < 0.7:
            return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        half = len(body) // 2
        chunks = [
            f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:half], body[half:]) if part
        ]
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n"

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)

    def _exchange(self, sent: bytes) -> list[int]:
        try:
            with self._connect() as connection:
                return self._finish(connection, sent)
        except OSError:
            return []

    def _finish(self, connection: socket.socket, sent: bytes) -> list[int]:
        """Send the last there is to be sent, and return the statuses of what comes."""
        said = b""
        with suppress(OSError):  # it was reset, or let go for being too slow
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while some := connection.recv(65_536):
                said += some
        statuses = [int(status) for status in STATUS.findall(said)]
        self.statuses.update(statuses)
        return statuses


@contextmanager
def watched(server: Running, patience: float) -> Iterator[None]:
    """Ask for the predictor's health all the while; fails where it is not answered in so many seconds."""
    command = [sys.executable, "-c", WATCH, str(server.port), str(patience)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "watching\n"
        yield
        said, _ = watcher.communicate("stop\n")
        assert watcher.returncode == 0
        asked, slowest = said.split()
        print(f"health asked {asked} times, the slowest answer after {float(slowest):.3f} s")
        assert int(asked) > 0


def sweep(home: Path, bundle: Path, student: Student, count: int, patience: float) -> None:
    """Send so many requests; nothing may fall over, and nothing be recorded that was not sent whole."""
    with running(home, GRADECAST_MODEL_URI=bundle, GRADECAST_REQUEST_SECONDS=5) as server:
        wait_until(lambda: server.ready()[0] == 200, "there is a model")
        workers = sorted(server.workers())
        senders = [Sender(server, student, seed) for seed in range(CLIENTS)]
        threads = [threading.Thread(target=sender.send, args=(count // CLIENTS,)) for sender in senders]
        with watched(server, patience):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        statuses = sum((sender.statuses for sender in senders), Counter[int]())
        print(f"{count} requests: {dict(sorted(statuses.items()))}")
        assert sorted(server.workers()) == workers
        assert {status for status in statuses if status >= 500} <= {503}
        assert {200, 202, 400} <= statuses.keys()
        assert '"level": "error"' not in server.said.read_text()
        wait_until(lambda: backlog(home).files == 0, "all is drained")
        with closing(sqlite3.connect(home / "predictions.db")) as database:
            recorded = {str(row[0]) for row in database.execute("SELECT prediction_id FROM outcomes")}
    assert set().union(*(sender.taken for sender in senders)) <= recorded
    assert recorded <= set().union(*(sender.whole for sender in senders))


def test_hundreds_of_hostile_requests_do_no_harm(
    tmp_path: Path, bundle_folder: Path, student: Student
) -> None:
    sweep(tmp_path / "home", bundle_folder, student, count=600, patience=PATIENCE)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_hundred_thousand_hostile_requests_do_no_harm_and_health_is_answered_within_a_second(
    tmp_path: Path, bundle_folder: Path, student: Student
) -> None:
    sweep(tmp_path / "home", bundle_folder, student, count=100_002, patience=1.0)
