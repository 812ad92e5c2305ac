"""The Gunicorn worker, for real: slow and silent senders, too much at once, deaths, and a graceful stop."""

import csv
import io
import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.serving.running import PATIENCE, Running, running, wait_until
from tests.serving.test_metrics import value

Student = dict[str, Any]
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bundle_folder: Path) -> Iterator[Running]:
    """One worker of two threads with little patience."""
    home = tmp_path_factory.mktemp("worker")
    own = {"WEB_CONCURRENCY": 1, "GRADECAST_THREADS": 2, "GRADECAST_REQUEST_SECONDS": 1}
    with running(home, GRADECAST_MODEL_URI=bundle_folder, GRADECAST_MAX_IN_FLIGHT=10, **own) as found:
        wait_until(lambda: found.ready()[0] == 200, "there is a model")
        yield found


def send(server: Running, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(sent)
    return connection


def metrics(server: Running) -> str:
    with closing(server.connect()) as connection:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


def test_connections_that_say_nothing_stop_nobody(server: Running, student: Student) -> None:
    with ExitStack() as silent:
        for _ in range(30):
            silent.enter_context(send(server, b""))
        assert server.post("/predict", student)[0] == 200


@pytest.mark.parametrize("part", [b"POST /pre", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{"])
def test_who_sends_too_slowly_is_let_go(server: Running, student: Student, part: bytes) -> None:
    with ExitStack() as slow:
        connections = [slow.enter_context(send(server, part)) for _ in range(3)]
        assert server.post("/predict", student)[0] == 200
        for connection in connections:
            said = connection.recv(65_536)
            assert said == b"" or said.startswith(b"HTTP/1.1 400")


def test_too_much_at_once_is_shed_and_nothing_falls_over(server: Running, student: Student) -> None:
    body = [student] * 1_000
    with ThreadPoolExecutor(40) as clients:
        statuses = [status for status, _ in clients.map(lambda _: server.post("/predict", body), range(80))]
    assert set(statuses) == {200, 503}
    assert server.post("/predict", student)[0] == 200
    assert value(metrics(server), "gradecast_requests_total", route="/predict", status="503") > 0


def test_counts_survive_a_worker_that_is_killed(server: Running, student: Student) -> None:
    for _ in range(5):
        assert server.post("/predict", student)[0] == 200
    before = value(metrics(server), "gradecast_requests_total", route="/predict", status="200")
    (killed,) = server.workers()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: server.workers() not in ([], [killed]), "there is another worker")
    wait_until(lambda: server.ready()[0] == 200, "it answers")
    assert value(metrics(server), "gradecast_requests_total", route="/predict", status="200") == before
    assert list((server.said.parent / "metrics").glob(f"*_{killed}.db")) == []


def test_a_graceful_stop_finishes_what_is_in_flight(
    tmp_path: Path, bundle_folder: Path, student: Student
) -> None:
    text = "\n".join([",".join(student), *[",".join(map(str, student.values()))] * 20_000])
    with running(tmp_path / "home", GRADECAST_MODEL_URI=bundle_folder, WEB_CONCURRENCY=1) as server:
        wait_until(lambda: server.ready()[0] == 200, "there is a model")
        with closing(server.connect()) as connection:
            connection.request("POST", "/predict/batch", text, {"Content-Type": "text/csv"})
            answer = connection.getresponse()
            start = answer.read(1_000)
            server.master.send_signal(signal.SIGTERM)
            rows = list(csv.DictReader(io.StringIO((start + answer.read()).decode())))
    assert len(rows) == int(answer.headers["X-Row-Count"]) == 20_000
    assert all(row["grade_class"] for row in rows)
    (line,) = [json.loads(line) for line in server.said.read_text().splitlines() if "/predict/batch" in line]
    assert line["status"] == 200
