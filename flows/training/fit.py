"""The training core in one call: search, refit, thresholds. Pure apart from its processes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data.bundle.manifest import FamilyName
from data.bundle.models import Model
from flows.runtime.engine import Engine
from flows.training.boosters import refit
from flows.training.data import TUNING_ROWS, Kind, TrainingData, check_rows, stratified_folds, tuning_rows
from flows.training.families import Grown, how
from flows.training.grid import Grid
from flows.training.ordinal import Head
from flows.training.search import Chosen, Found, OnDone, Refit, compared, fit_all, not_worse, search
from flows.training.uncertainty import Thresholds, calibrate


@dataclass(frozen=True)
class Fitted:
    """A trained model and how it came to be.

    kind: what its latent is: the score, one learned from ordered classes, or a margin a class.
    tuned_on: positions of the rows that were searched on, in the given data's order (all, or the
    sample); oof_latent (m,), or (m, K) for softmax, and oof_probabilities (m, K) are theirs.
    notes: sentences for the model card.
    """

    family: FamilyName
    kind: Kind
    model: Model
    head: Head
    thresholds: Thresholds
    params: dict[str, Any]
    rounds: int
    leaderboard: pd.DataFrame
    tuned_on: np.ndarray
    oof_latent: np.ndarray
    oof_probabilities: np.ndarray
    baselines: dict[str, np.ndarray]
    notes: tuple[str, ...]

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Return class probabilities (n, K) of feature rows (n, F)."""
        return self.head.probabilities(self.model.latent(X))


def fit(
    data: TrainingData,
    grid: Grid,
    *,
    seed: int,
    folds: int = 5,
    jobs: int = 1,
    on_progress: OnDone | None = None,
    baselines: bool = True,
    limit: int = TUNING_ROWS,
    grow: Refit = refit,
    engine: Engine | None = None,
) -> Fitted:
    """Search the grid by stratified cross-validation and refit the best on all rows.

    Above `limit` rows the search uses a stratified sample of that size. Raises BadInput where a
    class has too few rows for the folds. The same arguments give the same model. `grow` is what
    fits XGBoost to all rows: `refit` here, or what spreads it over workers; `engine` searches.
    """
    check_rows(data, folds)
    sample = tuning_rows(data, folds, seed, limit)
    tuned = data if sample is None else data.rows(sample)
    parts = stratified_folds(tuned, folds, seed)
    found = search(
        tuned, grid, parts, seed=seed, jobs=jobs, on_done=on_progress, baselines=baselines, engine=engine
    )
    # Threads change the order of float sums: only where one would take minutes.
    threads = 1 if sample is None else jobs
    chosen = Chosen(found.best.family, found.params, found.best.rounds)
    grown = fit_all(data, chosen, seed, threads=threads, grow=grow)
    return _fitted(data, np.arange(len(data.y)) if sample is None else sample, found, grown)


def _fitted(data: TrainingData, tuned_on: np.ndarray, found: Found, grown: Grown) -> Fitted:
    best, shares = found.best, found.best.probabilities()
    kind: Kind = data.kind if len(grown.cuts) else "softmax"
    return Fitted(
        family=best.family,
        kind=kind,
        model=grown.model,
        head=grown.head(best.sigma),
        thresholds=calibrate(shares, data.y[tuned_on]),
        params=found.params,
        rounds=best.rounds,
        leaderboard=found.leaderboard,
        tuned_on=tuned_on,
        oof_latent=best.latent,
        oof_probabilities=shares,
        baselines=found.baselines,
        notes=(how(best.family, kind, data), *_notes(data, len(tuned_on), found.leaderboard)),
    )


def _notes(data: TrainingData, tuned: int, leaderboard: pd.DataFrame) -> list[str]:
    notes = []
    if tuned < len(data.y):
        notes.append(f"Tuned on a stratified sample of {tuned:,} rows, refitted on all {len(data.y):,}.")
    notes += compared(leaderboard)
    baselines = leaderboard[leaderboard["family"].isna()]
    return notes + not_worse(baselines.set_index("model"))
