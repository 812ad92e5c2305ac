"""Debian's Prometheus on real predictors: alerts fire when their cause is made, every panel has an answer."""

import json
import os
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.load import free_port
from data.log.database import open_log
from data.log.reading import Frame, Measurement, write_measurements
from serving.metrics import SHOWN
from tests.operations.dashboards import BOARDS, RULES, queries
from tests.operations.debian import program
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


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    port: int

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate a query now; fails the test where Prometheus refuses it."""
        asked = urllib.parse.urlencode({"query": expression})
        address = f"http://127.0.0.1:{self.port}/api/v1/query?{asked}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            found = json.loads(answer.read())
        assert found["status"] == "success", found
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {found["metric"]["alertname"] for found in self.query('ALERTS{alertstate="firing"}')}


@contextmanager
def prometheus(folder: Path, targets: dict[str, list[str]]) -> Iterator[Prometheus]:
    """Run one for a block, with our rules, on addresses by job."""
    server, port = program("prometheus", "prometheus"), free_port()
    rules = re.sub(r"for: \w+", "for: 0s", RULES.read_text(encoding="utf-8"))
    (folder / "rules.yml").write_text(rules)
    jobs = [{"job_name": job, "static_configs": [{"targets": found}]} for job, found in targets.items()]
    often = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    config = {"global": often, "rule_files": ["rules.yml"], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [server, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "said.txt").open("wb") as said:
        address = f"--web.listen-address=127.0.0.1:{port}"
        process = subprocess.Popen([*command, address], stdout=said, stderr=said)
    try:
        own = Prometheus(port)
        wait_until(lambda: process.poll() is not None or is_ready(port), "Prometheus is ready")
        assert process.poll() is None, (folder / "said.txt").read_text()
        yield own
    finally:
        process.terminate()
        process.wait(30)


def is_ready(port: int) -> bool:
    """Whether it answers queries."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def node_exporter() -> Iterator[str]:
    """Run Debian's exporter of the host for a block, and yield its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus-node-exporter", "prometheus-node-exporter"),
        f"--web.listen-address={address}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)


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
