"""Run a flow from the command line: a Prefect server, readable errors, the fixed exit codes."""

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console
from rich.markup import escape

from data.errors import BadInput, Stopped
from flows.reports.progress import open_console
from flows.settings import Settings
from flows.support.prefect_server import prefect_server
from flows.support.workspace import finished_file

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 3


def run_flow(
    flow: Flow[..., Any],
    parameters: dict[str, Any],
    check: Callable[[], object],
    show: Callable[[Console, Any, Settings], None],
) -> int:
    """Check the input, run the flow, show its result; return the exit code.

    `check` raises BadInput before a server is started for nothing.
    """
    console, settings = open_console(), Settings()
    try:
        check()
        with prefect_server(settings.home), without_heartbeats():
            state: Any = flow(**parameters, return_state=True)  # typed for flows that return nothing
            outcome = _outcome(state)
    except (BadInput, Stopped, RuntimeError) as error:  # the last: no Prefect server could be started
        return _explain(console, error, settings)
    if isinstance(outcome, Exception):
        return _explain(console, outcome, settings)
    show(console, outcome, settings)
    return DONE


def without_heartbeats() -> AbstractContextManager[object]:
    """Let flows end at once: Prefect waits a second for the end of each one's heartbeat."""
    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})


def _outcome(state: State[Any]) -> Any:
    """Return what a flow returned, or the exception that ended it."""
    if state.name == "Stopped":
        return Stopped(state.message)
    return state.result(raise_on_failure=False)


def _explain(console: Console, error: Exception, settings: Settings) -> int:
    if isinstance(error, BadInput):
        console.print(f"[bold red]Bad input[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        return BAD_INPUT
    if isinstance(error, Stopped):
        console.print(f"[bold yellow]Stopped[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        return STOPPED
    log = settings.home / "failure.log"
    trace = "".join(traceback.format_exception(error))
    finished_file(log, lambda draft: draft.write_text(trace, encoding="utf-8"))
    text = f"[bold red]Failed[/]: {type(error).__name__}: {escape(str(error))} The trace is in {log}."
    console.print(text, highlight=False, soft_wrap=True)
    return FAILED
