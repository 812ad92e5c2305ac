"""How a command ends: readable errors, the fixed exit codes."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from data.errors import BadInput, Stopped
from data.words import cell
from flows.runtime.progress import print_line
from flows.runtime.workspace import finished_file
from flows.settings import Settings

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 3
NAMES: dict[type[Exception], str] = {BadInput: "Bad input", Stopped: "Stopped"}
"""What is foreseen to end a run, and the name of its failed state in Prefect."""
ENDS = {BadInput: ("bold red", BAD_INPUT), Stopped: ("bold yellow", STOPPED)}
LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def ended(error: BadInput | Stopped, contract: str, report: str | None = None) -> Any:
    """Return the failed state of a run that ended as was foreseen: its message, also on its page, says all.

    `report` is the address of a page that shows why.

    It is of type Any, for a flow may return a state in the place of what it promises.
    """
    from prefect.states import Failed

    from flows.runtime.run_page import publish

    name = next(name for kind, name in NAMES.items() if isinstance(error, kind))
    shown = f"\n\n[The report that shows why]({report})" if report else ""
    publish(contract, "summary", f"## {name}\n\n{cell(error)}{shown}", f"{name}: {error}")
    return Failed(name=name, message=str(error))


def foreseen(name: str | None, message: str | None) -> Exception | None:
    """Return the error that such a state was made of; None for any other state."""
    return next((kind(message or "") for kind, known in NAMES.items() if known == name), None)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Let Prefect's logs tell of what is foreseen in a line; a trace would say nothing more."""

    def without_trace(record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], tuple(NAMES)):
            record.exc_info = None
        return True

    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(without_trace)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(without_trace)


def explain(console: Console, error: Exception, settings: Settings) -> int:
    """Say what went wrong and return the exit code; the trace of what was not foreseen goes to a file."""
    for kind, name in NAMES.items():
        if isinstance(error, kind):
            style, code = ENDS[kind]
            print_line(console, Text.assemble((name, style), f": {error}"))
            return code
    log = settings.home / "failure.log"
    trace = "".join(traceback.format_exception(error))
    finished_file(log, lambda draft: draft.write_text(trace, encoding="utf-8"))
    failed = f": {type(error).__name__}: {error} The trace is in {log}."
    print_line(console, Text.assemble(("Failed", "bold red"), failed))
    return FAILED
