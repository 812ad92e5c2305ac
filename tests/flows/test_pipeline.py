"""The flow itself, on a real Prefect server: its stages, their artifacts, its states and exit codes."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter

from data.errors import BadInput, Stopped
from flows.pipeline import grade_pipeline, main
from flows.registry.registration import Registered
from flows.runtime.commands import without_heartbeats
from flows.runtime.exit_codes import plain_errors
from flows.runtime.server import prefect_server
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


@pytest.mark.usefixtures("environment")
def test_the_pipeline_gives_what_each_stage_gave_and_shows_it(grid_file: str) -> None:
    with prefect_server(Settings().home), get_client(sync_client=True) as client:
        before = {artifact.id for artifact in client.read_artifacts()}
        result = grade_pipeline("cohort://600", grid=grid_file)
        artifacts = [artifact for artifact in client.read_artifacts() if artifact.id not in before]
    assert (result.processed.rows, result.drift.verdict) == (600, "pass")
    assert (result.registered.version, result.registered.promoted) == ("1", True)
    assert result.trained.reused
    shown = {artifact.key: str(artifact.data) for artifact in artifacts}
    assert shown.keys() == {"process", "drift", "drift-columns", "train", "register"}
    assert "600" in shown["process"]
    assert "pass" in shown["drift"]
    assert "logistic regression" in shown["train"]
    assert "the first champion" in shown["register"]
    assert "Absences" in shown["drift-columns"]


@pytest.mark.usefixtures("environment")
def test_a_gates_stop_is_a_failed_state_named_stopped_with_its_reason(grid_file: str) -> None:
    with prefect_server(Settings().home):
        state = grade_pipeline(
            "cohort://400?scenario=absences&strength=6",
            grid=grid_file,
            return_state=True,
        )
    assert (state.name, state.type.value) == ("Stopped", "FAILED")
    assert "drift against champion 1" in state.message
    assert "Absences" in state.message


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
        (run,) = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [state.state_details.flow_run_id]}})
        )
        begun = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run.id]}})
        )
    assert (state.name, state.type.value) == ("Bad input", "FAILED")
    assert says in state.message
    assert "\n" not in state.message
    assert begun == []


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
