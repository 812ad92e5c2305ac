"""Pipeline time and memory as the rows grow: `python -m bench.scale [--quick] [--engine dask]`.

10 thousand to 10 million generated students in a Parquet file each (its writing does not count), each size
in a process and a state folder of its own, on one Prefect server. A champion of 2,392 students is there
before the clock runs, so that drift has something to be compared with; then all the rows are processed,
checked for drift, trained on (one fixed candidate and the baselines, tuned on 50,000 and fitted to all),
registered and scored, without the log. Linux only, for memory is read from /proc.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.memory import measured
from bench.students import write_students
from flows.runtime.server import prefect_server

SIZES, QUICK = (10_000, 100_000, 1_000_000, 10_000_000), (10_000, 100_000)
STAGES = ("process", "drift", "train", "register", "score")
MOST_BYTES = 8 * 2**30
GRID = str(Path(__file__).with_name("fixed.yaml"))
CONTRACT, FIRST = "grade_class", "cohort://2392?seed=2"


@dataclass(frozen=True)
class Measured:
    """What one size took: seconds by stage, the seconds of it all, bytes at the highest."""

    rows: int
    stages: dict[str, float]
    whole: float
    memory: int

    @property
    def seconds(self) -> float:
        """Return the seconds of the stages, without imports and the first champion."""
        return sum(self.stages.values())


def main() -> None:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser("python -m bench.scale", description=str(__doc__).split(":")[0])
    parser.add_argument("--quick", action="store_true", help="up to 100 thousand rows")
    parser.add_argument("--rows", type=int, nargs="+", help="these sizes instead")
    parser.add_argument("--engine", default="local", choices=("local", "dask"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(run_stages(asked.one, asked.engine)))
        return
    sizes = asked.rows or (QUICK if asked.quick else SIZES)
    with tempfile.TemporaryDirectory() as place, prefect_server(Path(place)):
        report([measure(rows, asked.engine, Path(place)) for rows in sizes])


def run_stages(source: str, engine: str) -> dict[str, float]:
    """Run the stages as the pipeline and the batch score do; return the seconds of each."""
    from flows.drift import drift
    from flows.pipeline import grade_pipeline
    from flows.process import process
    from flows.register import register
    from flows.runtime.commands import without_heartbeats
    from flows.runtime.engine import Engine, on_engine, running
    from flows.score import batch_score
    from flows.train import train

    given: dict[str, Any] = {}
    with without_heartbeats(), running(Engine.of(engine)) as ready:
        grade_pipeline(FIRST, CONTRACT, GRID)
        runs: dict[str, Callable[[], Any]] = {
            "process": lambda: on_engine(process, ready)(source, CONTRACT, ready),
            "drift": lambda: drift(given["process"], CONTRACT, "warn"),
            "train": lambda: on_engine(train, ready)(given["process"], CONTRACT, GRID, ready),
            "register": lambda: register(given["train"], given["process"], CONTRACT),
            "score": lambda: batch_score(
                source, CONTRACT, log=False, engine=ready.kind, scheduler=ready.scheduler
            ),
        }
        return {name: _seconds(run, name, given) for name, run in runs.items()}


def _seconds(run: Callable[[], Any], name: str, given: dict[str, Any]) -> float:
    started = time.perf_counter()
    given[name] = run()
    return time.perf_counter() - started


def measure(rows: int, engine: str, place: Path) -> Measured:
    """Run one size in its own process and watch its memory."""
    source = write_students(place / f"{rows}.parquet", rows, seed=11)
    command = [sys.executable, "-m", "bench.scale", "--one", str(source), "--engine", engine]
    run = measured(command, {"GRADECAST_HOME": str(place / str(rows)), "GRADECAST_PREDICTOR_URL": ""})
    return Measured(rows, json.loads(run.said), run.seconds, run.memory)


def report(found: list[Measured]) -> None:
    """Print the tables, and what is wanted."""
    names = "".join(f"{name:>10}" for name in STAGES)
    print(f"{'seconds':>10} {names} {'stages':>9} {'whole':>8} {'memory':>10}")
    for one in found:
        stages = "".join(f"{one.stages[name]:10.1f}" for name in STAGES)
        print(f"{one.rows:10} {stages} {one.seconds:9.1f} {one.whole:8.1f} {one.memory / 2**20:6.0f} MiB")
    print(f"{'rows/s':>10}")
    for one in found:
        rates = "".join(f"{one.rows / one.stages[name]:10.0f}" for name in STAGES)
        print(f"{one.rows:10} {rates} {one.rows / one.seconds:9.0f}")
    print(f"{'growth':>10}")
    for less, more in pairwise(found):
        powers = "".join(f"{power(less, more, less.stages[s], more.stages[s]):10.2f}" for s in STAGES)
        print(f"{more.rows:10} {powers} {power(less, more, less.seconds, more.seconds):9.2f}")
    highest = max(one.memory for one in found)
    steepest = max((power(a, b, a.seconds, b.seconds) for a, b in pairwise(found)), default=0.0)
    print(f"memory under {MOST_BYTES / 2**30:g} GiB: {'met' if highest < MOST_BYTES else 'MISSED'}")
    print(f"time grows no faster than the rows (power <= 1): {'met' if steepest <= 1 else 'MISSED'}")


def power(smaller: Measured, larger: Measured, before: float, after: float) -> float:
    """Return the power of the rows that the seconds grew by from one size to the next."""
    return math.log(after / before) / math.log(larger.rows / smaller.rows)


if __name__ == "__main__":
    main()
