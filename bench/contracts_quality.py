"""Every contract beside its baselines, on the same outer folds, and beside what is known of its data."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.rare_classes import print_rare
from data.cohorts.addresses import GENERATORS
from data.contract.columns import Target
from data.contract.contract import load_contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from data.rows.spreadsheets import FIRST_ROW
from data.sources.reading import open_chunks
from flows.training.baselines import baselines_for, out_of_fold
from flows.training.data import Folds, TrainingData, stratified_folds
from flows.training.fit import fit
from flows.training.grid import Grid
from flows.training.metrics import evaluate
from flows.training.rows import training_data

SHARED = Path(__file__).parents[2] / "shared" / "data"
FOLDS = 5
SHOWN = ("log_loss", "accuracy", "f1_macro", "ece")
OURS, LIMIT = "Gradecast", "best possible"


@dataclass(frozen=True)
class Case:
    """A contract with data to try it on: a file, or else a cohort of so many rows; what is known of it."""

    contract: str
    file: str = ""
    rows: int = 0
    known: str = ""

    @property
    def title(self) -> str:
        """What the case is called."""
        return f"{self.contract}, {self.file or 'generated'}"


def cases(cohort: int) -> Iterator[Case]:
    """Yield the cases; a published file that is not here is left out."""
    known = {
        ("grade_class", "grade_class.csv"): "its rule: accuracy 0.827, macro F1 0.731, log loss 0.384",
        ("pass_fail", "uci_student_por.csv"): "549 of 649 pass",
        ("pass_fail", "uci_student_mat.csv"): "without G1, G2 accuracy about 0.70, majority 0.67",
    }
    for (contract, file), text in known.items():
        if (SHARED / file).is_file():
            yield Case(contract, file, known=text)
        else:
            print(f"{contract}: there is no {SHARED / file}, left out")
    for contract in ("exam_scores", "after_school"):
        yield Case(contract, rows=cohort, known="the rule that generated it")


def sound_rows(case: Case) -> tuple[TrainingData, pd.DataFrame]:
    """Return the sound rows of a case, as arrays and as they were read."""
    contract = load_contract(case.contract)
    source = str(SHARED / case.file) if case.file else f"cohort://{case.rows}?seed=1"
    with open_chunks(source, contract) as chunks:
        raw = pd.concat(chunks.read(), ignore_index=True)
    frame = parse(raw, contract, file=source)
    clean, faults = quarantine(frame, contract)
    kept = ~frame.index.isin(faults["row"] - FIRST_ROW)
    return training_data(clean, contract), raw[kept]


def compared(case: Case, grid: Grid, seed: int, jobs: int) -> dict[str, np.ndarray]:
    """Return the pooled held-out probabilities (n, K) of each model by name; the limit where it is known."""
    data, raw = sound_rows(case)
    folds = stratified_folds(data, FOLDS, seed)
    named = {OURS: nested(data, grid, folds, seed, jobs)}
    for name, predict in baselines_for(data, seed).items():
        named[name] = out_of_fold(data, folds, predict).probabilities
    if not case.file:
        named[LIMIT] = GENERATORS[case.contract].true_probabilities(raw)
    return named


def nested(data: TrainingData, grid: Grid, folds: Folds, seed: int, jobs: int) -> np.ndarray:
    """Return held-out probabilities (n, K) of the whole training stage, search included, fold by fold."""
    pooled = np.empty((len(data.y), data.classes))
    for rows, held in folds:
        fitted = fit(data.rows(rows), grid, seed=seed, jobs=jobs, baselines=False)
        pooled[held] = fitted.probabilities(data.X[held])
    return pooled


def quality_table(runs: list[dict[str, np.ndarray]], y: np.ndarray) -> pd.DataFrame:
    """Return each model's figures, the mean over the runs, lowest log loss first."""
    lines = []
    for name in runs[0]:
        figures = pd.DataFrame([evaluate(run[name], y) for run in runs]).mean()
        lines.append({"model": name, **{figure: figures[figure] for figure in SHOWN}})
    return pd.DataFrame(lines).sort_values("log_loss", ignore_index=True)


def print_contracts(cohort: int, grid: Grid, seeds: int, jobs: int) -> None:
    """Print a block of one table for each case, and what is done about rare classes."""
    print(f"\nEvery contract, {FOLDS} outer folds, {seeds} seeds")
    print(f"{'':36}" + "".join(f"{name:>10}" for name in SHOWN))
    for case in cases(cohort):
        data, _ = sound_rows(case)
        runs = [compared(case, grid, seed, jobs) for seed in range(seeds)]
        print(f"{case.title}: {len(data.y):,} rows; {case.known}")
        for line in quality_table(runs, data.y).itertuples(index=False):
            print(f"  {line.model:34}" + "".join(f"{getattr(line, name):10.4f}" for name in SHOWN))
        target: Target = load_contract(case.contract).target
        if target.costs is not None:
            print_rare(data, target, [run[OURS] for run in runs])
