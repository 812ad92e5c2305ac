"""The monitor itself, on a real Prefect server and a registry with a challenger beside the champion."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from data.log.reading import read_measurements
from data.sources.storage import read_frame
from flows.monitor import drift_monitor, main
from flows.monitoring.retraining import EVENT
from flows.registry.bundling import Submission
from flows.registry.store import CHALLENGER, experiment_id, load_champion, open_registry
from flows.runtime.commands import without_heartbeats
from flows.runtime.server import prefect_server
from flows.settings import Settings
from tests.flows.monitoring.school import School, month, students
from tests.flows.registry.desk import NAME, Desk


@pytest.fixture(scope="module")
def desk(submission: Submission, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A registry of its own: the session's model as champion, and once more as challenger."""
    plain = settings.model_dump(exclude={"tracking_uri"})
    made = Desk(Settings(**{**plain, "home": tmp_path_factory.mktemp("monitored")}))
    made.seat(submission)
    made.client.set_registered_model_alias(NAME, CHALLENGER, made.add(submission))
    return made


@pytest.fixture
def school(desk: Desk, tmp_path: Path) -> School:
    champion = load_champion(desk.client, NAME)
    assert champion is not None
    return School(f"sqlite:///{tmp_path / 'predictions.db'}", champion)


@pytest.fixture(autouse=True)
def environment(
    monkeypatch: pytest.MonkeyPatch, desk: Desk, school: School, prefect_api: str
) -> Iterator[None]:
    """The environment of whoever runs the monitor."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("GRADECAST_HOME", str(desk.settings.home))
    monkeypatch.setenv("GRADECAST_LOG_URL", str(school.engine.url))
    with without_heartbeats():
        yield


def run(number: int, *more: str) -> int:
    return main(["--since", month(number).isoformat(), "--until", month(number + 1).isoformat(), *more])


def events() -> list[dict[str, object]]:
    query = {"filter": {"event": {"name": [EVENT]}}}
    with prefect_server(Settings().home), get_client(sync_client=True) as client:
        return list(client.request("POST", "/events/filter", json=query).json()["events"])


def events_after(known: int) -> list[dict[str, object]]:
    """Wait until the server has kept one more event, which it does every few seconds."""
    end = time.monotonic() + 30
    while len(events()) == known and time.monotonic() < end:
        time.sleep(0.2)
    assert len(events()) == known + 1
    return events()


def test_drift_is_shown_measured_and_asked_to_be_retrained_on_once(
    school: School, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    school.ask(students(300, 90, "absences", 5.0), month(0))
    known = len(events())
    assert run(0) == 0
    shown = capsys.readouterr().out
    assert "drift" in shown
    assert "Absences: mean" in shown
    event, *_ = events_after(known)
    assert event["resource"] == {"prefect.resource.id": "gradecast.model.grade-class"}
    payload = json.loads(json.dumps(event["payload"]))
    assert payload["contract"] == "grade_class"
    assert payload["reason"].startswith("drift: ")
    assert len(read_frame(Path(payload["data"]), school.contract)) >= 300
    assert run(0) == 0
    said = " ".join(capsys.readouterr().out.split())
    # The server is shared: where the deployments are registered on it, the event has started one.
    assert re.search("the last one was wanted on [-0-9]+, less than 7 days ago|one is under way", said)
    assert len(events()) == known + 1


def test_a_month_of_loss_says_that_the_estimate_cannot_be_trusted(
    school: School, capsys: pytest.CaptureFixture[str]
) -> None:
    school.ask(students(300, 91, "tutoring-void", 2.0), month(0))
    assert run(0, "--no-retrain") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Verdict loss" in shown
    assert "The estimate cannot be trusted" in shown
    assert "Retraining not looked into" in shown
    rows = {row["name"]: row for row in read_measurements(school.engine, "grade_class")}
    assert rows["estimated_accuracy"]["verdict"] == "loss"
    assert rows["realised_accuracy"]["rows"] == 300
    assert rows["shadow_agreement"]["value"] == 1.0
    assert (rows["shadow_difference"]["value"], rows["shadow_difference"]["verdict"]) == (
        0.0,
        "no difference",
    )


def test_the_report_needs_nothing_but_itself_and_the_artifacts_say_the_same(school: School) -> None:
    school.ask(students(60, 92), month(0))
    with prefect_server(Settings().home), get_client(sync_client=True) as client:
        before = {artifact.id for artifact in client.read_artifacts()}
        seen = drift_monitor(since=month(0), until=month(1), retrain=False)
        artifacts = [artifact for artifact in client.read_artifacts() if artifact.id not in before]
    page = seen.report.read_text(encoding="utf-8")
    assert seen.verdict in page
    assert page.count('src="data:image/png;base64,') == 2
    assert "http" not in page
    assert {artifact.key for artifact in artifacts} == {"grade-class-monitor", "grade-class-monitor-columns"}
    markdown = next(str(artifact.data) for artifact in artifacts if artifact.key == "grade-class-monitor")
    assert "Estimated accuracy" in markdown
    registry = open_registry(Settings())
    (look,) = registry.search_runs(
        [experiment_id(registry, "grade-class-monitor", Settings())],
        order_by=["start_time DESC"],
        max_results=1,
    )
    assert look.data.metrics["estimated_accuracy"] == seen.metrics["estimated_accuracy"]
    assert [file.path for file in registry.list_artifacts(look.info.run_id, "reports")] == [
        "reports/monitor.html"
    ]
    assert look.info.run_id in markdown


def test_an_empty_window_has_too_few_rows_and_no_retraining(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(5) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "0 students asked about; 30 are needed" in shown
    assert "Retraining none: the verdict is too few rows" in shown


def test_a_champion_that_cannot_be_read_stops_the_monitor(
    desk: Desk, school: School, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = desk.settings.home / "mlartifacts"
    away = folder.rename(folder.with_name("away"))
    try:
        assert run(0) == 3
    finally:
        away.rename(folder)
    assert "Stopped: version 1 of grade-class cannot be read" in " ".join(capsys.readouterr().out.split())


def test_before_there_is_a_champion_there_is_no_reference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path / "new"))
    monkeypatch.delenv("GRADECAST_LOG_URL")
    assert main([]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Verdict no reference" in shown
    assert "Retraining none: there is no champion yet" in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "2026-02-01", "--until", "2026-01-01"], "is empty"),
        (["--days", "0"], "is empty"),
        (["--contract", "nobody"], "there is no contract"),
    ],
)
def test_bad_input_is_told_before_anything_is_started(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert told in capsys.readouterr().out
