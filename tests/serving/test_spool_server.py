"""The log behind the real server: workers killed and the database locked under load."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from data.log.spool import backlog
from serving.settings import PredictorSettings
from tests.serving.running import PYTHON, ROOT, Running, ask, running, wait_until
from tests.serving.spooling import Home

Student = dict[str, Any]
CLIENTS = 4


class Load:
    """Clients that ask all the time, and keep the ids that they were answered."""

    def __init__(self, server: Running, student: Student) -> None:
        self._server, self._student = server, student
        self._stop = threading.Event()
        self.answered: list[str] = []
        self.refused: list[int] = []
        self.slowest = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask_on, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask_on(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                self._ask_over_one_connection({"StudentID": number + 1, **self._student})
            except (OSError, HTTPException):
                continue  # its worker was killed, and so nothing was answered

    def _ask_over_one_connection(self, record: Student) -> None:
        connection = self._server.connect()
        try:
            while not self._stop.is_set():
                begun = time.monotonic()
                status, answer = ask(connection, "/predict", record)
                self.slowest = max(self.slowest, time.monotonic() - begun)
                if status == 200:
                    self.answered.append(answer["prediction_id"])
                else:
                    self.refused.append(status)
        finally:
            connection.close()


@pytest.fixture
def home(tmp_path: Path, synced: PredictorSettings) -> Home:
    (tmp_path / "bundle").symlink_to(synced.bundles.parent)
    return Home(tmp_path)


def missing(home: Home, load: Load) -> set[str]:
    """What was answered and is not in the database, where nothing is twice."""
    logged = home.logged()
    assert set(logged.values()) == {1}
    return set(load.answered) - set(logged)


def kill_workers(server: Running, times: int, chance: random.Random) -> None:
    """Kill one worker after another, each while it answers."""
    for _ in range(times):
        time.sleep(chance.uniform(0.2, 0.6))
        wait_until(lambda: bool(server.workers()), "there is a worker")
        os.kill(chance.choice(server.workers()), signal.SIGKILL)


def loaded(
    home: Home, synced: PredictorSettings, student: Student, trouble: Callable[[Running, Load], None]
) -> Load:
    """Have a server asked while there is trouble, and end it in peace."""
    with running(home.path, GRADECAST_MODEL_URI=synced.model_uri, WEB_CONCURRENCY=2) as server:
        wait_until(lambda: server.ready()[0] == 200, "there is a model")
        load = Load(server, student)
        with load.running():
            wait_until(lambda: len(load.answered) > 20, "some are answered")
            trouble(server, load)
    return load


@pytest.mark.parametrize("times", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_workers_killed_under_load_lose_nothing_that_they_answered(
    home: Home, synced: PredictorSettings, student: Student, times: int
) -> None:
    load = loaded(home, synced, student, lambda server, _: kill_workers(server, times, random.Random(5)))
    assert missing(home, load) == set()
    assert load.refused == []
    assert backlog(home.path).files == 0


@pytest.mark.slow
def test_the_database_is_locked_for_half_a_minute_under_load_and_nothing_is_lost(
    home: Home, synced: PredictorSettings, student: Student
) -> None:
    def lock(server: Running, load: Load) -> None:
        wait_until(home.database.exists, "some are drained")
        with home.locked():
            before = len(load.answered)
            time.sleep(30)
            assert len(load.answered) - before > 1_000
            assert backlog(home.path).oldest_seconds > 20
        wait_until(lambda: backlog(home.path).oldest_seconds < 5, "the backlog is drained")

    load = loaded(home, synced, student, lock)
    assert missing(home, load) == set()
    assert load.refused == []
    print(f"{len(load.answered)} answered, the slowest in {load.slowest:.3f} s, 0 missing")


def test_a_worker_imports_no_database() -> None:
    code = "import serving.app, sys; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([PYTHON, "-c", code], cwd=ROOT, check=False).returncode == 0
