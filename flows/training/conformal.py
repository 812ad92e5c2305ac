"""Grade sets that hold the true class for a set share of each class's students.

Class-conditional split conformal prediction (Vovk 2012, "Conditional validity of inductive
conformal predictors"), calibrated on out-of-fold probabilities.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.stats import binomtest

LEVEL = 0.9


@dataclass(frozen=True)
class Thresholds:
    """The least probability at which each class enters the set, and the rows it was set on.

    0, so always in the set, for a class with fewer than 9 calibration rows: none can promise 90 %.
    """

    least: tuple[float, ...]
    rows: tuple[int, ...]
    level: float = LEVEL


@dataclass(frozen=True)
class Coverage:
    """The share of a class's n rows whose set holds it, with its exact 95 % interval; NaN for no rows."""

    share: float
    low: float
    high: float
    n: int


def calibrate(probabilities: np.ndarray, y: np.ndarray, level: float = LEVEL) -> Thresholds:
    """Set each class's threshold from out-of-fold probabilities (n, K).

    For n rows of a class, the ceil((n + 1) level)-th largest of their probabilities of it: then
    a new row of the class is at or above it with at least that chance, whatever the model.
    (Out-of-fold and refitted models differ a little, so the promise is close, not exact.)
    """
    own = [np.sort(probabilities[y == k, k])[::-1] for k in range(probabilities.shape[1])]
    ranks = [ceil((len(values) + 1) * level - 1e-9) for values in own]
    least = tuple(
        float(values[rank - 1]) if rank <= len(values) else 0.0
        for values, rank in zip(own, ranks, strict=True)
    )
    return Thresholds(least, tuple(len(values) for values in own), level)


def grade_sets(probabilities: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Return membership (n, K), bool: classes at or above their threshold, and always the top one."""
    member = probabilities >= np.asarray(thresholds.least)
    member[np.arange(len(member)), probabilities.argmax(axis=1)] = True
    return member


def coverage(
    probabilities: np.ndarray, y: np.ndarray, thresholds: Thresholds, labels: tuple[str, ...]
) -> dict[str, Coverage]:
    """Return the realised coverage of each class by label."""
    held = grade_sets(probabilities, thresholds)[np.arange(len(y)), y]
    return {label: _coverage(held[y == k]) for k, label in enumerate(labels)}


def _coverage(held: np.ndarray) -> Coverage:
    if not len(held):
        return Coverage(float("nan"), float("nan"), float("nan"), 0)
    interval = binomtest(int(held.sum()), len(held)).proportion_ci(0.95, method="exact")
    return Coverage(float(held.mean()), float(interval.low), float(interval.high), len(held))
