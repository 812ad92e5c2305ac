"""Pipeline time and memory as the rows grow: `python -m bench.scale [--quick]`.

2 thousand to 2 million generated rows, each size in a process and a state folder of its own, on one
Prefect server. Memory is the highest sum, over the run, of what the process and those that it started
hold in RAM (resident sets: shared pages count each time). Linux only, for it reads /proc.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from flows.support.prefect_server import prefect_server

SIZES, QUICK = (2_000, 20_000, 200_000, 2_000_000), (2_000, 20_000)
STAGES = ("process", "drift", "train", "register")
MOST_BYTES = 4 * 2**30
PAUSE = 0.1  # seconds between two looks at the memory
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measured:
    """What one size took: seconds by stage, the seconds of it all, bytes at the highest."""

    rows: int
    stages: dict[str, float]
    whole: float
    memory: int

    @property
    def seconds(self) -> float:
        """Return the seconds of the four stages, without imports."""
        return sum(self.stages.values())


def main() -> None:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser("python -m bench.scale", description=str(__doc__).split(":")[0])
    parser.add_argument("--quick", action="store_true", help="up to 20 thousand rows")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(run_stages(f"cohort://{asked.one}")))
        return
    with tempfile.TemporaryDirectory() as place, prefect_server(Path(place)):
        report([measure(rows, Path(place)) for rows in (QUICK if asked.quick else SIZES)])


def run_stages(source: str) -> dict[str, float]:
    """Run the four stages as the pipeline does; return the seconds of each."""
    from flows.drift import drift
    from flows.process import process
    from flows.register import register
    from flows.train import train

    given: dict[str, Any] = {}
    runs: dict[str, Callable[[], Any]] = {
        "process": lambda: process(source, "grade_class"),
        "drift": lambda: drift(given["process"], "grade_class"),
        "train": lambda: train(given["process"], "grade_class"),
        "register": lambda: register(given["train"], given["process"], "grade_class"),
    }
    seconds = {}
    for name, run in runs.items():
        started = time.perf_counter()
        given[name] = run()
        seconds[name] = time.perf_counter() - started
    return seconds


def measure(rows: int, place: Path) -> Measured:
    """Run one size in its own process and watch its memory."""
    command = [sys.executable, "-m", "bench.scale", "--one", str(rows)]
    environment = {**os.environ, "GRADECAST_HOME": str(place / str(rows))}
    started = time.perf_counter()
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process,
        highest_memory(process.pid) as highest,
    ):
        told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{rows} rows: the pipeline ended with {process.returncode}")
    stages = json.loads(told.splitlines()[-1])
    return Measured(rows, stages, time.perf_counter() - started, highest[0])


@contextmanager
def highest_memory(pid: int) -> Iterator[list[int]]:
    """Watch a process and its descendants, and yield the bytes that they hold at the highest."""
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


def report(found: list[Measured]) -> None:
    """Print the table, and what is wanted."""
    print(f"{'rows':>9} {''.join(f'{name:>10}' for name in STAGES)} {'seconds':>9} {'whole':>8}", end="")
    print(f" {'rows/s':>9} {'exponent':>9} {'memory':>9}")
    for number, one in enumerate(found):
        stages = "".join(f"{one.stages[name]:10.1f}" for name in STAGES)
        growth = f"{exponent(found[number - 1], one):9.2f}" if number else f"{'':9}"
        print(f"{one.rows:9} {stages} {one.seconds:9.1f} {one.whole:8.1f}", end="")
        print(f" {one.rows / one.seconds:9.0f} {growth} {one.memory / 2**20:5.0f} MiB")
    highest = max(one.memory for one in found)
    steepest = max(exponent(a, b) for a, b in pairwise(found))
    print(f"memory under 4 GiB: {'met' if highest < MOST_BYTES else 'MISSED'}")
    print(f"time grows no faster than the rows (exponent <= 1): {'met' if steepest <= 1 else 'MISSED'}")


def exponent(smaller: Measured, larger: Measured) -> float:
    """Return the power of the rows that the seconds grew by."""
    return math.log(larger.seconds / smaller.seconds) / math.log(larger.rows / smaller.rows)


if __name__ == "__main__":
    main()
