"""Our grid search against scikit-learn's: `python -m bench.grid_search [--quick]`.

The same 432 candidates of the `wide` grid (without its shallow trees), the same rows, the same five
folds, two processes each with one thread a fit. scikit-learn fits XGBClassifier
(`multi:softprob`), once for each value of n_estimators; its time is that of a random sample of the
candidates, two from each pair of n_estimators and max_depth, times what it is a sample of. Ours is
measured whole. The runs alternate; medians are compared.
"""

import argparse
import time
from collections.abc import Callable
from itertools import product
from statistics import median
from typing import Any

import numpy as np

from data.cohorts import grades as cohort
from data.contract.contract import load_contract
from data.rows.frames import parse
from flows.training.data import Folds, TrainingData, stratified_folds
from flows.training.fit import search
from flows.training.grid import Family, Grid, load_grid
from flows.training.rows import training_data

JOBS, SEED, ROWS, A_CELL = 2, 7, 1_900, 2
AXES = tuple(
    name for name in Family.model_fields if name not in {"family", "reg_lambda", "additive", "patience"}
)
TINY = Grid(families=(Family(max_depth=(1, 2), learning_rate=(0.1,), n_estimators=(10,)),))
SAME_ROUNDS, EARLY_STOPPING = 5.0, 10.0  # times faster: what is wanted

Run = Callable[[], float]  # returns the best candidate's cross-validated log loss


def main() -> None:
    """Run all three in turn and print the ratios."""
    parser = argparse.ArgumentParser("python -m bench.grid_search", description=str(__doc__).split(":")[0])
    parser.add_argument("--quick", action="store_true", help="a twelfth of the candidates")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    data = students()
    folds = stratified_folds(data, 5, SEED)
    family = usual_family(asked.quick)
    grid = Grid(families=(family,))
    sample = _sample(family, np.random.default_rng(SEED))
    whole = Grid(families=tuple(one.model_copy(update={"patience": None}) for one in grid.families))
    runs: dict[str, Run] = {
        "GridSearchCV": lambda: _scikit_learn(data, folds, sample),
        "same rounds": lambda: _ours(data, folds, whole),
        "early stopping": lambda: _ours(data, folds, grid),
    }
    start_processes()
    seconds, losses = alternate(runs, asked.repeats)
    _report(seconds, losses, grid.size(), len(sample))


def students() -> TrainingData:
    """Return the generated rows that are searched on."""
    contract = load_contract("grade_class")
    return training_data(parse(cohort.generate(ROWS, seed=SEED), contract), contract)


def usual_family(quick: bool) -> Family:
    """Return the wide grid's family of usual candidates, thinned when quick."""
    boosted = [one for one in load_grid("wide").families if isinstance(one, Family)]
    family = max(boosted, key=lambda one: len(one.n_estimators))
    thin = {"min_child_weight": (1.0,), "subsample": (0.8,), "colsample_bytree": (0.8,), "gamma": (0.0,)}
    return family.model_copy(update=thin | {"learning_rate": (0.05, 0.2)}) if quick else family


def _sample(family: Family, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Draw two candidates at random from each pair of n_estimators and max_depth."""
    candidates = [
        dict(zip(AXES, values, strict=True)) for values in product(*(getattr(family, name) for name in AXES))
    ]
    cells = list(product(family.n_estimators, family.max_depth))
    drawn = []
    for rounds, depth in cells:
        cell = [c for c in candidates if (c["n_estimators"], c["max_depth"]) == (rounds, depth)]
        drawn += [cell[i] for i in rng.choice(len(cell), min(A_CELL, len(cell)), replace=False)]
    return drawn


def _scikit_learn(data: TrainingData, folds: Folds, sample: list[dict[str, Any]]) -> float:
    from sklearn.model_selection import GridSearchCV
    from xgboost import XGBClassifier

    model = XGBClassifier(n_jobs=1, random_state=SEED)
    grid = [{name: [value] for name, value in candidate.items()} for candidate in sample]
    found = GridSearchCV(model, grid, scoring="neg_log_loss", cv=folds, n_jobs=JOBS, refit=False)
    return -float(found.fit(data.X, data.y).best_score_)


def _ours(data: TrainingData, folds: Folds, grid: Grid) -> float:
    return search(data, grid, folds, seed=SEED, jobs=JOBS, baselines=False).members[0].out_of_fold.log_loss


def alternate(runs: dict[str, Run], repeats: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Run each in turn, as often as asked; return seconds and best log loss by name."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    losses: dict[str, float] = {}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            losses[name] = run()
            seconds[name].append(time.perf_counter() - started)
    return seconds, losses


def start_processes() -> None:
    """Let the worker processes that both share import XGBoost and scikit-learn before the clock runs."""
    data = students().rows(np.arange(300))
    _ours(data, stratified_folds(data, 2, SEED), TINY)
    _scikit_learn(data, stratified_folds(data, 2, SEED), [{"n_estimators": 2}] * 2)


def _report(seconds: dict[str, list[float]], losses: dict[str, float], size: int, sampled: int) -> None:
    middle = {name: median(values) for name, values in seconds.items()}
    middle["GridSearchCV"] *= size / sampled
    repeats = len(seconds["same rounds"])
    print(f"{size} candidates x 5 folds x {ROWS} generated rows, {JOBS} processes, medians of {repeats} runs")
    times = f"extrapolated x{size / sampled:g}"
    print(f"GridSearchCV: {sampled} candidates of softprob, {times}; ours learn the score")
    print(f"{'search':16} {'seconds':>9} {'best log loss':>14} {'times faster':>13}  wanted")
    wanted = {"same rounds": SAME_ROUNDS, "early stopping": EARLY_STOPPING}
    for name, value in middle.items():
        ratio = middle["GridSearchCV"] / value
        goal = wanted.get(name)
        met = "" if goal is None else f">= {goal:g} {'met' if ratio >= goal else 'MISSED'}"
        print(f"{name:16} {value:9.1f} {losses[name]:14.4f} {ratio:13.1f}  {met}")
    no_worse = max(losses["same rounds"], losses["early stopping"]) <= losses["GridSearchCV"]
    print(f"log loss no worse: {'met' if no_worse else 'MISSED'}")


if __name__ == "__main__":
    main()
