"""Everything that is known of a trained model, for the plots and the card to read."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.card_audit import Flips
from data.contract import Contract
from data.reasons import Scale


@dataclass(frozen=True, eq=False)
class Evidence:
    """A trained model's figures on its test split, and how it came about; one is equal to itself alone.

    Classes are in the contract's order (best first where ordered), rows those of the test split.
    """

    contract: Contract
    y: np.ndarray
    """Class index of each test row, int64 (n,); 0 is the best class."""
    probabilities: np.ndarray
    """Of the test rows, (n, K)."""
    metrics: dict[str, float | None]
    """By registry name: `test_accuracy`, `cv_log_loss`, `test_precision_A` …; None where too few rows."""
    intervals: dict[str, tuple[float, float]]
    """95 % bootstrap intervals, by the same names."""
    leaderboard: pd.DataFrame
    """The chosen model, named `gradecast`, and the baselines on the same folds, lowest log loss first:
    name, log_loss, accuracy, f1_macro, and difference, low, high: its log loss less the chosen one's."""
    candidates: pd.DataFrame
    """One row a candidate of the grid: its parameters, rounds, cv_log_loss, cv_log_loss_std."""
    effects: np.ndarray
    """Of the reasons (first test rows, contract features), as `scale` has them."""
    scale: Scale
    """The unit of the effects, and what a positive one speaks for."""
    frame: pd.DataFrame
    """The test split as parsed: features and audit columns."""
    sets: list[list[str]]
    """The grade set of each test row, as labels."""
    flips: dict[str, Flips]
    """By audited column: what becomes of the forecasts when it alone is changed."""
    pooled: tuple[np.ndarray, np.ndarray]
    """The out-of-fold forecasts of the training split (m, K) and its classes (m,)."""
    bayes: dict[str, float] | None
    """On generated cohorts: the best possible accuracy, f1_macro and log_loss on the same rows."""
    params: dict[str, object]
    """The chosen candidate: parameters, rounds, head."""
    notes: tuple[str, ...]
    """Plain sentences a reader should know, such as what was tuned on a sample."""
    data: dict[str, object]
    """source, sha256, rows, clean, train_rows, test_rows, quarantined (reason: count), generated,
    date, git_commit, fingerprint."""
