"""The Gunicorn worker, for real: what is slow, cut, malformed or too much, deaths, and a graceful stop."""

import csv
import io
import json
import os
import re
import signal
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from data.log.spool import backlog
from tests.serving.running import PATIENCE, Running, running, wait_until
from tests.serving.test_metrics import value

Student = dict[str, Any]
MANY = 5_000  # records, whose answer with reasons is more than the system keeps for a client
MOST = 100  # connections of the patient one
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@contextmanager
def one_worker(home: Path, bundle: Path, **variables: object) -> Iterator[Running]:
    """One worker of two threads that has a model."""
    own = {"WEB_CONCURRENCY": 1, "GRADECAST_THREADS": 2, **variables}
    with running(home, GRADECAST_MODEL_URI=bundle, **own) as found:
        wait_until(lambda: found.ready()[0] == 200, "there is a model")
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bundle_folder: Path) -> Iterator[Running]:
    """A worker with little patience."""
    little = {"GRADECAST_REQUEST_SECONDS": 1, "GRADECAST_MAX_IN_FLIGHT": 20}
    with one_worker(tmp_path_factory.mktemp("worker"), bundle_folder, **little) as found:
        yield found


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, bundle_folder: Path) -> Iterator[Running]:
    """A worker that takes few connections and waits for long."""
    long: dict[str, object] = {"GRADECAST_REQUEST_SECONDS": PATIENCE, "GRADECAST_MAX_RECORDS": MANY}
    long["GUNICORN_CMD_ARGS"] = f"--worker-connections {MOST}"
    with one_worker(tmp_path_factory.mktemp("patient"), bundle_folder, **long) as found:
        yield found


def send(server: Running, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(sent)
    return connection


def test_connections_that_say_nothing_stop_nobody(server: Running, student: Student) -> None:
    with ExitStack() as silent:
        for _ in range(30):
            silent.enter_context(send(server, b""))
        assert server.post("/predict", student)[0] == 200


def parts(path: str, kind: str, body: bytes) -> dict[str, bytes]:
    """A request without its last byte, told by length and in chunks."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n".encode()
    length, size = f"Content-Length: {len(body) + 1}\r\n\r\n".encode(), f"{len(body):x}\r\n".encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n" + size + body
    return {"length": head + length + body, "chunks": head + chunked + b"\r\n0\r\n", "cut": head + chunked}


FORM = "multipart/form-data; boundary=b"
UPLOAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n%s\r\n--b--\r\n'
OUTCOMES = b"StudentID,GPA\n1,3.95\n2,2.0"
BODIES = {
    "/outcomes": [
        ("text/csv", OUTCOMES),
        ("application/json", b'{"StudentID": 1, "GPA": 3}'),
        (FORM, UPLOAD % OUTCOMES),
    ],
    "/predict": [("application/json", b"[]")],
    "/predict/batch": [("text/csv", b"Age\n17"), (FORM, UPLOAD % b"Age\n17")],
    "/roster": [(FORM, UPLOAD % b"Age\n17")],
    "/login": [("application/x-www-form-urlencoded", b"key=x")],
    "/nowhere": [("text/plain", b"x")],
}
CUT = {
    f"{path} {kind[:9]} {how}": sent
    for path, bodies in BODIES.items()
    for kind, body in bodies
    for how, sent in parts(path, kind, body).items()
}


SEVERAL = [b"POST /pre", HEAD, *(part for part in CUT.values() if b"/predict/batch" not in part)]
SLOW = [*SEVERAL, parts("/predict/batch", "text/csv", b"Age\n17")["chunks"]]


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def status_of(said: bytes) -> int:
    return int(said.split()[1])


def outcomes(server: Running) -> int:
    """How many outcomes have been taken."""
    home = server.said.parent
    wait_until(lambda: backlog(home).files == 0, "all is drained")
    with closing(sqlite3.connect(home / "predictions.db")) as database:
        return int(database.execute("SELECT count(*) FROM outcomes").fetchone()[0])


def test_what_was_cut_off_is_never_taken_for_the_whole(server: Running, student: Student) -> None:
    assert server.post("/predict", student)[0] == 200  # so that there is a database
    before = outcomes(server)
    for name, sent in CUT.items():
        with send(server, sent) as connection:
            connection.shutdown(socket.SHUT_WR)
            assert status_of(everything(connection)) == 400, name
    assert server.get("/health/live")[0] == 200
    assert outcomes(server) == before
    whole = {"prediction_id": "0" * 32, "grade_class": "A"}
    assert server.post("/outcomes", whole)[0] == 202
    assert outcomes(server) == before + 1


def test_who_stalls_is_told_so_and_nothing_is_taken(server: Running) -> None:
    with ExitStack() as slow:
        connections = [slow.enter_context(send(server, part)) for part in SLOW]
        assert server.get("/health/live")[0] == 200
        assert {status_of(everything(connection)) for connection in connections} == {408}


def test_slow_senders_hold_no_thread(patient: Running, student: Student) -> None:
    with ExitStack() as slow:
        connections = [slow.enter_context(send(patient, part)) for part in SLOW]
        assert patient.post("/predict", student)[0] == 200
        for connection in connections:  # it was not by letting them go that it could answer
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)


def test_who_does_not_take_an_answer_holds_no_thread(patient: Running, student: Student) -> None:
    body = json.dumps([student] * MANY).encode()
    head = HEAD.replace(b"/predict", b"/predict?explain=true")
    with ExitStack() as slow:
        for _ in range(4):
            connection = slow.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(("127.0.0.1", patient.port))
            connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert patient.post("/predict", student)[0] == 200


def test_a_body_that_is_far_too_large_is_answered_before_the_connection_ends(server: Running) -> None:
    size = 30_000_000
    for path in ("/predict", "/outcomes", "/roster"):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: {size}\r\n\r\n"
        with send(server, head.encode()) as connection:
            connection.sendall(b" " * size)
            assert status_of(everything(connection)) == 413
    chunked = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with send(server, chunked) as connection:
        for _ in range(30):
            connection.sendall(b"f4240\r\n" + b" " * 1_000_000 + b"\r\n")
        said = everything(connection)
    assert status_of(said) == 413
    assert b"application/problem+json" in said


def test_a_body_that_is_not_wanted_is_not_asked_for(server: Running) -> None:
    for length, expected in ((100, b"HTTP/1.1 100 Continue\r\n\r\n"), (30_000_000, b"HTTP/1.1 413 ")):
        head = HEAD + f"Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n".encode()
        with send(server, head) as connection:
            assert connection.recv(65_536).startswith(expected)


def test_requests_sent_at_once_are_all_answered_in_order(server: Running, student: Student) -> None:
    def one(absences: int) -> bytes:
        body = json.dumps({**student, "Absences": absences}).encode()
        return HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with send(server, b"".join(map(one, range(30))) + last) as connection:
        said = everything(connection).decode()
    assert re.findall(r"HTTP/1.1 (\d+) ", said) == ["200"] * 30 + ["404"]
    risks = [round(float(risk), 4) for risk in re.findall(r'"at_risk":([\d.e-]+)', said)]
    assert risks == sorted(risks)
    assert risks[0] < risks[-1]


MALFORMED = {
    b"nonsense\r\n\r\n": 400,
    b"GET /?name=Ann\r\n\r\n": 400,
    b"GET / HTTP/7.1\r\n\r\n": 400,
    b"get / HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nName Ann\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n": 400,
    b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nAnn\r\n": 400,
    b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nAnn\r\n": 400,
    b"GET / HTTP/1.1\r\nExpect: Ann\r\n\r\n": 417,
    b"GET /" + b"a" * 8_000 + b" HTTP/1.1\r\n\r\n": 414,
    b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n": 431,
    b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n": 431,
    b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000: 431,
    b"GET /nowhere HTTP/1.1\r\nHost: x\r\nSCRIPT_NAME: /Ann\r\nConnection: close\r\n\r\n": 404,
}


def test_what_is_not_http_is_a_problem_and_stays_out_of_the_log(server: Running) -> None:
    for sent, status in MALFORMED.items():
        with send(server, sent) as connection:
            head, _, body = everything(connection).partition(b"\r\n\r\n")
        assert status_of(head) == json.loads(body)["status"] == status, sent[:60]
        assert b"Content-Type: application/problem+json" in head
        assert b"X-Request-ID: " in head
    assert "Ann" not in server.said.read_text()


def test_long_bodies_are_kept_beside_the_state_and_not_in_the_folder_for_temporary_files(
    tmp_path: Path, server: Running, student: Student
) -> None:
    uploads = server.said.parent / "uploads"
    head = HEAD.replace(b"/predict", b"/predict/batch").replace(b"application/json", b"text/csv")
    with send(server, head + b"Content-Length: 1000000\r\n\r\n" + b"a" * 500_000) as connection:
        wait_until(lambda: any(str(uploads) in name for name in open_files(server)), "it is kept")
        connection.close()
    wait_until(lambda: not any(str(uploads) in name for name in open_files(server)), "it is let go")
    assert list(uploads.iterdir()) == []


def open_files(server: Running) -> list[str]:
    """What the worker has open."""
    (worker,) = server.workers()
    return [str(link.readlink()) for link in Path(f"/proc/{worker}/fd").iterdir() if link.is_symlink()]


def test_where_too_many_are_connected_the_one_goes_that_has_been_waited_for_longest(
    patient: Running,
) -> None:
    with ExitStack() as slow:
        connections = [slow.enter_context(send(patient, b"POST /pre")) for _ in range(3 * MOST)]
        assert patient.get("/health/live")[0] == 200
        assert connections[0].recv(1) == b""


def test_too_much_at_once_is_shed_and_nothing_falls_over(server: Running, student: Student) -> None:
    body = [student] * 1_000
    with ThreadPoolExecutor(40) as clients:
        statuses = [status for status, _ in clients.map(lambda _: server.post("/predict", body), range(80))]
    assert set(statuses) == {200, 503}
    assert server.post("/predict", student)[0] == 200
    assert value(server.text("/metrics"), "gradecast_requests_total", route="/predict", status="503") > 0


def answered(server: Running) -> float:
    return value(server.text("/metrics"), "gradecast_requests_total", route="/predict", status="200")


def test_counts_survive_a_worker_that_is_killed(server: Running, student: Student) -> None:
    for _ in range(5):
        assert server.post("/predict", student)[0] == 200
    before = answered(server)
    (killed,) = server.workers()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: server.workers() not in ([], [killed]), "there is another worker")
    wait_until(lambda: server.ready()[0] == 200, "it answers")
    assert answered(server) == before
    assert list((server.said.parent / "metrics").glob(f"*_{killed}.db")) == []


def test_a_graceful_stop_finishes_what_is_in_flight(
    tmp_path: Path, bundle_folder: Path, student: Student
) -> None:
    text = "\n".join([",".join(student), *[",".join(map(str, student.values()))] * 20_000])
    with one_worker(tmp_path / "home", bundle_folder) as server, closing(server.connect()) as connection:
        connection.request("POST", "/predict/batch", text, {"Content-Type": "text/csv"})
        answer = connection.getresponse()
        start = answer.read(1_000)
        server.master.send_signal(signal.SIGTERM)
        rows = list(csv.DictReader(io.StringIO((start + answer.read()).decode())))
    assert len(rows) == int(answer.headers["X-Row-Count"]) == 20_000
    assert all(row["grade_class"] for row in rows)
    (line,) = [json.loads(line) for line in server.said.read_text().splitlines() if "/predict/batch" in line]
    assert line["status"] == 200
