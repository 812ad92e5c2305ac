"""The flow itself, on a real Prefect server: its stages, their artifacts, its states and exit codes."""

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort

from data.errors import BadInput, Stopped
from flows.monitor import drift_monitor
from flows.pipeline import grade_pipeline, main, purpose
from flows.registry.registration import Registered
from flows.registry.store import experiment_id, open_registry
from flows.rollback_flow import approve, rollback
from flows.runtime.commands import without_heartbeats
from flows.runtime.exit_codes import plain_errors
from flows.runtime.run_page import key_of, short_name
from flows.runtime.runs import turn_of
from flows.runtime.server import prefect_server
from flows.score import batch_score
from flows.settings import Settings
from flows.training.grid import Grid


@pytest.fixture
def grid_file(tmp_path: Path, small_grid: Grid) -> str:
    """The session's grid as a file."""
    path = tmp_path / "small.yaml"
    path.write_text(small_grid.model_dump_json())
    return str(path)


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, prefect_api: str, registered: Registered, settings: Settings
) -> Iterator[None]:
    """The environment of a person whose state folder holds the session's model as champion."""
    assert registered.version == "1"
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("GRADECAST_HOME", str(settings.home))
    monkeypatch.setenv("GRADECAST_FOLDS", str(settings.folds))
    monkeypatch.setenv("GRADECAST_JOBS", "1")
    with without_heartbeats():
        yield


def run_and_stages(client: SyncPrefectClient, state: State[Any]) -> tuple[FlowRun, list[FlowRun]]:
    """Read the run that ended in a state, and those that it began, first one first."""
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    of = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run_id]}})
    begun = client.read_flow_runs(flow_run_filter=of, sort=FlowRunSort.START_TIME_ASC)
    return client.read_flow_run(run_id), begun


@pytest.mark.usefixtures("environment")
def test_the_pipeline_gives_what_each_stage_gave_and_shows_it(grid_file: str) -> None:
    with prefect_server(Settings().home), get_client(sync_client=True) as client:
        before = {artifact.id for artifact in client.read_artifacts()}
        state = grade_pipeline(
            "cohort://600", grid=grid_file, because="loss: grades moved.", return_state=True
        )
        artifacts = [artifact for artifact in client.read_artifacts() if artifact.id not in before]
        run, stages = run_and_stages(client, state)
        named = {client.read_flow(stage.flow_id).name: stage.name for stage in stages}
    result = state.result()
    assert (result.processed.rows, result.drift.verdict) == (600, "pass")
    assert (result.registered.version, result.registered.promoted) == ("1", True)
    assert result.trained.reused
    shown = {str(artifact.key).removeprefix("grade-class-"): str(artifact.data) for artifact in artifacts}
    assert shown.keys() == {"process", "drift", "drift-columns", "train", "register", "summary"}
    assert all(
        str(artifact.key).startswith("grade-class-") and artifact.description for artifact in artifacts
    )
    assert "600" in shown["process"]
    assert "pass" in shown["drift"]
    assert "logistic regression" in shown["train"]
    assert "the first champion" in shown["register"]
    assert "Absences" in shown["drift-columns"]
    assert re.fullmatch(r"grade_class · retraining: loss · \d{4}-\d\d-\d\d", run.name)
    assert run.tags == ["grade_class"]
    assert re.fullmatch(
        r"version 1 promoted: −0\.\d{3} \[−0\.\d{3}, −0\.\d{3}\] log loss against class shares",
        str(state.message),
    )
    assert named == dict.fromkeys(("process", "drift", "train", "register"), "grade_class")
    told = shown["summary"]
    assert f"## grade-class {state.message}" in told
    assert all(
        text in told
        for text in ("loss: grades moved.", "| Macro F1 |", "logistic regression", "| Drift gate | **pass**")
    )


@pytest.mark.usefixtures("environment")
def test_a_gates_stop_is_a_failed_state_named_stopped_with_its_reason_and_its_report_in_mlflow(
    grid_file: str, settings: Settings
) -> None:
    with prefect_server(Settings().home):
        state = grade_pipeline(
            "cohort://400?scenario=absences&strength=6",
            grid=grid_file,
            return_state=True,
        )
    assert (state.name, state.type.value) == ("Stopped", "FAILED")
    assert "drift against champion 1" in state.message
    assert "Absences" in state.message
    registry = open_registry(settings)
    experiment = experiment_id(registry, "grade-class", settings)
    (stopped,) = registry.search_runs([experiment], "tags.verdict = 'stopped'")
    assert (stopped.info.status, stopped.data.tags["reason"]) == ("FAILED", state.message)
    (report,) = registry.list_artifacts(stopped.info.run_id, "reports")
    assert "/drift-grade_class-" in report.path


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"data": "nothing.csv"}, "nothing.csv: there is no such file."),
        ({"contract": "nobody"}, "there is no contract 'nobody'."),
        ({"grid": "nobody.yaml"}, "nobody.yaml"),
        ({"engine": "dask", "scheduler": "127.0.0.1:1"}, "not understood"),
    ],
)
def test_a_deployed_run_says_what_is_wrong_with_its_input_in_a_sentence_before_any_stage(
    wrong: dict[str, str], says: str, grid_file: str
) -> None:
    asked = {"data": "cohort://600", "grid": grid_file} | wrong
    with prefect_server(Settings().home), get_client(sync_client=True) as client:
        state = grade_pipeline(**asked, return_state=True)
        _, begun = run_and_stages(client, state)
    assert (state.name, state.type.value) == ("Bad input", "FAILED")
    assert says in state.message
    assert "\n" not in state.message
    assert begun == []


@pytest.mark.parametrize("flow", [grade_pipeline, drift_monitor, batch_score, rollback, approve])
def test_the_form_of_a_deployment_helps_with_each_field_and_its_runs_have_a_limit(
    flow: Flow[..., Any],
) -> None:
    fields = flow.parameters.properties
    assert [name for name, field in fields.items() if not field.get("description")] == []
    assert flow.timeout_seconds


def test_what_has_few_answers_is_a_choice() -> None:
    assert grade_pipeline.parameters.properties["on_drift"]["enum"] == ["stop", "retrain", "warn"]
    assert grade_pipeline.parameters.properties["engine"]["enum"] == ["local", "dask"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"data": "/records/students.csv"}, "students.csv"),
        ({"data": "cohort://600?seed=3"}, "cohort://600"),
        ({"data": "postgresql://ann:secret@db/school?table=year"}, "school"),
        ({"data": "x.parquet", "on_drift": "retrain"}, "retraining"),
        (
            {"data": "x.parquet", "on_drift": "retrain", "because": "drift: Absences: more."},
            "retraining: drift",
        ),
    ],
)
def test_a_run_is_named_for_what_it_is_for(given: dict[str, str], told: str) -> None:
    assert purpose(given) == told


def test_a_contract_of_a_file_names_its_artifacts_by_its_name() -> None:
    assert short_name("/schools/Our School.yaml") == "Our School"
    assert key_of("/schools/Our School.yaml", "drift columns") == "our-school-drift-columns"


def test_two_runs_of_one_contract_take_turns_and_one_of_another_does_not_wait(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path))
    order: list[str] = []

    def second() -> None:
        with turn_of("grade_class", order.append):
            order.append("second")

    with turn_of("grade_class", order.append), turn_of("pass_fail", order.append):
        other = threading.Thread(target=second)
        other.start()
        while not order:
            other.join(0.01)
        order.append("first")
    other.join()
    assert order == ["Another run of grade_class is at work; this one waits for its turn.", "first", "second"]


def test_a_run_tells_what_was_foreseen_without_a_trace_and_anything_else_with_it() -> None:
    told = []
    logger = logging.getLogger("prefect.task_runs")
    with plain_errors():
        for error in (BadInput("the file is empty."), Stopped("a gate"), ZeroDivisionError("x")):
            record = logger.makeRecord(
                logger.name, logging.ERROR, "", 0, "failed: %r", (error,), (type(error), error, None)
            )
            told.append((logger.filter(record), record.exc_info is None))
    assert told == [(True, True), (True, True), (True, False)]


def test_the_command_ends_with_2_on_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--on-drift", "shrug"])
    assert ended.value.code == 2
    assert "choose from" in capsys.readouterr().err
