"""A command's seconds, and the most memory that it and the processes it started held. Linux: reads /proc."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PAUSE = 0.1  # seconds between two looks at the memory
PAGE = os.sysconf("SC_PAGE_SIZE")


class Run(NamedTuple):
    """What a command took, and the last line that it said."""

    seconds: float
    memory: int
    said: str


def measured(command: list[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end; raises SystemExit where it fails."""
    started = time.perf_counter()
    own = {**os.environ, **(environment or {})}
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own) as process,
        highest_memory(process.pid) as highest,
    ):
        told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: it ended with {process.returncode}\n{told}")
    lines = told.splitlines()
    return Run(time.perf_counter() - started, highest[0], lines[-1] if lines else "")


@contextmanager
def highest_memory(pid: int) -> Iterator[list[int]]:
    """Watch a process and its descendants, and yield the bytes that they hold at the highest.

    Resident sets are added up: pages that processes share count each time.
    """
    highest, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(PAUSE):
            highest[0] = max(highest[0], sum(map(resident, family(pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield highest
    finally:
        done.set()
        watcher.join()


def family(pid: int) -> Iterator[int]:
    """Yield a process and all that it started, as long as they are there."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it ended just now
            continue
        for child in children:
            yield from family(int(child))


def resident(pid: int) -> int:
    """Return the bytes that a process holds in RAM; none once it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0
