"""The processes beside the workers: Gunicorn's master starts them, starts them again and ends them.

The master forks its workers, so it must not run threads: it tends to these processes in the same loop
as to its workers, once a second.
"""

import os
import resource
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from data.processes import GRACE_SECONDS, Supervised, end_with_parent


class Sidecar(Supervised):
    """One module that is kept running in a process of its own, beside the workers."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self._module = module

    def begin(self) -> subprocess.Popen[bytes]:
        """Start it with the end held back until it listens."""
        with _end_held_back():
            return subprocess.Popen(command(self._module), stdin=subprocess.DEVNULL)


def end_when_told(handler: Callable[..., object]) -> None:
    """Have a handler called at SIGTERM, at once where one came while this process was starting."""
    signal.signal(signal.SIGTERM, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


@contextmanager
def _end_held_back() -> Iterator[None]:
    """Have a child begin with SIGTERM held back until it listens: it would die of one and leave its work."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def keep_beside(arbiter: Any, modules: list[str]) -> None:
    """Start modules beside the workers of a Gunicorn arbiter, and start them again when they end.

    Gunicorn has no hook for children of one's own: its `manage_workers`, which starts the workers that
    are missing, is where these are tended to as well.
    """
    beside = [Sidecar(module) for module in modules]
    manage_workers = arbiter.manage_workers

    def manage_all() -> None:
        for process in beside:
            process.restart()
        manage_workers()

    arbiter.manage_workers, arbiter.beside = manage_all, beside


def end_beside(arbiter: Any) -> None:
    """End what was started beside an arbiter's workers, which have ended already."""
    for process in arbiter.beside:
        process.end()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in arbiter.beside:
        process.wait(deadline - time.monotonic())


def allow_open_files(wanted: int) -> None:
    """Let this process and its children have so many files open, or as many as they may at most."""
    some, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if some < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, most), most))


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module for as long as this process lives, even if it is killed."""
    return [sys.executable, "-m", "serving.processes", str(os.getpid()), module, *arguments]


def main() -> None:
    """Run a module as if by `python -m`, and end it when the process that wanted it is gone."""
    master, *sys.argv = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all, and the master minds it
    end_with_parent(int(master), GRACE_SECONDS)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
