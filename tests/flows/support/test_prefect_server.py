"""The local Prefect server: real ones, shared between tests because each takes 10 s to start."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import prefect
import pytest
from prefect.settings import PREFECT_API_URL

from data.errors import BadInput
from data.processes import recorded
from flows.runtime.server import (
    ensure_password,
    is_local_prefect,
    is_open,
    local_url,
    password_in,
    port_to_use,
    prefect_server,
    profile,
    record,
    running_port,
)

ROOT = Path(__file__).parents[3]
COMMAND = """
import sys
from pathlib import Path
from flows.runtime.server import prefect_server
with prefect_server(Path(sys.argv[1]), port=int(sys.argv[2])) as url:
    print(url, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def no_server_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)


@pytest.fixture
def port() -> int:
    """A port that plays the part of the usual one."""
    return port_to_use(0)


def command(home: Path, port: int) -> subprocess.Popen[str]:
    """A command of ours that uses the server until it is told to end."""
    arguments = [sys.executable, "-c", COMMAND, str(home), str(port)]
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str], how: signal.Signals) -> str:
    """End a command by a signal and return what it told the person."""
    process.send_signal(how)
    return process.communicate()[1]


def test_a_password_is_made_once_beside_the_profiles_that_are_there(tmp_path: Path) -> None:
    profile(tmp_path).write_text('active = "mine"\n\n[profiles.mine]\nPREFECT_LOGGING_LEVEL = "DEBUG"\n')
    made = ensure_password(tmp_path)
    assert ensure_password(tmp_path) == made == password_in(tmp_path)
    kept = tomllib.loads(profile(tmp_path).read_text())
    assert (kept["active"], kept["profiles"]["mine"]) == ("mine", {"PREFECT_LOGGING_LEVEL": "DEBUG"})


@pytest.fixture
def occupied() -> Iterator[int]:
    """A port on which another program says yes to everything."""

    class Yes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Yes) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        yield other.server_port
        other.shutdown()
        thread.join()


@prefect.task
def double(number: int) -> int:
    return 2 * number


@prefect.flow
def doubled(count: int) -> int:
    return sum(double.map(range(count)).result())


def task_states(file: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT state_type, count(*) FROM task_run GROUP BY 1").fetchall()


def test_one_server_on_a_free_port_serves_all_who_start_at_once_and_the_last_to_leave_stops_it(
    tmp_path: Path, occupied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "one"
    with command(home, occupied) as first, command(home, occupied) as second:
        url = url_of(first)
        assert url_of(second) == url != local_url(occupied), "another program has the usual port"
        assert not is_open(url), "whoever has no password is kept out"
        (group, port) = recorded(record(home / "prefect"))
        assert group != os.getpgid(first.pid), "Ctrl-C would reach the server too"
        told = end(first, signal.SIGINT) + end(second, signal.SIGKILL)
    assert told.count("Starting a local Prefect server") == 1
    assert is_local_prefect(port), "a server outlives a killed user"

    said: list[str] = []
    with prefect_server(home, port=occupied, say=said.append) as again:
        assert (again, said) == (url, [])
        assert PREFECT_API_URL.value() == os.environ["PREFECT_API_URL"] == url
        assert os.environ["PREFECT_API_AUTH_STRING"] == password_in(home / "prefect")
        assert doubled(40) == 1560
        with monkeypatch.context() as elsewhere:
            elsewhere.delenv("PREFECT_API_URL")
            elsewhere.delenv("PREFECT_HOME")
            with prefect_server(tmp_path / "two", port=port) as joined:
                assert joined == url, "another home's command uses the server that is there"
        assert is_local_prefect(port), "and leaves it to its users"
    assert "PREFECT_API_AUTH_STRING" not in os.environ
    assert profile(home / "prefect").stat().st_mode & 0o777 == 0o600
    assert not is_local_prefect(port)
    assert running_port(home / "prefect") is None
    states = task_states(home / "prefect" / "prefect.db")
    assert states == [("COMPLETED", 40)], "the server wrote everything before it was stopped"


def test_the_usual_port_is_used_where_it_is_free(port: int) -> None:
    assert port_to_use(port) == port


def test_an_address_where_nothing_answers_is_named_with_a_remedy(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", local_url(port))
    with pytest.raises(BadInput, match=f"PREFECT_API_URL is {local_url(port)}.*unset it"):
        prefect_server(tmp_path).__enter__()
    assert not list(tmp_path.iterdir())


def test_another_program_that_says_yes_is_not_taken_for_prefect(occupied: int) -> None:
    assert not is_local_prefect(occupied)
