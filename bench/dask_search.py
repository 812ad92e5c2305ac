"""The grid search on local Dask clusters of one and two workers: `python -m bench.dask_search [--quick]`.

The same candidates, rows and folds as in `bench.grid_search`, each grown to its full number of rounds;
beside it one and two processes of this machine. Clusters and processes are up before the clock runs, and
what has to start them is told. The runs alternate; medians are compared. All must find the same.
"""

import argparse
import time
from contextlib import ExitStack
from functools import partial
from statistics import median

from bench.grid_search import SEED, TINY, Run, alternate, students, usual_family
from flows.runtime.engine import Engine, running
from flows.training.data import Folds, TrainingData, stratified_folds
from flows.training.fit import search
from flows.training.grid import Grid

SPEED_UP = 1.6  # by the second worker, on two cores that the client shares: what is wanted


def main() -> None:
    """Run all four in turn and print seconds, speed-up and overhead."""
    parser = argparse.ArgumentParser("python -m bench.dask_search", description=str(__doc__).split(":")[0])
    parser.add_argument("--quick", action="store_true", help="a twelfth of the candidates")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    data = students()
    folds = stratified_folds(data, 5, SEED)
    grid = Grid(families=(usual_family(asked.quick).model_copy(update={"patience": None}),))
    with ExitStack() as held:
        runs: dict[str, Run] = {f"{n} process": partial(_search, data, folds, grid, n, None) for n in (1, 2)}
        for workers in (1, 2):
            begun = time.perf_counter()
            engine = held.enter_context(running(Engine.of("dask", workers=workers)))
            _search(data, folds, TINY, 1, engine)
            print(f"Dask with {workers} worker: there and warm after {time.perf_counter() - begun:.1f} s")
            runs[f"{workers} worker"] = partial(_search, data, folds, grid, 1, engine)
        _search(data, folds, TINY, 2, None)  # so that its processes are there and warm, too
        seconds, losses = alternate(runs, asked.repeats)
    _report(seconds, losses, grid.size())


def _search(data: TrainingData, folds: Folds, grid: Grid, jobs: int, engine: Engine | None) -> float:
    found = search(data, grid, folds, seed=SEED, jobs=jobs, engine=engine, baselines=False)
    return found.members[0].out_of_fold.log_loss


def _report(seconds: dict[str, list[float]], losses: dict[str, float], size: int) -> None:
    middle = {name: median(values) for name, values in seconds.items()}
    repeats = len(seconds["1 process"])
    print(f"{size} candidates x 5 folds, two cores, medians of {repeats} runs")
    for name, value in middle.items():
        print(f"{name:12} {value:8.1f} s   best log loss {losses[name]:.6f}")
    for n in (1, 2):
        over = middle[f"{n} worker"] / middle[f"{n} process"] - 1
        print(f"Dask over processes, {n}: {100 * over:+.0f} %")
    gain = middle["1 worker"] / middle["2 worker"]
    print(f"speed-up of the second worker: {gain:.2f} (wanted {SPEED_UP:g} {_met(gain >= SPEED_UP)})")
    print(f"speed-up of the second process: {middle['1 process'] / middle['2 process']:.2f}")
    print(f"all find the same: {_met(len(set(losses.values())) == 1)}")


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    main()
