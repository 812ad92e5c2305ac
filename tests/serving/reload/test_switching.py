"""Whole predictors, under load, while the model that is wanted changes."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from data.bundle.bundle import Bundle
from data.bundle.manifest import EXAMPLES
from serving.settings import PredictorSettings
from tests.serving.running import Running, ask, running, wait_until
from tests.serving.variants import Shelf

Student = dict[str, Any]
RECORDS = 5  # of a list, which must be answered by one version
ALIKE = 10  # answers in a row by which a switch counts as seen
OWN = ("model_version", "prediction_id", "reasons")


@dataclass
class Load:
    """Requests without a pause, and what was wrong with their answers."""

    server: Running
    students: list[Student]
    forecasts: dict[str, list[dict[str, Any]]]
    """What each version forecasts for these students."""
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    recent: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask_on(self, path: str) -> None:
        while not self.stop.is_set():
            with closing(self.server.connect()) as connection:
                try:
                    self.ask_over(connection, path)
                except OSError as error:
                    self.wrong.append(repr(error))

    def ask_over(self, connection: HTTPConnection, path: str) -> None:
        while not self.stop.is_set():
            status, answers = ask(connection, path, self.students)
            trouble = f"{status}: {answers}" if status != 200 else self.trouble(answers)
            self.answered += 1
            self.wrong += [trouble] if trouble else []
            self.recent = [*self.recent[1 - ALIKE :], "" if trouble else answers[0]["model_version"]]

    def trouble(self, answers: list[dict[str, Any]]) -> str | None:
        """Return what is wrong with the answer to a list, if anything."""
        versions = {answer["model_version"] for answer in answers}
        if len(versions) > 1:
            return f"answered by versions {versions}"
        forecasts = [{key: value for key, value in answer.items() if key not in OWN} for answer in answers]
        return None if forecasts == self.forecasts[versions.pop()] else "not what this version forecasts"

    def sees(self, version: str) -> bool:
        return self.recent == [version] * ALIKE

    @contextmanager
    def on(self) -> Iterator[None]:
        paths = ["/predict", "/predict", "/predict?explain=true"]
        threads = [threading.Thread(target=self.ask_on, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()


@pytest.fixture
def versions(shelf: Shelf, bundle_folder: Path, milder: Path) -> dict[str, Path]:
    """The first version, and one that answers otherwise, with their bundles."""
    return {"1": bundle_folder, shelf.add(milder): milder}


def switch_under_load(
    wanted: PredictorSettings, shelf: Shelf, versions: dict[str, Path], switches: int
) -> Load:
    """Move the alias that often while requests come, each time when the last move is seen by all."""
    first, *others = versions
    students = examples(versions[first])
    forecasts = {version: forecast(bundle, students) for version, bundle in versions.items()}
    with running(wanted.home, MLFLOW_TRACKING_URI=shelf.uri) as server:
        load = Load(server, students, forecasts)
        masters = [server.master.pid, *server.workers()]
        with load.on():
            for number in range(switches):
                version = [*others, first][number % len(versions)]
                shelf.seat(version)
                wait_until(partial(load.sees, version), f"switch {number} is seen")
        assert [server.master.pid, *server.workers()] == masters, "nothing was restarted"
    return load


def examples(bundle: Path) -> list[Student]:
    """Some students that are forecast otherwise by each version."""
    return [example["record"] for example in json.loads((bundle / EXAMPLES).read_bytes())[:RECORDS]]


def forecast(bundle: Path, students: list[Student]) -> list[dict[str, Any]]:
    """What a bundle forecasts, as JSON has it."""
    opened = Bundle.load(bundle)
    records = [opened.record.validate_python(student) for student in students]
    return json.loads(json.dumps(opened.answers(opened.probabilities(opened.matrix(records)))))


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("switches", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_switches_under_load_fail_no_request_and_mix_no_versions(
    serving_first: PredictorSettings, shelf: Shelf, versions: dict[str, Path], stricter: Path, switches: int
) -> None:
    third = {shelf.add(stricter): stricter}  # of three, the next one is never on disk any more
    load = switch_under_load(serving_first, shelf, versions | third, switches)
    assert load.wrong == []
    assert load.answered > switches * ALIKE
