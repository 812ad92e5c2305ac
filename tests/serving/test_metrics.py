"""GET /metrics: what is counted, that counts survive their worker, and what the monitor measured."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from data.bundle.manifest import read_manifest
from data.log.database import open_log
from data.log.history import Decision, append
from data.log.reading import Frame, Measurement, write_measurements
from data.log.spool import ACTIVE
from serving.app import create_app
from serving.drain import Drainer, measured_last
from serving.health import Status, write_status
from serving.metrics import FILE, families_of, read_measured
from serving.metrics_files import FOLDER, empty_folder, fold_dead, read_folder
from serving.settings import PredictorSettings
from tests.serving.conftest import KEY

ROOT = Path(__file__).parents[2]

Student = dict[str, Any]


def samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of this name and these labels."""
    (found,) = [s.value for s in samples(text) if s.name == name and labels.items() <= s.labels.items()]
    return found


@pytest.fixture
def client(synced: PredictorSettings) -> FlaskClient:
    """A client of a predictor that has counted nothing yet."""
    return create_app(synced).test_client()


def test_requests_are_counted_by_route_and_status(client: FlaskClient, student: Student) -> None:
    for body in (student, student, {}):
        client.post("/predict", json=body)
    client.get("/nowhere/Ann")
    text = client.get("/metrics").text
    assert value(text, "gradecast_requests_total", route="/predict", status="200") == 2
    assert value(text, "gradecast_requests_total", route="/predict", status="422") == 1
    assert value(text, "gradecast_requests_total", route="other", status="404") == 1
    assert value(text, "gradecast_request_seconds_count", route="/predict", status="200") == 2
    assert value(text, "gradecast_request_seconds_bucket", route="/predict", status="200", le="+Inf") == 2
    assert "Ann" not in text


@pytest.fixture
def keyed(locked: FlaskClient) -> FlaskClient:
    """A client that brings the key that its predictor wants."""
    locked.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEY.encode().decode('latin-1')}"
    return locked


def test_who_brings_no_key_is_told_of_no_single_forecast(keyed: FlaskClient, student: Student) -> None:
    def told() -> dict[str, float]:
        text = keyed.get("/metrics", headers={"Authorization": ""}).text
        names = ("gradecast_predictions", "gradecast_at_risk")
        return {f"{s.name} {s.labels}": s.value for s in samples(text) if s.name.startswith(names)}

    keyed.post("/predict", json=[student] * 20)
    before = told()
    assert max(before.values()) == 20
    for _ in range(5):
        keyed.post("/predict", json={**student, "Absences": 0})
        after = told()
        assert all(count % 10 == 0 for name, count in after.items() if "share" not in name)
        assert sum(count for name, count in after.items() if "predictions" in name) == 20
    assert keyed.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_forecasts_are_counted_by_class_with_their_share_at_risk(
    keyed: FlaskClient, student: Student
) -> None:
    answers = keyed.post("/predict", json=[student, {**student, "Absences": 0}]).get_json()
    text = keyed.get("/metrics").text
    for label in {answer["grade_class"] for answer in answers}:
        expected = [answer["grade_class"] for answer in answers].count(label)
        assert value(text, "gradecast_predictions_total", grade_class=label) == expected
    at_risk = sum(answer["at_risk"] for answer in answers)
    assert value(text, "gradecast_at_risk_total") == pytest.approx(at_risk)
    assert value(text, "gradecast_at_risk_share") == pytest.approx(at_risk / 2)


def test_rows_of_batches_are_counted(client: FlaskClient, student: Student) -> None:
    lines = [",".join(student), ",".join(map(str, student.values())), ",".join(["x"] * len(student))]
    assert client.post("/predict/batch", data="\n".join(lines), content_type="text/csv").text
    text = client.get("/metrics").text
    assert value(text, "gradecast_batch_rows_total", result="answered") == 1
    assert value(text, "gradecast_batch_rows_total", result="refused") == 1


def test_model_reloads_and_backlog_are_told(
    own: PredictorSettings, tmp_path: Path, bundle_folder: Path
) -> None:
    write_status(own.bundles, Status(ok=3, refused=2))
    (tmp_path / "spool").mkdir(exist_ok=True)
    for seconds, lines in ((100, b"{}\n"), (50, b"{}\n{}\n")):
        begun = time.time_ns() - seconds * 10**9
        (tmp_path / "spool" / f"{begun:020d}-1{ACTIVE}").write_bytes(lines)
    asked = datetime.now(UTC)
    text = create_app(own).test_client().get("/metrics").text
    late = (datetime.now(UTC) - asked).total_seconds()
    assert value(text, "gradecast_model_info", model="grade-class", version="local") == 1
    age = (asked - datetime.fromisoformat(read_manifest(bundle_folder).created)).total_seconds()
    assert age <= value(text, "gradecast_model_age_seconds") <= age + late
    assert value(text, "gradecast_reloads_total", result="ok") == 3
    assert value(text, "gradecast_reloads_total", result="refused") == 2
    assert value(text, "gradecast_log_backlog_files") == 2
    assert value(text, "gradecast_log_backlog_bytes") == 9
    assert value(text, "gradecast_log_backlog_seconds") >= 100


def test_a_predictor_without_a_model_has_metrics_all_the_same(client_without_model: FlaskClient) -> None:
    answer = client_without_model.get("/metrics")
    assert answer.status_code == 200
    assert "gradecast_model_info" not in answer.text


def test_every_name_is_in_the_list_of_names(client: FlaskClient, student: Student) -> None:
    import serving.metrics

    client.post("/predict", json=student)
    listed = set(re.findall(r"`(gradecast_\w+|…_\w+)", serving.metrics.__doc__ or ""))
    listed |= {f"gradecast_log_backlog{name[1:]}" for name in listed if name.startswith("…")}
    told = {family.name for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert {
        name for name in told if f"{name}_total" not in listed and not name.endswith("_created")
    } <= listed


WORKER = """
import os
from serving.metrics import Metrics
metrics = Metrics()
for _ in range({requests}):
    metrics.answered("/predict", "200", 0.002)
metrics.predicted(["A", "F"], 0.5)
print(os.getpid(), flush=True)
os.kill(os.getpid(), 9)
"""


def test_no_count_falls_and_no_file_is_left_when_workers_die(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    empty_folder(folder)
    expected = 0
    for requests in (3, 5):
        code, environment = WORKER.format(requests=requests), {**os.environ, FOLDER: str(folder)}
        worker = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=False
        )
        expected += requests
        before = counted(folder)
        assert list(folder.glob(f"*_{int(worker.stdout)}.db"))
        fold_dead(folder, living=[])
        assert counted(folder) == before
        assert before["gradecast_requests_total"] == expected
        assert sorted(file.name for file in folder.glob("*.db")) == ["counter_0.db", "histogram_0.db"]


def counted(folder: Path) -> dict[str, float]:
    """The sums of all samples by name."""
    sums: dict[str, float] = {}
    for family in read_folder(folder):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


# What the monitor measured: from the table, through the drainer's file, to the gauges

END = datetime(2026, 11, 1, tzinfo=UTC)
FOUND = [
    Measurement("drift_share", 0.25, 300, verdict="drift"),
    Measurement("drift", 0.0001, 300, about="Absences", verdict="drift"),
    Measurement("drift", 0.4, 300, about="Age", verdict="pass"),
    Measurement("estimated_accuracy", 0.8, 300, 0.77, 0.83),
    Measurement("realised_accuracy", None, 3, verdict="too few rows"),
]


def window(version: str = "3", until: datetime = END, contract: str = "grade_class") -> Frame:
    return Frame(contract, version, until - timedelta(days=30), until)


@pytest.fixture
def log(tmp_path: Path) -> sa.Engine:
    """A log in the home that `home_settings` names."""
    return open_log(f"sqlite:///{tmp_path / 'predictions.db'}")


@pytest.fixture
def home_settings(tmp_path: Path, settings_for: Callable[..., PredictorSettings]) -> PredictorSettings:
    return settings_for(GRADECAST_HOME=tmp_path)


def gauges(families: list[Metric]) -> dict[tuple[str, str, str], float]:
    """Values by name, what they are about, and bound."""
    return {
        (sample.name, sample.labels.get("about", ""), sample.labels.get("bound", "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_drainer_brings_what_was_measured_to_metrics(
    log: sa.Engine, home_settings: PredictorSettings
) -> None:
    write_measurements(log, window(), FOUND)
    assert Drainer(home_settings).try_once()
    text = create_app(home_settings).test_client().get("/metrics").text
    labels = 'about="",bound="low",contract="grade_class",version="3"'
    assert f"gradecast_measured_estimated_accuracy{{{labels}}} 0.77" in text
    about = 'about="Absences",contract="grade_class",name="drift",version="3"'
    assert f"gradecast_measured_drifted{{{about}}} 1.0" in text


def test_figures_are_told_with_their_bounds_and_verdicts(log: sa.Engine) -> None:
    write_measurements(log, window(), FOUND)
    told = gauges(list(families_of(measured_last(log), datetime.now(UTC) + timedelta(hours=1))))
    assert told["gradecast_measured_estimated_accuracy", "", "value"] == 0.8
    assert told["gradecast_measured_estimated_accuracy", "", "high"] == 0.83
    assert told["gradecast_measured_drift", "Age", "value"] == 0.4
    assert told["gradecast_measured_drifted", "", ""] == 1
    assert told["gradecast_measured_drifted", "Age", ""] == 0
    assert told["gradecast_measured_age_seconds", "", ""] == pytest.approx(3_600, abs=60)
    assert not [name for name, _, _ in told if "realised" in name], "what could not be measured is not told"


def test_a_version_that_waits_for_a_person_is_told_until_something_is_decided(log: sa.Engine) -> None:
    asked = Decision(
        model="grade-class", event="asked", version="4", champion="3", by="pipeline", reason="better", at=END
    )
    append(log, asked)
    told = list(families_of(measured_last(log), END + timedelta(hours=2)))
    assert [(sample.name, sample.labels, sample.value) for family in told for sample in family.samples] == [
        ("gradecast_approval_waiting_seconds", {"model": "grade-class", "version": "4"}, 7_200)
    ]
    write_measurements(log, window(), FOUND)
    later = list(families_of(measured_last(log), datetime.now(UTC) + timedelta(hours=1)))
    assert gauges(later)["gradecast_measured_age_seconds", "", ""] == pytest.approx(3_600, abs=60)
    append(log, asked.model_copy(update={"event": "rejected", "at": END + timedelta(hours=3)}))
    assert "gradecast_approval_waiting_seconds" not in {each.name for each in families_of(measured_last(log))}


def test_the_last_measurement_of_each_contract_counts(log: sa.Engine) -> None:
    write_measurements(log, window(), FOUND)
    write_measurements(log, window(contract="pass_fail"), FOUND)
    later = window("4", END + timedelta(days=1))
    write_measurements(log, later, [Measurement("drift_share", 0.0, 300, verdict="pass")])
    figures = measured_last(log)
    versions = {figure.contract: figure.model_version for figure in figures}
    assert versions == {"grade_class": "4", "pass_fail": "3"}
    assert [figure.name for figure in figures if figure.contract == "grade_class"] == ["drift_share"]


def test_a_log_that_was_never_monitored_tells_nothing_and_a_file_that_cannot_be_read_no_more(
    log: sa.Engine, home_settings: PredictorSettings
) -> None:
    assert measured_last(log) == []
    assert Drainer(home_settings).try_once()
    client = create_app(home_settings).test_client()
    assert "gradecast_measured" not in client.get("/metrics").text
    (home_settings.home / FILE).write_text("{")
    assert read_measured(home_settings.home) == []
    assert client.get("/metrics").status_code == 200
