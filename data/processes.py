"""Processes that are kept running: started again when they end, and ended within a patience."""

import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from data.durable import is_locked

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two starts of a process that keeps ending
STEADY_SECONDS = 60.0  # one that ran as long is no longer one that keeps ending
GRACE_SECONDS = 20.0  # to end after a SIGTERM
WATCH_SECONDS, LOOK_SECONDS = 0.5, 0.1
RECORD_SECONDS = 5.0  # from the lock of a record to what is written in it


class Supervised(ABC):
    """A process that is kept running by whoever calls `restart` often enough."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.pause = self._since = 0.0

    @abstractmethod
    def begin(self) -> subprocess.Popen[bytes]:
        """Start what is to run, and return it."""

    def reap(self, process: subprocess.Popen[bytes]) -> None:  # noqa: B027  most leave nothing
        """See to what a process that has ended leaves behind."""

    def restart(self, now: float | None = None) -> bool:
        """Start the process unless it runs, after short lives ever more rarely; tell whether it was started.

        `now` is monotonic, by default this moment.
        """
        now = time.monotonic() if now is None else now
        if self.process is not None:
            if self.process.poll() is None:
                return False
            ended, self.process = self.process, None
            self._back_off(now)
            self.reap(ended)
        if now - self._since < self.pause:
            return False
        try:
            self.start(now)
        except OSError:  # no memory or no process left: one more short life
            self._back_off(now)
        return self.process is not None

    def start(self, now: float) -> None:
        """Start the process; raises OSError where that cannot be done."""
        self._since = now
        self.process = self.begin()

    def _back_off(self, now: float) -> None:
        steady = now - self._since >= STEADY_SECONDS
        self.pause = SHORTEST_PAUSE if steady else min(max(2 * self.pause, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._since = now

    def end(self) -> None:
        """Tell the process to end."""
        if self.process is not None:
            self.process.terminate()

    def wait(self, seconds: float = GRACE_SECONDS) -> None:
        """Wait for the end of the process; kill it when it takes longer."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout=max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def end_with_parent(parent: int, grace: float = 0.0) -> None:
    """Let this process end soon after its parent, in the middle of its work too, even if that is killed.

    With seconds of grace it is told to by a SIGTERM first.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        if grace:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(grace)
        os._exit(1)  # it did not listen: it waits for something that is not in Python

    threading.Thread(target=watch, daemon=True).start()


def recorded(record: Path) -> list[int]:
    """Return what is in the file that a process keeps locked, its group first; nothing where none runs."""
    end = time.monotonic() + RECORD_SECONDS
    while is_locked(record) and time.monotonic() < end:
        if words := record.read_text().split():
            return [int(word) for word in words]
        time.sleep(LOOK_SECONDS)  # it is being started: a moment, and it is written
    return []


def end_recorded(record: Path) -> None:
    """End the process group whose record is still locked, and wait for its end."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        for group in recorded(record)[:1]:
            signal_group(group, how)
        end = time.monotonic() + GRACE_SECONDS
        while is_locked(record) and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)


def signal_group(group: int, how: signal.Signals) -> None:
    """Send a signal to a process group, which may have ended."""
    with suppress(ProcessLookupError):
        os.killpg(group, how)
