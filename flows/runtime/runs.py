"""Runs and how they end: exit codes, retries, and what a killed run left behind."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, Scheduled
from prefect.tasks import Task

from data.durable import file_lock, is_locked
from flows.runtime.exit_codes import plain_errors
from flows.settings import Settings

RETRIES = 2
DELAYS: list[float] = [2, 10]  # seconds before each


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether a task failed for a reason that may be gone in a moment."""
    error = state.result(raise_on_failure=False)
    passing = (sa.exc.OperationalError, OSError)
    return isinstance(error, passing) or isinstance(getattr(error, "__cause__", None), passing)


POOL = "gradecast"
GONE = "The process of this run is gone."
LOST = timedelta(minutes=2)  # many times what a worker needs to start a run that it has taken
FORGOTTEN = timedelta(days=30)
SUSPENDED = "Suspended"  # waits without a process
AGAIN = "again-after-a-crash"  # a tag of deployments whose work can be taken up where it was left
ATTEMPT = "gradecast.attempt"
MOST_ATTEMPTS = 3
_held = ExitStack()


@contextmanager
def at_work(run: UUID | str, home: Path) -> Iterator[None]:
    """Let others see that a run's process lives, until the block or the process ends."""
    with ExitStack() as stack:
        with _swept(home):  # unlocked between being made and being locked, the file would look abandoned
            stack.enter_context(file_lock(_file(home, run)))
        yield


@contextmanager
def turn_of(contract: str, say: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other run of a contract is at work on this state folder, and say that one waits.

    Two at once would train on the same cores and wait for the same registry; of other contracts each goes on.
    """
    file = Settings().home / "turns" / f"{contract}.lock"
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(file, blocking=False))
        except BlockingIOError:
            say(f"Another run of {contract} is at work; this one waits for its turn.")
            held.enter_context(file_lock(file))
        yield


def begin_run() -> None:
    """Hold the file of the deployed run that this process is for, then end the runs of dead processes.

    A step of prefect.yaml, done before the flow is loaded. A worker does it too when a run has crashed,
    for itself, which is no run.
    """
    run, home = os.environ.get("PREFECT__FLOW_RUN_ID"), Settings().home
    if run:
        _held.enter_context(at_work(run, home))
        _held.enter_context(plain_errors())
        reconcile(home)


def reconcile(home: Path) -> list[str]:
    """Mark runs of dead processes as crashed, schedule again what may be; say what was done.

    Runs that a worker took and did not start before it was killed are given back to be taken again.
    Raises httpx.HTTPError where the Prefect server cannot be asked.
    """
    with get_client(sync_client=True) as client:
        with _swept(home):
            abandoned = [file for file in _folder(home).glob("[!.]*.lock") if not is_locked(file)]
            done = [told for file in abandoned if (told := _settle(client, file))]
        for run in _taken_and_not_started(client, home):
            client.set_flow_run_state(run.id, Scheduled(message="Its worker ended before it was started."))
    return done


def _settle(client: SyncPrefectClient, file: Path) -> str | None:
    """End the run of an abandoned file and remove the file; say what became of the run if it was at work."""
    try:
        run = client.read_flow_run(UUID(file.stem))
    except ObjectNotFound:  # the run of another server, which may come back
        if datetime.now(UTC) - datetime.fromtimestamp(file.stat().st_mtime, UTC) > FORGOTTEN:
            file.unlink()
        return None
    state = run.state
    told = None
    if state is not None and state.name != SUSPENDED:
        _crash(client, run)  # its worker may have seen it crash: what it had begun is still "Running"
        if state.is_crashed() or not state.is_final():
            told = f"{run.name} crashed{_start_again(client, run)}"
    file.unlink()
    return told


def _start_again(client: SyncPrefectClient, run: FlowRun) -> str:
    """Start a crashed run once more, with the same parameters, where its deployment asks for that."""
    attempt = int(str(run.labels.get(ATTEMPT, 1)))
    if run.deployment_id is None or AGAIN not in run.tags or attempt >= MOST_ATTEMPTS:
        return ""
    again = client.create_flow_run_from_deployment(
        run.deployment_id,
        parameters=run.parameters,
        idempotency_key=f"again-{run.id}",
        labels={ATTEMPT: attempt + 1},
    )
    return f"; scheduled again as {again.name}"


def _crash(client: SyncPrefectClient, run: FlowRun) -> None:
    """Mark a run as crashed, after the tasks and the flows that it had begun, but for what has ended."""
    own = FlowRunFilter.model_validate({"id": {"any_": [run.id]}})
    for task in client.read_task_runs(flow_run_filter=own):
        if task.state is not None and not task.state.is_final():
            client.set_task_run_state(task.id, Crashed(message=GONE), force=True)
    begun = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run.id]}})
    for child in client.read_flow_runs(flow_run_filter=begun):
        _crash(client, child)
    if run.state is not None and not run.state.is_final():
        client.set_flow_run_state(run.id, Crashed(message=GONE))


def _taken_and_not_started(client: SyncPrefectClient, home: Path) -> list[FlowRun]:
    taken = client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ["PENDING"]}}}),
        work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [POOL]}}),
    )
    now = datetime.now(UTC)
    return [
        run
        for run in taken
        if run.state is not None and now - run.state.timestamp > LOST and not is_locked(_file(home, run.id))
    ]


def _swept(home: Path) -> AbstractContextManager[int]:
    """Keep others from making or judging files for a moment."""
    return file_lock(_folder(home) / ".lock")


def _file(home: Path, run: UUID | str) -> Path:
    return _folder(home) / f"{run}.lock"


def _folder(home: Path) -> Path:
    return home / "runs"
