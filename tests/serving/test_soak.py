"""A predictor under steady load of every kind of request: its memory and its open files stay as they are."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from data.log.spool import backlog
from serving.settings import PredictorSettings
from tests.serving.running import Running, running, wait_until

Student = dict[str, Any]
CLIENTS = 4
LOAD = 0.7  # of what the clients get when they do not wait
MOST_GROWTH = 6.0  # MB of one worker, whose threads take memory as they happen to need it
LOOK_SECONDS = 0.5
MOST_SILENCE = 4.0  # seconds; after five the server lets a silent connection go


class Look(NamedTuple):
    """What one process holds at one moment."""

    megabytes: float
    files: int


class Clients:
    """Ask for single forecasts, now and then for something else, as fast as can be or at a pace."""

    def __init__(self, server: Running, student: Student) -> None:
        sheet = "\n".join([",".join(student), *[",".join(map(str, student.values()))] * 200])
        one, bad = orjson.dumps(student), orjson.dumps({**student, "Absences": -1})
        self._kinds = [("/predict", one, "application/json")] * 96 + [
            ("/predict?explain=true", one, "application/json"),
            ("/predict", bad, "application/json"),
            ("/predict/batch", sheet.encode(), "text/csv"),
            ("/outcomes", b"{}", "application/json"),
        ]
        self._server, self._stop = server, threading.Event()
        self.pause = 0.0
        """Seconds between two requests of one client."""
        self.statuses: Counter[int] = Counter()

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask_on, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def rate(self, seconds: float) -> float:
        """Requests answered in a second, over so many."""
        before, begun = self.statuses.total(), time.monotonic()
        time.sleep(seconds)
        return (self.statuses.total() - before) / (time.monotonic() - begun)

    def _ask_on(self, number: int) -> None:
        place = number * 25
        due = last = time.monotonic()
        with closing(self._server.connect()) as connection:
            while not self._stop.is_set():
                if time.monotonic() - last > MOST_SILENCE:
                    connection.close()  # it is opened anew by the next request
                last = time.monotonic()
                self.statuses[ask(connection, *self._kinds[place % 100])] += 1
                place, due = place + 1, max(due + self.pause, time.monotonic() - 0.1)
                self._stop.wait(max(0.0, due - time.monotonic()))


def ask(connection: HTTPConnection, path: str, body: bytes, kind: str) -> int:
    connection.request("POST", path, body, {"Content-Type": kind})
    with connection.getresponse() as answer:
        answer.read()
        return answer.status


def look(process: int) -> Look:
    status = Path(f"/proc/{process}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return Look(int(resident.split()[1]) / 1024, len(list(Path(f"/proc/{process}/fd").iterdir())))


def soak(home: Path, model: str, student: Student, warm: float, seconds: float) -> None:
    """Warm a predictor up, load it at 70 %, and hold what it has at the end against what it had at first."""
    own = {"WEB_CONCURRENCY": 2, "GRADECAST_THREADS": 2 * CLIENTS}  # half of them may answer files
    with running(home, GRADECAST_MODEL_URI=model, **own) as server:
        wait_until(lambda: server.ready()[0] == 200, "there is a model")
        processes = sorted(server.workers())
        clients = Clients(server, student)
        with clients.asking():
            most = clients.rate(warm)
            clients.pause = CLIENTS / (LOAD * most)
            looks: dict[int, list[Look]] = {process: [] for process in processes}
            begun = time.monotonic()
            clients.statuses.clear()  # at first one of the workers may have been without a model
            while time.monotonic() - begun < seconds:
                time.sleep(LOOK_SECONDS)
                for process, seen in looks.items():
                    seen.append(look(process))
            asked = clients.statuses.total() / (time.monotonic() - begun)
        assert sorted(server.workers()) == processes
    assert clients.statuses.keys() == {200, 422}
    assert backlog(home).files == 0
    for seen in looks.values():
        first, last = seen[: len(seen) // 5], seen[-len(seen) // 5 :]
        start, end = (statistics.median(one.megabytes for one in part) for part in (first, last))
        files = [max(one.files for one in part) for part in (first, last)]
        print(
            f"{asked:.0f} of {most:.0f}/s: {start:.1f} MB at first, {end:.1f} MB at last; open files {files}"
        )
        assert end - start < MOST_GROWTH
        assert files[1] <= files[0] + CLIENTS  # a connection may be in the other worker now


def test_memory_and_open_files_stay_flat_under_load(
    tmp_path: Path, synced: PredictorSettings, student: Student
) -> None:
    soak(tmp_path, synced.model_uri, student, warm=2, seconds=3)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_memory_and_open_files_stay_flat_for_ten_minutes(
    tmp_path: Path, synced: PredictorSettings, student: Student
) -> None:
    soak(tmp_path, synced.model_uri, student, warm=20, seconds=600)
