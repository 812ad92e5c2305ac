"""Progress while a run works: live on a terminal, a few plain lines anywhere else."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

PLAIN_WIDTH = 100
QUARTERS = 4  # plain lines of a search


class OnDone(Protocol):
    """To be told of work done, of how much in all, and the best log loss where it is known."""

    def __call__(self, done: int, total: int, best_log_loss: float | None = None) -> None:
        """Show it."""


class _Console(Console):
    """A console whose work goes on when its reader is gone, as a worker that was killed is."""

    def on_broken_pipe(self) -> None:
        """Say nothing more; Rich would end the process."""
        self.quiet = True
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def open_console() -> Console:
    """Open stdout for people; a character that it cannot show becomes a question mark, not an error."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = _Console()
    return console if console.is_terminal else _Console(width=PLAIN_WIDTH)


def print_line(console: Console, line: str | Text) -> None:
    """Print a line as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def to_stderr(line: str) -> None:
    """Show one line of progress to the person, if there still is one."""
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)


@contextmanager
def stage(name: str, console: Console | None = None) -> Iterator[None]:
    """Show that a stage is at work, and how long it took or that it stopped; a decorator as well."""
    started = time.perf_counter()
    console = console or open_console()
    console.print(f"{name} …")
    try:
        yield
    except BaseException:
        console.print(_line(name, "stopped", "red", started))
        raise
    console.print(_line(name, "done", "green", started))


def _line(name: str, word: str, style: str, started: float) -> Text:
    return Text.assemble(f"{name}: ", (word, style), (f" in {time.perf_counter() - started:.1f} s", "dim"))


@contextmanager
def search_progress(console: Console | None = None, name: str = "grid search") -> Iterator[OnDone]:
    """Give a callable to be told (done, total, best log loss so far) as pieces of work end."""
    console = console or open_console()
    if not console.is_terminal:
        yield _in_lines(console, name)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[best]}"), console=console) as progress:
        task = progress.add_task(name, total=None, best="")

        def on_done(done: int, total: int, best_log_loss: float | None = None) -> None:
            progress.update(task, completed=done, total=total, best=_best(best_log_loss))

        yield on_done


def _in_lines(console: Console, name: str) -> OnDone:
    said = 0

    def on_done(done: int, total: int, best_log_loss: float | None = None) -> None:
        nonlocal said
        quarter = QUARTERS * done // max(total, 1)
        if quarter > said:
            said = quarter
            console.print(f"{name}: {done} of {total}  {_best(best_log_loss)}".rstrip(), highlight=False)

    return on_done


def _best(log_loss: float | None) -> str:
    return "" if log_loss is None else f"best log loss {log_loss:.4f}"
