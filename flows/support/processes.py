"""Processes that are kept running: started, started again when they end, and ended with all they began."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flows.support.fingerprint import ROOT
from flows.support.locks import file_lock, is_locked

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two starts of a process that keeps ending
STEADY_SECONDS = 60.0  # a process that ran as long is started again at once
GRACE_SECONDS = 20.0  # to end after a SIGTERM
START_LIMIT = 180.0  # to be well after a start: ten times what two busy cores need
LOOK_SECONDS = 0.1
LAST_LINES = 15  # of a log, for people
LARGEST_LOG = 10_000_000  # bytes
Say = Callable[[str], None]


@dataclass(frozen=True)
class Service:
    """A command to keep running, and how to tell that it is well."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    healthy: Callable[[], bool]
    orphans: bool = False
    """Whether what it began is left to end by itself when it dies."""


class Kept:
    """A service in a session of its own, so that a Ctrl-C in a terminal does not reach it past us.

    Its file in `folder` holds its process group, and it holds a lock on it: whoever comes after a
    supervisor that was killed can tell that the group still runs.
    """

    def __init__(self, service: Service, folder: Path, say: Say) -> None:
        self.service = service
        self.record, self.log = folder / service.name, folder / f"{service.name}.log"
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._since = self._pause = 0.0

    def start(self) -> None:
        """Start the command, its output to the end of its log."""
        self._since = time.monotonic()
        with file_lock(self.record) as lock, self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.service.command,
                cwd=ROOT,
                env=os.environ | self.service.environment,
                pass_fds=(lock,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            os.truncate(lock, 0)
            os.write(lock, str(self._process.pid).encode())

    def wait_until_healthy(self) -> None:
        """Wait until the service is well; raises RuntimeError with the end of its log if it will not be."""
        end = time.monotonic() + START_LIMIT
        while not self.service.healthy():
            code = self._process.poll() if self._process else None
            if code is not None or time.monotonic() > end:
                what = (
                    f"ended ({ended(code)})" if code is not None else f"was not well in {START_LIMIT:.0f} s"
                )
                last = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
                raise RuntimeError("\n".join([f"{self.service.name} {what}. {self.log} ends with:", *last]))
            time.sleep(LOOK_SECONDS)

    def tend(self) -> bool:
        """Start the command again if it has ended, after a pause; tell whether it was started."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                self._shorten_log()
            else:
                self._bury(self._process, code)
        elif time.monotonic() - self._since >= self._pause:
            self.start()
            return True
        return False

    def _bury(self, process: subprocess.Popen[bytes], code: int) -> None:
        if not self.service.orphans:
            signal_group(process.pid, signal.SIGKILL)  # a child left behind would keep the port
        steady = time.monotonic() - self._since >= STEADY_SECONDS
        self._pause = SHORTEST_PAUSE if steady else min(max(2 * self._pause, SHORTEST_PAUSE), LONGEST_PAUSE)
        again = f"starting it again in {self._pause:.0f} s. Its log: {self.log}"
        self._say(f"{self.service.name} ended ({ended(code)}); {again}")
        self._process, self._since = None, time.monotonic()

    def _shorten_log(self) -> None:
        """Set a long log aside. It is open for appending, so that it goes on at the new end."""
        if self.log.stat().st_size > LARGEST_LOG:
            self.log.with_suffix(".log.1").write_bytes(self.log.read_bytes())
            os.truncate(self.log, 0)

    def end(self) -> None:
        """Tell the command to end."""
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end, then kill what is left of it."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def kept(service: Service, folder: Path, say: Say) -> Iterator[Kept]:
    """Keep a service until the block ends; one that a killed supervisor left behind is ended first."""
    folder.mkdir(parents=True, exist_ok=True)
    end_leftover(folder / service.name)
    process = Kept(service, folder, say)
    process.start()
    try:
        yield process
    finally:
        process.end()
        process.wait()


def end_leftover(record: Path) -> None:
    """End the process group of a record that is still locked."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if not is_locked(record) or not record.read_text().isdigit():
            return
        signal_group(int(record.read_text()), how)
        end = time.monotonic() + GRACE_SECONDS
        while is_locked(record) and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)


def signal_group(group: int, how: signal.Signals) -> None:
    """Send a signal to a process group, which may have ended."""
    with suppress(ProcessLookupError):
        os.killpg(group, how)


def ended(code: int) -> str:
    """Say how a process ended, by its return code."""
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name
