"""Runs whose process is gone, on a real Prefect server: ended, and started again where that is wanted."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Crashed, Paused, Pending, Running, Suspended
from rich.console import Console

from data.durable import is_locked
from flows.runtime import runs as module
from flows.runtime.commands import run_flow
from flows.runtime.runs import AGAIN, POOL, at_work, begin_run, reconcile
from flows.runtime.server import prefect_server
from flows.settings import Settings

Home = Path


@flow
def stage_of_a_flow() -> None:
    """Begin a stage."""


@flow
def some_flow() -> None:
    """Begin a flow."""


@task
def some_task() -> None:
    """Begin a task."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> Iterator[Home]:
    """A state folder whose commands use the session's server."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path))
    with prefect_server(tmp_path):
        yield tmp_path


@pytest.fixture
def client(home: Home) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def begun(client: SyncPrefectClient, home: Home) -> FlowRun:
    """A run whose process has gone without a word."""
    run = client.create_flow_run(some_flow, state=Running())
    leave(home, run.id)
    return run


def leave(home: Home, run: UUID) -> None:
    """Hold a run's file and let go of it, as the kernel does for a process that is killed."""
    with at_work(run, home):
        pass


def state_of(client: SyncPrefectClient, run: UUID) -> str:
    return str(client.read_flow_run(run).state.name)


def test_a_run_whose_process_is_gone_is_marked_as_crashed_with_all_that_it_began(
    home: Home, client: SyncPrefectClient, begun: FlowRun
) -> None:
    placeholder = client.create_task_run(some_task, begun.id, "stage", state=Running())
    stage = client.create_flow_run(stage_of_a_flow, parent_task_run_id=placeholder.id, state=Running())
    work = client.create_task_run(some_task, stage.id, "work", state=Running())
    assert reconcile(home) == [f"{begun.name} crashed"]
    states = {state_of(client, begun.id), state_of(client, stage.id)}
    tasks = {client.read_task_run(each.id).state.name for each in (placeholder, work)}
    assert states == tasks == {"Crashed"}
    assert reconcile(home) == [], "it is said once"


def test_what_a_run_that_its_worker_saw_crash_had_begun_is_marked_as_crashed_too(
    home: Home, client: SyncPrefectClient, begun: FlowRun
) -> None:
    stage = client.create_task_run(some_task, begun.id, "stage", state=Running())
    running = client.create_flow_run(stage_of_a_flow, parent_task_run_id=stage.id, state=Running())
    waiting = client.create_flow_run(stage_of_a_flow, parent_task_run_id=stage.id)
    client.set_flow_run_state(waiting.id, Paused(timeout_seconds=60), force=True)
    client.set_flow_run_state(begun.id, Crashed(message="exited with status code -9"), force=True)
    reconcile(home)
    assert {state_of(client, each.id) for each in (begun, running, waiting)} == {"Crashed"}
    assert client.read_task_run(stage.id).state.name == "Crashed"
    assert client.read_flow_run(begun.id).state.message == "exited with status code -9"


def test_a_run_at_work_is_left_alone(home: Home, client: SyncPrefectClient) -> None:
    run = client.create_flow_run(some_flow, state=Running())
    with at_work(run.id, home):
        assert reconcile(home) == []
        assert state_of(client, run.id) == "Running"


@pytest.mark.parametrize(("waiting", "then"), [(Paused, "Crashed"), (Suspended, "Suspended")])
def test_a_run_that_waits_in_a_process_that_is_gone_has_crashed_and_one_that_waits_without_has_not(
    home: Home,
    client: SyncPrefectClient,
    begun: FlowRun,
    waiting: Callable[..., State[None]],
    then: str,
) -> None:
    client.set_flow_run_state(begun.id, waiting(timeout_seconds=60), force=True)
    reconcile(home)
    assert state_of(client, begun.id) == then


def test_runs_of_another_server_are_left_for_it(home: Home) -> None:
    leave(home, uuid4())
    assert reconcile(home) == reconcile(home) == []
    assert len(list((home / "runs").glob("[!.]*"))) == 1


@pytest.fixture
def deployment(client: SyncPrefectClient) -> Iterator[UUID]:
    """A deployment of our work pool that wants crashed runs to be started again."""
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    name = f"test-{uuid4()}"
    made = client.create_deployment(client.create_flow(some_flow), name, tags=[AGAIN], work_pool_name=POOL)
    yield made
    client.delete_deployment(made)


def test_a_crashed_run_of_a_deployment_is_started_again_but_not_for_ever(
    home: Home, client: SyncPrefectClient, deployment: UUID
) -> None:
    run = client.create_flow_run_from_deployment(deployment, parameters={})
    names = [run.name]
    left_in: list[State[None]] = [Running(), Crashed(), Running()]  # its worker may have seen it crash
    for left in left_in:
        client.set_flow_run_state(run.id, left, force=True)
        leave(home, run.id)
        (told,) = reconcile(home)
        assert told.startswith(f"{names[-1]} crashed")
        again = [each for each in client.read_flow_runs() if each.name in told and each.name not in names]
        if again:
            (run,) = again
            names.append(run.name)
            assert state_of(client, run.id) == "Scheduled"
    assert len(names) == 3


def test_a_run_that_a_dead_worker_had_taken_can_be_taken_by_another(
    home: Home, client: SyncPrefectClient, deployment: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.create_flow_run_from_deployment(deployment, parameters={})
    client.set_flow_run_state(run.id, Pending())
    reconcile(home)
    assert state_of(client, run.id) == "Pending", "its worker may be about to start it"
    monkeypatch.setattr(module, "LOST", timedelta(0))
    reconcile(home)
    assert state_of(client, run.id) == "Scheduled"


def test_a_deployed_run_is_seen_at_work_from_its_first_step(
    home: Home, client: SyncPrefectClient, begun: FlowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.create_flow_run(some_flow, state=Pending())
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(run.id))
    begin_run()
    assert is_locked(home / "runs" / f"{run.id}.lock")
    assert state_of(client, begun.id) == "Crashed"
    module._held.close()


def test_a_command_is_seen_at_work_while_its_flow_runs(home: Home, client: SyncPrefectClient) -> None:
    @flow
    def seen() -> list[bool]:
        return [is_locked(file) for file in (home / "runs").glob("[!.]*")]

    shown: list[list[bool]] = []

    def show(_console: Console, result: list[bool], _settings: Settings) -> None:
        shown.append(result)

    assert run_flow(seen, {}, lambda: None, show) == 0
    assert shown == [[True]]
    assert reconcile(home) == []
    assert list((home / "runs").glob("[!.]*")) == []
