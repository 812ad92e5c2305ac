"""The grid search: every fit and every baseline in parallel, one leaderboard."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from flows.training.baselines import Baseline, baselines_for, out_of_fold
from flows.training.bootstrap import BESIDE, beside_chosen
from flows.training.curves import FitResult, OutOfFold, cross_validate
from flows.training.data import TrainingData
from flows.training.families.standing import candidate_rows
from flows.training.folds import Folds
from flows.training.grid import Grid
from flows.training.pool import run

if TYPE_CHECKING:
    from flows.support.engine import Engine

OURS = "gradecast"

OnDone = Callable[[int, int, float | None], None]
"""Told the units of work done, those in all, and the lowest log loss of a candidate so far."""


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    leaderboard: a row for each candidate and baseline, lowest cv_log_loss first, with the columns
    model (`gradecast` or the baseline's name), family and its parameters, rounds, sigma, cv_log_loss,
    cv_log_loss_std, cv_accuracy, cv_f1_macro, seconds, difference, low, high (of baselines, and the
    best of other families: of `beside_chosen`). params and best are the chosen candidate's;
    baselines hold out-of-fold probabilities (n, K) by name.
    """

    leaderboard: pd.DataFrame
    params: dict[str, Any]
    best: OutOfFold
    baselines: dict[str, np.ndarray]


def search(
    data: TrainingData,
    grid: Grid,
    folds: Folds,
    *,
    seed: int,
    jobs: int,
    on_done: OnDone | None = None,
    baselines: bool = True,
    engine: "Engine | None" = None,
) -> Found:
    """Cross-validate every candidate and baseline; choose the candidate of the lowest log loss.

    One fit with all its checkpoints and folds is a unit of work; `on_done` is called after each.
    The same seed gives the same choice, whatever the number of processes and wherever they are.
    """
    fits = grid.fits()
    named = baselines_for(data, seed) if baselines else {}
    work: list[partial[Any]] = [partial(out_of_fold, predict=baseline) for baseline in named.values()]
    work += [partial(cross_validate, fit=fit, seed=seed) for fit in fits]
    told = _teller(len(work), on_done) if on_done else None
    answers = run(work, jobs, told, shared=(data, folds), engine=engine)
    pooled: dict[str, Baseline] = dict(zip(named, answers, strict=False))
    results: list[FitResult] = answers[len(named) :]
    chosen = min(range(len(fits)), key=lambda number: results[number].best.log_loss)
    best = results[chosen].best
    board = leaderboard(data, results, pooled, best)
    return Found(board, fits[chosen].params, best, {name: b.probabilities for name, b in pooled.items()})


def _teller(total: int, on_done: OnDone) -> Callable[[int, Any], None]:
    lowest: list[float] = []

    def tell(done: int, answer: Baseline | FitResult) -> None:
        if isinstance(answer, FitResult):
            lowest[:] = [min([*lowest, answer.best.log_loss])]
        on_done(done, total, lowest[0] if lowest else None)

    return tell


def leaderboard(
    data: TrainingData, results: Sequence[FitResult], baselines: dict[str, Baseline], best: OutOfFold
) -> pd.DataFrame:
    """Return candidates and baselines in one frame, lowest cross-validated log loss first."""
    rows = [{"model": OURS, **row} for row in candidate_rows(results, best, data.y)]
    chosen = best.probabilities()
    for name, baseline in baselines.items():
        beside = beside_chosen(baseline.probabilities, chosen, data.y)
        rows.append({"model": name, **baseline.figures, "seconds": baseline.seconds, **beside})
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=list(dict.fromkeys([*frame.columns, *BESIDE])))
    return frame.sort_values("cv_log_loss", kind="stable", ignore_index=True)
