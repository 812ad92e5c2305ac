"""The deployments that `make deploy` registers; and unattended, the retraining that one of them does."""

import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError

from data.cohorts import grades as cohort
from flows.deploy import main, registered
from flows.registry.registration import Registered
from flows.runtime.server import port_to_use, prefect_server
from flows.settings import Settings
from tests.e2e import state
from tests.e2e.loop import CHANGED, Loop, copy_state, loop_of, use_grid
from tests.serving.running import wait_until

PATIENCE = 120.0  # seconds: twice what lies between two looks of the server's scheduler
pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
NAMES = {
    *("grade-pipeline/default", "drift-monitor/daily", "batch-score/default"),
    *("rollback/default", "approve/default"),
}
Deployments = dict[str, DeploymentResponse]


@pytest.fixture
def client(deployed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    monkeypatch.setenv("PREFECT_API_URL", deployed)
    with prefect_server(tmp_path, start=False), get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def deployments(client: SyncPrefectClient) -> Deployments:
    return registered()


def test_the_deployments_are_registered_under_their_names(deployments: Deployments) -> None:
    assert deployments.keys() >= NAMES


@pytest.mark.parametrize("name", ["batch-score/default", "grade-pipeline/default"])
def test_the_day_can_be_given_and_is_today_else(deployments: Deployments, name: str) -> None:
    schema = deployments[name].parameter_openapi_schema or {}
    assert schema["properties"]["as_of"]["default"] is None
    assert "as_of" not in schema.get("required", [])


def test_only_the_monitor_is_scheduled(deployments: Deployments) -> None:
    scheduled = {name: deployments[name].schedules for name in NAMES}
    (daily,) = scheduled.pop("drift-monitor/daily")
    assert daily.active
    assert daily.schedule.cron == "15 4 * * *"
    assert not any(scheduled.values())


def test_the_server_has_a_run_of_the_monitor_waiting_for_its_time(
    client: SyncPrefectClient, deployments: Deployments
) -> None:
    daily = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [deployments["drift-monitor/daily"].id]},
            "state": {"type": {"any_": ["SCHEDULED"]}},
        }
    )
    wait_until(lambda: bool(client.read_flow_runs(flow_run_filter=daily)), "a run is scheduled", PATIENCE)
    (first, *_) = client.read_flow_runs(flow_run_filter=daily, sort=FlowRunSort.EXPECTED_START_TIME_ASC)
    assert first.auto_scheduled
    assert first.expected_start_time is not None
    assert f"{first.expected_start_time:%H:%M}" == "04:15"


def test_what_would_fight_waits_and_contracts_and_rosters_are_worked_on_a_few_at_a_time(
    deployments: Deployments,
) -> None:
    limits = {
        name: deployments[name].global_concurrency_limit and deployments[name].global_concurrency_limit.limit
        for name in NAMES
    }
    assert limits == {
        "grade-pipeline/default": 3,  # two of one contract take turns by themselves
        "drift-monitor/daily": 1,
        "rollback/default": 1,
        "approve/default": 1,
        "batch-score/default": 2,
    }


def test_every_parameter_has_a_type_for_the_form(deployments: Deployments) -> None:
    forms = {name: (deployments[name].parameter_openapi_schema or {})["properties"] for name in NAMES}
    for name, form in forms.items():
        for field, schema in form.items():
            assert {"type", "enum", "anyOf", "allOf", "$ref"} & schema.keys(), f"{name}: {field}"
    choices = forms["grade-pipeline/default"]["on_drift"]
    assert choices["enum"] == ["stop", "retrain", "warn"]


@pytest.mark.parametrize("parameters", [{"on_drift": "shrug"}, {"data": 7}])
def test_a_wrong_parameter_is_refused(
    client: SyncPrefectClient, deployments: Deployments, parameters: dict[str, object]
) -> None:
    wanted = deployments["grade-pipeline/default"].id
    with pytest.raises(PrefectHTTPStatusError, match="Validation failed"):
        client.create_flow_run_from_deployment(wanted, parameters=parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("rollback/default", {"to": 5}),
        ("approve/default", {"version": 5, "decision": "approve", "name": "x", "reason": "y"}),
        ("batch-score/default", {"data": "roster.csv", "model": 5}),
    ],
)
def test_a_version_may_be_given_as_the_number_that_it_is(
    client: SyncPrefectClient, deployments: Deployments, name: str, parameters: dict[str, object]
) -> None:
    run = client.create_flow_run_from_deployment(deployments[name].id, parameters=parameters)
    client.delete_flow_run(run.id)


def test_runs_are_done_by_the_checkouts_own_python_whatever_is_on_the_path() -> None:
    pool = yaml.safe_load((ROOT / "prefect.yaml").read_text())["definitions"]["work_pool"]
    command = pool["job_variables"]["command"].replace(
        "-m prefect.engine", '-c "import sys; print(sys.prefix)"'
    )
    done = subprocess.run(
        shlex.split(command),
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (str(ROOT / ".venv"), "")


def test_no_path_of_this_machine_is_registered(deployments: Deployments) -> None:
    for name in NAMES:
        assert str(ROOT) not in deployments[name].model_dump_json()
    assert str(ROOT.parent) not in (ROOT / "prefect.yaml").read_text()


def test_a_wanted_retraining_starts_the_pipeline_and_nothing_else(
    client: SyncPrefectClient, deployments: Deployments
) -> None:
    pipeline = deployments["grade-pipeline/default"].id
    resources = [f"prefect.deployment.{deployments[name].id}" for name in NAMES]
    answers = [
        client.request("GET", "/automations/related-to/{resource_id}", path_params={"resource_id": each})
        for each in resources
    ]
    (wanted,) = [automation for answer in answers for automation in answer.json()]
    assert wanted["trigger"]["expect"] == ["gradecast.retraining-wanted"]
    (action,) = wanted["actions"]
    assert action["deployment_id"] == str(pipeline)
    assert action["parameters"]["on_drift"] == "retrain"


def test_without_a_server_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://127.0.0.1:{port_to_use(0)}/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    assert main([]) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert f"Bad input: PREFECT_API_URL is {address}, but no Prefect server is healthy there" in said


@pytest.fixture
def loop(
    deployed: str,
    registered: Registered,
    settings: Settings,
    variables: dict[str, str],
    one_candidate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Loop]:
    """The loop around the session's model as champion."""
    assert registered.version == "1"
    copy_state(settings.home, tmp_path / "home")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GRADECAST_APPROVAL", "none")
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "0.5")
    with prefect_server(tmp_path / "home"), loop_of(tmp_path / "home", deployed) as loop:
        use_grid(loop.client, one_candidate)
        yield loop


STUDENTS = 500


def test_a_wanted_retraining_ends_with_the_predictor_answering_with_the_new_version(loop: Loop) -> None:
    loop.wait_until(lambda: loop.predictor.version() == "1", "the first champion answers")
    loop.want_retraining(CHANGED)
    loop.wait_until(lambda: loop.predictor.version() == "2", "the new champion answers")
    assert loop.forecast() == "2"
    loop.wait_until(lambda: loop.states(CHANGED) == ["Completed"], "the run is completed")
    (run,) = loop.runs(CHANGED)
    assert (run.parameters["on_drift"], run.parameters["contract"]) == ("retrain", "grade_class")
    assert loop.unfinished() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_retrainings_wanted_at_once_end_with_one_champion(loop: Loop) -> None:
    other = CHANGED.replace("seed=9", "seed=10")
    for data in (CHANGED, other):
        loop.want_retraining(data)
    loop.wait_until(lambda: loop.states(CHANGED) == loop.states(other) == ["Completed"], "both are completed")
    assert state.versions(loop.home) == [(1,), (2,), (3,)]
    champions = state.rows(loop.home, "SELECT version FROM registered_model_aliases WHERE alias = 'champion'")
    assert len(champions) == 1
    loop.wait_until(lambda: loop.predictor.version() == str(champions[0][0]), "the predictor follows")
    assert loop.unfinished() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_monitor_notices_a_changed_relation_and_the_predictor_answers_with_what_was_learned_from_it(
    loop: Loop,
) -> None:
    loop.wait_until(lambda: loop.predictor.version() == "1", "the first champion answers")
    since = datetime.now(UTC)
    loop.ask_and_grade(cohort.generate(STUDENTS, 9, "grading-inflation", 1.0, first_id=700_001))
    loop.wait_until(lambda: loop.logged() == (STUDENTS, STUDENTS), "forecasts and grades are in the log")
    window = {"since": since.isoformat(), "until": datetime.now(UTC).isoformat()}
    loop.client.create_flow_run_from_deployment(loop.deployment("drift-monitor/daily"), parameters=window)
    loop.wait_until(lambda: loop.predictor.version() == "2", "the new champion answers")
    assert loop.forecast() == "2"
    loop.wait_until(lambda: loop.unfinished() == [], "nothing is left running")
