"""Debian's Prometheus on real predictors: alerts fire when their cause is made, every panel has an answer."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data.log.database import open_log
from data.log.reading import Frame, Measurement, write_measurements
from serving.metrics import SHOWN
from tests.operations.dashboards import BOARDS, queries
from tests.operations.prometheus import Prometheus, node_exporter, prometheus
from tests.serving.running import Running, running, wait_until

NOW = datetime.now(UTC)
CAUSED = {
    "NoReadyModel",  # the troubled one has none
    "ErrorRate",  # and answers 503
    "LogBacklog",  # and its database cannot be had
    "Drift",
    "AccuracyBelowEstimate",
    "WorkerDead",
    "PrefectDown",
}
NOT_CAUSED = {"PredictorDown", "ModelRefused", "StaleModel", "MonitorSilent"}
FOUND = {
    **{(name, about): Measurement(name, 0.5, 300, 0.4, 0.6, about) for name in SHOWN for about in ("", "x")},
    ("drift_share", ""): Measurement("drift_share", 0.5, 300, verdict="drift"),
    ("drift", "x"): Measurement("drift", 0.0001, 300, about="x", verdict="drift"),
    ("estimated_accuracy", ""): Measurement("estimated_accuracy", 0.8, 300, 0.77, 0.83),
    ("realised_accuracy", ""): Measurement("realised_accuracy", 0.7, 300, 0.66, 0.74),
}
OF_CONTAINERS = "container_"  # cAdvisor's, which Debian does not have

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sound_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a predictor whose monitor found drift."""
    home = tmp_path_factory.mktemp("sound")
    frame = Frame("grade_class", "1", NOW - timedelta(days=30), NOW)
    write_measurements(open_log(f"sqlite:///{home / 'predictions.db'}"), frame, FOUND.values())
    return home


@pytest.fixture(scope="module")
def troubled_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a predictor in whose spool something has waited for an hour."""
    home = tmp_path_factory.mktemp("troubled")
    waiting = home / "spool" / "00000000000000000000-1.jsonl"
    waiting.parent.mkdir()
    waiting.write_bytes(b"{}\n")
    os.utime(waiting, (time.time() - 3_600,) * 2)
    return home


@pytest.fixture(scope="module")
def predictors(
    bundle_folder: Path, sound_home: Path, troubled_home: Path
) -> Iterator[tuple[Running, Running]]:
    """One that is sound, and one without a model whose log cannot be had."""
    nowhere = f"sqlite:///{troubled_home}/nowhere/predictions.db"
    troubles = {"GRADECAST_MODEL_URI": troubled_home / "none", "GRADECAST_LOG_URL": nowhere}
    with (
        running(sound_home, GRADECAST_MODEL_URI=bundle_folder) as sound,
        running(troubled_home, **troubles) as troubled,
    ):
        wait_until(lambda: sound.ready()[0] == 200, "the sound one is ready")
        yield sound, troubled


@pytest.fixture(scope="module")
def watching(
    predictors: tuple[Running, Running], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus on both, on the host, and on services that are away."""
    with ExitStack() as stack:
        targets = {
            "predictor": [f"127.0.0.1:{server.port}" for server in predictors],
            "node": [stack.enter_context(node_exporter())],
            "worker": ["127.0.0.1:1"],
            "prefect": ["127.0.0.1:1"],
        }
        yield stack.enter_context(prometheus(tmp_path_factory.mktemp("prometheus"), targets))


@pytest.fixture
def asked(predictors: tuple[Running, Running], watching: Prometheus, student: dict[str, Any]) -> None:
    """Both were asked, seen by Prometheus, and asked again, so that there is a rate."""
    seen = 'sum(gradecast_requests_total{route="/predict"})'
    for _ in range(2):
        counted = [found["value"][1] for found in watching.query(seen)]
        before = counted[0] if counted else "0"
        for server in predictors:
            server.post("/predict", student)
            server.post("/predict", {})
        wait_until(lambda: bool(watching.query(f"{seen} > {before}")), "Prometheus has seen it")  # noqa: B023


def test_alerts_fire_when_their_cause_is_made(watching: Prometheus, asked: None) -> None:
    wait_until(lambda: watching.firing() >= CAUSED, "all fire whose cause there is")
    assert watching.firing() & NOT_CAUSED == set()


def test_every_panel_has_an_answer(watching: Prometheus, asked: None) -> None:
    wait_until(lambda: bool(watching.query("gradecast:errors:share5m")), "rules have been evaluated")
    every = [(title, query) for path in BOARDS for title, query in queries(path)]
    empty = {title for title, query in every if not watching.query(query) and OF_CONTAINERS not in query}
    assert empty == {"Rows of batches"}, "no batch was asked for"


def test_a_predictor_that_dies_is_told(bundle_folder: Path, tmp_path: Path) -> None:
    with running(tmp_path, GRADECAST_MODEL_URI=bundle_folder) as dying:
        targets = {"predictor": [f"127.0.0.1:{dying.port}"]}
        with prometheus(tmp_path, targets) as own:
            wait_until(lambda: bool(own.query('up{job="predictor"} == 1')), "it is seen")
            assert "PredictorDown" not in own.firing()
            dying.master.terminate()
            wait_until(lambda: "PredictorDown" in own.firing(), "it is missed")
