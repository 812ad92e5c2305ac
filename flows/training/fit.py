"""The training core in one call: search, refit, thresholds. Pure apart from its processes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb

from flows.training.boosters import Growing, predict_latent, refit
from flows.training.conformal import Thresholds, calibrate
from flows.training.data import Kind, TrainingData
from flows.training.folds import TUNING_ROWS, check_rows, stratified_folds, tuning_rows
from flows.training.grid import Grid
from flows.training.heads import Head
from flows.training.search import Found, OnDone, search


@dataclass(frozen=True)
class Fitted:
    """A trained model and how it came to be.

    tuned_on: positions of the rows that were searched on, in the given data's order (all, or the
    sample); oof_latent (m,), or (m, K) for softmax, and oof_probabilities (m, K) are theirs.
    notes: sentences for the model card.
    """

    kind: Kind
    booster: xgb.Booster
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
        return self.head.probabilities(predict_latent(self.booster, X))

    def booster_bytes(self) -> bytes:
        """Return the booster as UBJSON."""
        return bytes(self.booster.save_raw("ubj"))


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
) -> Fitted:
    """Search the grid by stratified cross-validation and refit the best on all rows.

    Above `limit` rows the search uses a stratified sample of that size. Raises BadInput where a
    class has too few rows for the folds. The same arguments give the same model.
    """
    check_rows(data, folds)
    sample = tuning_rows(data, folds, seed, limit)
    tuned = data if sample is None else data.rows(sample)
    parts = stratified_folds(tuned, folds, seed)
    found = search(tuned, grid, parts, seed=seed, jobs=jobs, on_done=on_progress, baselines=baselines)
    # Threads change the order of float sums: only where one would take minutes.
    growing = refit(data, found.params, found.best.rounds, seed, threads=1 if sample is None else jobs)
    return _fitted(data, np.arange(len(data.y)) if sample is None else sample, found, growing)


def _fitted(data: TrainingData, tuned_on: np.ndarray, found: Found, growing: Growing) -> Fitted:
    shares = found.best.probabilities()
    return Fitted(
        kind=data.kind,
        booster=growing.booster,
        head=growing.head(found.best.sigma),
        thresholds=calibrate(shares, data.y[tuned_on]),
        params=found.params,
        rounds=found.best.rounds,
        leaderboard=found.leaderboard,
        tuned_on=tuned_on,
        oof_latent=found.best.latent,
        oof_probabilities=shares,
        baselines=found.baselines,
        notes=_notes(data, len(tuned_on), found.leaderboard),
    )


def _notes(data: TrainingData, tuned: int, leaderboard: pd.DataFrame) -> tuple[str, ...]:
    notes = [HOW[data.kind]]
    if tuned < len(data.y):
        notes.append(f"Tuned on a stratified sample of {tuned:,} rows, refitted on all {len(data.y):,}.")
    good = leaderboard.loc[leaderboard["as_good"].eq(True), "model"]
    notes += [f"On these rows {name} is as good: its log loss is not surely higher." for name in good]
    return tuple(notes)


HOW: dict[Kind, str] = {
    "score": "The booster was trained on the score; the classes' own bounds are its cut points.",
    "ordinal": "No score to train on: the ordinal objective learned the cut points.",
    "softmax": "The classes have no order: one margin a class, and softmax.",
}
