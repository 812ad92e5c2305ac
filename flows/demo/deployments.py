"""Start deployments, find their runs, and wait for what must come about."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

LIMIT = 600.0  # seconds for anything to come about
PAUSE = 0.5


def run(deployment: str, parameters: dict[str, Any]) -> "FlowRun":
    """Start a deployment and wait for its end; raises RuntimeError where it fails."""
    from prefect.deployments import run_deployment

    done: Any = run_deployment(deployment, parameters=parameters, timeout=LIMIT, poll_interval=1)
    if done.state is None or not done.state.is_completed():
        ended = done.state.message if done.state else "it never began"
        raise RuntimeError(f"{deployment} did not complete: {ended}")
    return done


def runs_of(deployment: str, since: datetime) -> list["FlowRun"]:
    """Return the runs of a deployment that were made since a moment, oldest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        return client.read_flow_runs(
            flow_run_filter=filters.FlowRunFilter(
                deployment_id=filters.FlowRunFilterDeploymentId(any_=[found.id]),
                expected_start_time=filters.FlowRunFilterExpectedStartTime(after_=since),
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        )


def is_final(flow_run: "FlowRun") -> bool:
    """Tell whether a run has ended."""
    return flow_run.state is not None and flow_run.state.is_final()


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait until something is true; raises RuntimeError where it does not come about."""
    end = time.monotonic() + LIMIT
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {LIMIT:.0f} s in vain until {what}")
        time.sleep(PAUSE)
