"""How a command ends: readable errors, the fixed exit codes."""

import traceback

from rich.console import Console
from rich.markup import escape

from data.errors import BadInput, Stopped
from flows.settings import Settings
from flows.support.workspace import finished_file

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 3


def explain(console: Console, error: Exception, settings: Settings) -> int:
    """Say what went wrong and return the exit code; the trace of what was not foreseen goes to a file."""
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
