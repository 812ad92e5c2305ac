"""The predictor as `make serve` runs it, for tests: started, asked, and ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OWN = ROOT / ".venv-serving" / "bin" / "python"
PYTHON = str(OWN) if OWN.exists() else sys.executable
PATIENCE = 60.0  # seconds, on a busy machine

Answer = Any


@dataclass(frozen=True)
class Running:
    """A predictor on a port of 127.0.0.1."""

    master: subprocess.Popen[bytes]
    port: int
    said: Path

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def get(self, path: str) -> tuple[int, Answer]:
        with closing(self.connect()) as connection:
            return ask(connection, path)

    def post(self, path: str, body: object) -> tuple[int, Answer]:
        with closing(self.connect()) as connection:
            return ask(connection, path, body)

    def text(self, path: str) -> str:
        with closing(self.connect()) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def ready(self) -> tuple[int, Answer]:
        return self.get("/health/ready")

    def version(self) -> str | None:
        return self.ready()[1].get("model_version")

    def beside(self, module: str) -> list[int]:
        """The process ids of a module that runs beside the workers."""
        return [pid for pid, words in children(self.master.pid) if module in words]

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [pid for pid, words in children(self.master.pid) if "serving.processes" not in words]


def ask(connection: HTTPConnection, path: str, body: object = None) -> tuple[int, Answer]:
    """Ask once; return the status and the parsed answer."""
    sent = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, sent, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@contextmanager
def running(home: Path, **variables: object) -> Iterator[Running]:
    """Run a predictor until the block ends; it must then end well by itself."""
    said = home / "said.txt"
    with serve(home, said, variables) as server:
        wait_until(lambda: answers(server), "it answers")
        yield server
        server.master.send_signal(signal.SIGTERM)
        assert server.master.wait(PATIENCE) == 0, said.read_text()


@contextmanager
def serve(home: Path, said: Path, variables: Mapping[str, object]) -> Iterator[Running]:
    """Start a predictor, and see to it that nothing is left of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    home.mkdir(parents=True, exist_ok=True)
    own = {"GRADECAST_HOME": home, "PORT": port, "GRADECAST_SYNC_SECONDS": 0.1, **variables}
    environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
    command = [PYTHON, "-m", "gunicorn", "-c", "serving/gunicorn.conf.py"]
    with said.open("wb") as stream:
        master = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stream, start_new_session=True)
    try:
        yield Running(master, port, said)
    finally:
        if master.poll() is None:
            os.killpg(master.pid, signal.SIGKILL)
            master.wait()


def answers(server: Running) -> bool:
    """Whether it answers at all; fails the test if it has ended."""
    assert server.master.poll() is None, server.said.read_text()
    try:
        return server.get("/health/live")[0] == 200
    except ConnectionError:
        return False


def wait_until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until something holds; fails the test if it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.02)


def children(parent: int) -> list[tuple[int, list[str]]]:
    """The process ids and command lines of a process's children."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [(int(row[0]), row[2:]) for row in rows if int(row[1]) == parent]


def alive(pid: int) -> bool:
    """Whether a process still runs, and is not merely waiting to be buried."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")
