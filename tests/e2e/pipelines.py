"""Pipelines in processes of their own, forked from one that has imported everything already.

The imports take most of the seconds of a short run; all else is as in `python -m flows.pipeline`.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from flows.pipeline import main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "tests.e2e.pipelines",
        "evidently",
        "flows.registry.registration",
        "flows.reports.evidently_cards",
        "catboost",
    ]
)
PATIENCE = 120.0  # seconds: many times what a run takes


@dataclass(frozen=True)
class Ended:
    """How a run ended, and all that the person saw."""

    code: int
    told: str


@dataclass(frozen=True)
class Running:
    """A pipeline at work, in a process group of its own."""

    process: ForkServerProcess
    output: Path

    def kill(self) -> None:
        """End it as `kill -9` or the out-of-memory killer does, with the processes that it started."""
        with suppress(ProcessLookupError):  # it ended by itself just now
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.join()

    def kill_when(self, reached: Callable[[], bool]) -> bool:
        """Kill it as soon as it has reached a point; tell whether it was still at work then."""
        end = time.monotonic() + PATIENCE
        while not reached() and self.process.is_alive() and time.monotonic() < end:
            time.sleep(0.002)
        at_work = self.process.is_alive()
        self.kill()
        return at_work

    def end(self) -> Ended:
        """Wait for its end."""
        self.process.join(PATIENCE)
        return Ended(self.process.exitcode or 0, self.output.read_text(encoding="utf-8"))


@contextmanager
def pipeline(arguments: list[str], variables: dict[str, str], output: Path) -> Iterator[Running]:
    """Start a pipeline with these environment variables, its output to a file; none outlives the block."""
    process = CONTEXT.Process(target=_run, args=(arguments, variables, str(output)))
    process.start()
    while not output.exists() and process.is_alive():
        time.sleep(0.002)
    running = Running(process, output)
    try:
        yield running
    finally:
        if process.is_alive():
            running.kill()
        process.join()


def _run(arguments: list[str], variables: dict[str, str], output: str) -> None:
    os.setsid()
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(variables)
    sys.exit(main(arguments))
