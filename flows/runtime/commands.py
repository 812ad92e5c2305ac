"""Run a flow from the command line: a Prefect server, readable errors, the fixed exit codes."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console

from data.errors import BadInput, Stopped
from flows.runtime.exit_codes import DONE, explain, foreseen, plain_errors
from flows.runtime.progress import open_console
from flows.runtime.runs import at_work, reconcile
from flows.runtime.server import prefect_server
from flows.settings import Settings


def run_flow(
    flow: Flow[..., Any],
    parameters: dict[str, Any],
    check: Callable[[], object],
    show: Callable[[Console, Any, Settings], None],
    meanwhile: Callable[[], object] = object,
) -> int:
    """Check the input, run the flow, show its result; return the exit code.

    `check` raises BadInput before a server is started for nothing; `meanwhile` is called while one starts,
    for what takes seconds to import. Runs of dead processes are ended first,
    and others see that this one's lives while it runs.
    """
    console, settings = open_console(), Settings()
    try:
        check()
        with (
            prefect_server(settings.home, meanwhile=meanwhile),
            without_heartbeats(),
            plain_errors(),
            ExitStack() as held,
        ):

            def begin(flow: object, flow_run: FlowRun, state: object) -> None:  # noqa: ARG001  Prefect's names
                held.enter_context(at_work(flow_run.id, settings.home))

            reconcile(settings.home)
            state: Any = flow.with_options(on_running=[begin])(**parameters, return_state=True)
            outcome = foreseen(state.name, state.message) or state.result(raise_on_failure=False)
    except (BadInput, Stopped, RuntimeError) as error:  # the last: no Prefect server could be started
        return explain(console, error, settings)
    if isinstance(outcome, Exception):
        return explain(console, outcome, settings)
    show(console, outcome, settings)
    return DONE


def without_heartbeats() -> AbstractContextManager[object]:
    """Let flows end at once: Prefect waits a second for the end of each one's heartbeat."""
    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
