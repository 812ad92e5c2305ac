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
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WATCH_SECONDS = 0.5
GRACE_SECONDS = 20.0  # to end after a SIGTERM
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between two starts of a process that keeps ending
STEADY_SECONDS = 10.0  # a process that ran as long is started again at once


class Sidecar:
    """One module that is kept running in a process of its own, beside the workers."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._since = self._pause = 0.0

    def keep_running(self, now: float) -> None:
        """Start the process unless it runs; after a short life, wait longer each time. `now` is monotonic."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._process = None
            self._ended(now)
        if now - self._since >= self._pause:
            self._start(now)

    def _start(self, now: float) -> None:
        self._since = now
        try:
            with _end_held_back():
                self._process = subprocess.Popen(command(self._module), stdin=subprocess.DEVNULL)
        except OSError:  # no memory or no process left: the workers must not suffer from it
            self._ended(now)

    def _ended(self, now: float) -> None:
        steady = now - self._since >= STEADY_SECONDS
        self._pause = 0.0 if steady else min(max(2 * self._pause, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._since = now

    def end(self) -> None:
        """Tell the process to end."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the end of the process; kill it when it takes longer."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


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
            process.keep_running(time.monotonic())
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
    threading.Thread(target=_watch, args=(int(master),), daemon=True).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _watch(master: int) -> None:
    while os.getppid() == master:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)  # it did not listen: it waits for something that is not in Python


if __name__ == "__main__":
    main()
