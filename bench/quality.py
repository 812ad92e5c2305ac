"""How good is the training stage, honestly: `python -m bench.quality [--quick]`.

Nested cross-validation of the whole stage: in each outer fold the search, its early stopping, sigma
and refit see the other folds alone, and the held-out rows are scored once. Then a generated
cohort, whose true probabilities are known, against the best that any model could do on it, at the end of
the year and after parts of it. Then every contract beside its baselines, on the same outer folds.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from bench.contracts_quality import print_contracts
from data.bundle.answers import grade_sets
from data.bundle.population import Accumulation
from data.cohorts import grades as cohort
from data.cohorts.part_way import best_possible, thinned
from data.contract.contract import Contract, load_contract
from data.rows.frames import matrix, parse
from data.rows.quarantine import quarantine
from data.rows.spreadsheets import FIRST_ROW
from data.sources.reading import open_chunks
from flows.reports.part_way import MEASURED_AT, population_of
from flows.training.data import TUNING_ROWS, TrainingData
from flows.training.fit import fit
from flows.training.grid import Grid, load_grid
from flows.training.metrics import evaluate
from flows.training.rows import training_data

REAL_FILE = Path(__file__).parents[2] / "shared" / "data" / "grade_class.csv"
REAL_SET = {  # what the published A-F set must reach
    "accuracy": (">=", 0.82),
    "f1_macro": (">=", 0.72),
    "qwk": (">=", 0.93),
    "log_loss": ("<=", 0.395),
    "ece": ("<=", 0.02),
    "accuracy_published": (">=", 0.765),
}
BAYES_SHARE = 0.995
PART_WAY_LOSS, PART_WAY_ECE = 0.02, 0.03  # above the best log loss, and the calibration error
LABEL_FAULT = "label contradicts score"


def main() -> None:
    """Run the parts and print them."""
    asked = _arguments()
    contract, grid = load_contract(asked.contract), load_grid(asked.grid)
    if not Path(asked.data).is_file():
        print(f"Nested cross-validation skipped: there is no {asked.data} (--data names another file).")
    else:
        data, consistent = labelled_rows(asked.data, contract)
        runs = [nested(data, consistent, grid, seed, asked.jobs) for seed in range(asked.seeds)]
        targets = REAL_SET if contract.name == "grade_class" else {}
        print_nested(pd.DataFrame(runs), targets, f"{asked.data}: {consistent.sum():,} consistent rows")
    if asked.cohort:
        print_bayes(asked.cohort, grid, asked.jobs)
        print_part_way(grid, asked.jobs)
    if asked.others:
        print_contracts(asked.others, grid, asked.seeds, asked.jobs)


def labelled_rows(path: str, contract: Contract) -> tuple[TrainingData, np.ndarray]:
    """Return all rows that are sound but for their label, and which of them (n,) have a sound label."""
    with open_chunks(path, contract) as chunks:
        frame = parse(pd.concat(chunks.read(), ignore_index=True), contract, file=path)
    _, faults = quarantine(frame, contract)
    broken = faults.loc[faults["reason"] != LABEL_FAULT, "row"] - FIRST_ROW
    contradicted = faults.loc[faults["reason"] == LABEL_FAULT, "row"] - FIRST_ROW
    sound = ~frame.index.isin(broken)
    return training_data(frame[sound], contract), ~frame.index.isin(contradicted)[sound]


def nested(data: TrainingData, consistent: np.ndarray, grid: Grid, seed: int, jobs: int) -> dict[str, float]:
    """Return the pooled figures of five outer folds; models see consistent rows only."""
    pooled = np.empty((len(data.y), data.classes))
    outer = StratifiedKFold(5, shuffle=True, random_state=seed)
    for rows, held in outer.split(data.X, np.where(consistent, data.y, data.classes)):
        train = data.rows(rows[consistent[rows]])
        pooled[held] = fit(train, grid, seed=seed, jobs=jobs, baselines=False).probabilities(data.X[held])
    figures = evaluate(pooled[consistent], data.y[consistent])
    return {**figures, "accuracy_published": float((pooled.argmax(axis=1) == data.y).mean())}


def print_nested(runs: pd.DataFrame, targets: dict[str, tuple[str, float]], title: str) -> None:
    """Print each figure's mean and spread over the seeds beside what is wanted."""
    print(f"\nNested 5-fold cross-validation, {title}, {len(runs)} seeds")
    print(f"{'figure':20} {'mean':>8} {'sd':>8} {'lowest':>8} {'highest':>8}  wanted")
    for name, values in runs.items():
        sign, limit = targets.get(str(name), ("", float("nan")))
        mean, spread = values.mean(), values.std(ddof=0)
        met = mean >= limit if sign == ">=" else mean <= limit
        verdict = f"{sign} {limit} {'met' if met else 'MISSED'}" if sign else ""
        print(f"{name:20} {mean:8.4f} {spread:8.4f} {values.min():8.4f} {values.max():8.4f}  {verdict}")


def print_bayes(rows: int, grid: Grid, jobs: int) -> None:
    """Train on four fifths of a generated cohort; print what it reaches on the rest of what is possible.

    Accuracies are expected ones under the true probabilities, so that luck with labels is left out.
    """
    contract = load_contract("grade_class")
    raw = cohort.generate(rows, seed=1)
    data = training_data(parse(raw, contract), contract)
    held = np.arange(rows) % 5 == 0
    started = time.perf_counter()
    fitted = fit(data.rows(np.flatnonzero(~held)), grid, seed=1, jobs=jobs, baselines=False)
    seconds = time.perf_counter() - started
    truth = cohort.true_probabilities(raw[held])
    top = fitted.probabilities(data.X[held]).argmax(axis=1)
    reached, best = truth[np.arange(len(truth)), top].mean(), truth.max(axis=1).mean()
    met = "met" if reached / best >= BAYES_SHARE else "MISSED"
    print(f"\nGenerated cohort of {rows:,} students, {held.sum():,} held out, {seconds:.0f} s")
    share = f"{reached / best:.3%}, wanted {BAYES_SHARE:.1%} {met}"
    print(f"accuracy {reached:.4f} of the {best:.4f} that is possible: {share}")


def print_part_way(grid: Grid, jobs: int, rows: int = 2_400, held: int = 20_000) -> None:
    """Train on a school's records of whole years; print how good it is on others' after parts of one."""
    contract = load_contract("grade_class")
    students = parse(cohort.generate(rows, seed=1), contract)
    fitted = fit(training_data(students, contract), grid, seed=1, jobs=jobs, baselines=False)
    least = fitted.thresholds.least
    population = population_of(students, contract, fitted.probabilities, least)
    accumulation = Accumulation(population.totals, contract)
    raw = cohort.generate(held, seed=2)
    frame, y, rng = parse(raw, contract), raw["GradeClass"].to_numpy(int), np.random.default_rng(0)
    print(f"\nPart of the way through, {rows:,} students learned from, {held:,} held out")
    print(f"{'passed':>8} {'log loss':>9} {'best':>7} {'ece':>6} {'sets hold, least class':>23}")
    for elapsed in (0.1, *MEASURED_AT):
        so_far, parts = thinned(frame, accumulation.columns, elapsed, rng), np.full(held, elapsed)
        shares = accumulation.mean(fitted.probabilities, matrix(so_far, contract), parts).astype(float)
        best = best_possible(so_far, contract.name, elapsed, {})
        assert best is not None
        found, limit = evaluate(shares, y), evaluate(best, y)["log_loss"]
        sets = grade_sets(shares, population.thresholds(least, parts))
        worst = min(sets[y == k, k].mean() for k in range(shares.shape[1]))
        met = found["log_loss"] - limit <= PART_WAY_LOSS and found["ece"] <= PART_WAY_ECE
        print(
            f"{elapsed:8.0%} {found['log_loss']:9.4f} {limit:7.4f} {found['ece']:6.3f} {worst:23.3f}"
            f"  {'met' if met else 'MISSED'}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.quality", description="Quality of the training stage.")
    parser.add_argument("--quick", action="store_true", help="one seed and a fifth of the cohort")
    parser.add_argument("--data", default=str(REAL_FILE), help="labelled records (default: %(default)s)")
    parser.add_argument("--contract", default="grade_class")
    parser.add_argument("--grid", default="default")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cohort", type=int, help="generated rows; 0 for none")
    parser.add_argument("--others", type=int, default=2_000,
                        help="generated rows of the other contracts; 0 leaves all of them out")  # fmt: skip
    asked = parser.parse_args()
    asked.seeds = asked.seeds or (1 if asked.quick else 5)
    if asked.cohort is None:
        asked.cohort = 20_000 if asked.quick else 2 * TUNING_ROWS
    return asked


if __name__ == "__main__":
    main()
