"""GET /metrics: what is counted, and that counts survive their worker."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from data.bundle.manifest import read_manifest
from data.log.spool import ACTIVE
from serving.app import create_app
from serving.health import read_status, write_status
from serving.metrics_files import FOLDER, empty_folder, fold_dead, read_folder
from serving.settings import Settings
from serving.sync.bring import sync

ROOT = Path(__file__).parents[2]

Student = dict[str, Any]


def samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of this name and these labels."""
    (found,) = [s.value for s in samples(text) if s.name == name and labels.items() <= s.labels.items()]
    return found


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
def locked(tmp_path: Path, synced: Settings, settings_for: Callable[..., Settings]) -> FlaskClient:
    """A client that brings the key that its predictor wants."""
    (tmp_path / "bundle").symlink_to(synced.bundles.parent)
    app = create_app(settings_for(GRADECAST_HOME=tmp_path, GRADECAST_API_KEY="the key of the school"))
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer the key of the school"
    return client


def test_who_brings_no_key_is_told_of_no_single_forecast(locked: FlaskClient, student: Student) -> None:
    def told() -> dict[str, float]:
        text = locked.get("/metrics", headers={"Authorization": ""}).text
        names = ("gradecast_predictions", "gradecast_at_risk")
        return {f"{s.name} {s.labels}": s.value for s in samples(text) if s.name.startswith(names)}

    locked.post("/predict", json=[student] * 20)
    before = told()
    assert max(before.values()) == 20
    for _ in range(5):
        locked.post("/predict", json={**student, "Absences": 0})
        after = told()
        assert all(count % 10 == 0 for name, count in after.items() if "share" not in name)
        assert sum(count for name, count in after.items() if "predictions" in name) == 20
    assert locked.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_forecasts_are_counted_by_class_with_their_share_at_risk(
    locked: FlaskClient, student: Student
) -> None:
    answers = locked.post("/predict", json=[student, {**student, "Absences": 0}]).get_json()
    text = locked.get("/metrics").text
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
    tmp_path: Path, bundle_folder: Path, settings_for: Callable[..., Settings]
) -> None:
    settings = settings_for(GRADECAST_HOME=tmp_path, GRADECAST_MODEL_URI=bundle_folder)
    sync(settings)
    write_status(settings.bundles, read_status(settings.bundles).model_copy(update={"ok": 3, "refused": 2}))
    (tmp_path / "spool").mkdir(exist_ok=True)
    for seconds, lines in ((100, b"{}\n"), (50, b"{}\n{}\n")):
        begun = time.time_ns() - seconds * 10**9
        (tmp_path / "spool" / f"{begun:020d}-1{ACTIVE}").write_bytes(lines)
    asked = datetime.now(UTC)
    text = create_app(settings).test_client().get("/metrics").text
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
    for requests in (3, 5, 1):
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
