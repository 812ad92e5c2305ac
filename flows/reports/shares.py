"""Shares with exact intervals, and what a perfectly calibrated model would show by luck."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from flows.training.metrics import calibration_error, chance_error

REPEATS = 200
ROWS = 5_000  # more rows leave nothing to luck worth showing


@dataclass(frozen=True)
class Share:
    """A share of n rows with its exact (Clopper-Pearson) interval; NaN for no rows."""

    share: float
    low: float
    high: float
    n: int


def share_of(hits: np.ndarray, level: float = 0.95) -> Share:
    """Return the share of true values (n,) with its interval at a level."""
    if not len(hits):
        return Share(float("nan"), float("nan"), float("nan"), 0)
    interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(level, method="exact")
    return Share(float(hits.mean()), float(interval.low), float(interval.high), len(hits))


def luck_of_calibration(probabilities: np.ndarray, seed: int = 0) -> float:
    """Return the median calibration error of a perfect model with these probabilities (n, K).

    Classes are drawn from the probabilities themselves, so what is left is the luck of n rows.
    """
    rng = np.random.default_rng(seed)
    sample = probabilities[:ROWS]
    reach = sample.cumsum(axis=1)[:, :-1]
    drawn = [(rng.random((len(sample), 1)) > reach).sum(axis=1) for _ in range(REPEATS)]
    return float(np.median([calibration_error(sample, y) for y in drawn]))


def luck_of_risk(risk: np.ndarray, seed: int = 0) -> float:
    """Return the same of the calibration error of being at risk, of forecast risks (n,)."""
    rng, sample = np.random.default_rng(seed), risk[:ROWS]
    return float(np.median([chance_error(sample, rng.random(len(sample)) < sample) for _ in range(REPEATS)]))
