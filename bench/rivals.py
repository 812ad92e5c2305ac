"""Is the default as good as an expert's choice: `python -m bench.rivals [--quick] [--only after_school]`.

Nested cross-validation of what a newcomer gets, beside each of its families tuned alone, histogram boosting
and the equal mean of all of them: log loss with its difference and interval, accuracy, and how far the risk
can be taken at its word. An hour for all; nobody's choice looks at the rows that it is judged on.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from bench.contracts_quality import SHARED, Case, nested, sound_rows
from data.bundle.answers import risk_of, risky
from data.contract.columns import Target
from data.contract.contract import load_contract
from flows.training.data import Folds, TrainingData, stratified_folds
from flows.training.grid import Grid, load_grid
from flows.training.metrics import calibration_line, paired_bootstrap
from flows.training.ordinal import row_losses

CASES = (
    Case("grade_class", "grade_class.csv"),
    Case("pass_fail", "uci_student_por.csv"),
    Case("pass_fail", "uci_student_mat.csv"),
    Case("after_school", rows=400),
    Case("after_school", rows=1_200),
    Case("exam_scores", rows=1_000),
    Case("leaving_exam", rows=1_200),
)
OURS, ALL, HISTOGRAMS = "default", "equal mean of them", "histogram boosting"
WANTED = 0.003  # log loss that the default may lose to the best of the others


def main() -> None:
    """Compare on each set and print the tables."""
    asked = _arguments()
    for case in CASES:
        if asked.only not in case.title or (case.file and not (SHARED / case.file).is_file()):
            continue
        data, _ = sound_rows(case)
        started = time.perf_counter()
        runs = [compared(data, seed, asked.folds, asked.jobs) for seed in range(asked.seeds)]
        seconds = time.perf_counter() - started
        print(f"\n{case.title}: {len(data.y):,} students, {asked.folds} x {asked.seeds}, {seconds:.0f} s")
        print(*lines(runs, data, load_contract(case.contract).target), sep="\n")


def rivals(data: TrainingData) -> dict[str, Grid]:
    """Return the default grid, and each family of it that these data allow, to be tuned alone."""
    default = load_grid("default")
    names = dict.fromkeys(family.family for family in default.families)
    alone = {
        str(name): default.model_copy(
            update={"pool": False, "families": tuple(one for one in default.families if one.family == name)}
        )
        for name in names
        if name != "linear" or data.kind == "score"
    }
    return {OURS: default, **alone}


def compared(data: TrainingData, seed: int, folds: int, jobs: int) -> dict[str, np.ndarray]:
    """Return the pooled held-out probabilities (n, K) of each by name."""
    outer = stratified_folds(data, folds, seed)
    found = {name: nested(data, grid, outer, seed, jobs) for name, grid in rivals(data).items()}
    found[HISTOGRAMS] = _histograms(data, outer, seed)
    others = [shares for name, shares in found.items() if name != OURS]
    return {**found, ALL: np.mean(others, axis=0)}


def _histograms(data: TrainingData, outer: Folds, seed: int) -> np.ndarray:
    pooled = np.empty((len(data.y), data.classes))
    for rows, held in outer:
        model = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=100, max_leaf_nodes=8, l2_regularization=1.0, random_state=seed
        )
        pooled[held] = model.fit(data.X[rows], data.y[rows]).predict_proba(data.X[held])
    return pooled


def lines(runs: list[dict[str, np.ndarray]], data: TrainingData, target: Target) -> Iterator[str]:
    """Yield a line for each model, the mean over the runs, and whether the default kept what is wanted."""
    losses = {name: np.mean([row_losses(run[name], data.y) for run in runs], axis=0) for name in runs[0]}
    beside, slope = "less the default (95 %)", "risk: slope"
    yield f"{'':22}{'log loss':>9}{'accuracy':>9}{beside:>28}{slope:>13}{'intercept':>10}"
    for name, own in losses.items():
        gap = paired_bootstrap(own, losses[OURS])
        right = np.mean([(run[name].argmax(axis=1) == data.y).mean() for run in runs])
        risks = [calibration_line(risk_of(run[name], target), risky(target)[data.y]) for run in runs]
        rise, level = (np.mean([line[of][0] for line in risks if line]) for of in ("slope", "intercept"))
        beside = "" if name == OURS else f"{gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
        yield f"{name:22}{own.mean():9.4f}{right:9.4f}{beside:>28}{rise:13.2f}{level:+10.2f}"
    best = min(float(own.mean()) for name, own in losses.items() if name != OURS)
    behind = float(losses[OURS].mean()) - best
    met = "met" if behind <= WANTED else "MISSED"
    yield f"behind the best of the others by {behind:+.4f}, wanted at most {WANTED}: {met}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.rivals", description=str(__doc__).split(":")[0])
    parser.add_argument("--quick", action="store_true", help="one seed, three outer folds")
    parser.add_argument("--only", default="", help="sets whose title holds this")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--folds", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    asked.seeds = asked.seeds or (1 if asked.quick else 5)
    asked.folds = asked.folds or (3 if asked.quick else 5)
    return asked


if __name__ == "__main__":
    main()
