"""Bootstrap intervals, paired differences, conformal sets, the luck of calibration."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from flows.training.metrics import (
    accuracy,
    bin_gaps,
    calibration_error,
    chance_error,
    confusion_matrix,
    f1_macro,
    of_likeliest,
    quadratic_kappa,
)
from flows.training.ordinal import row_losses

REPEATS = 1_000
DRAWS = 20_000_000  # rows drawn in all: fewer repeats on large sets, whose intervals are narrow
LEVEL = (2.5, 97.5)
BESIDE = ("difference", "low", "high")
"""Columns of a leaderboard: of `beside_chosen`."""


@dataclass(frozen=True)
class Difference:
    """The mean of a paired difference, its 95 % interval, and the share of resamples above 0."""

    mean: float
    low: float
    high: float
    above_zero: float


def intervals(
    probabilities: np.ndarray, y: np.ndarray, seed: int, prefix: str = ""
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of accuracy, f1_macro, qwk, log_loss and ece, each with its figure inside.

    Figures of the confusion matrix resample its cells (the same distribution as resampling rows).
    """
    rng = np.random.default_rng(seed)
    confusion = confusion_matrix(probabilities, y)
    cells = rng.multinomial(len(y), confusion.ravel() / len(y), size=REPEATS)
    tables = cells.reshape(REPEATS, *confusion.shape)
    losses = row_losses(probabilities, y)
    found = {
        "accuracy": ends_around(float(accuracy(confusion)), accuracy(tables)),
        "f1_macro": ends_around(float(f1_macro(confusion)), f1_macro(tables)),
        "qwk": ends_around(float(quadratic_kappa(confusion)), quadratic_kappa(tables)),
        "log_loss": ends_around(float(losses.mean()), _means_again(losses, rng)),
        "ece": calibration_interval(*of_likeliest(probabilities, y), seed),
    }
    return {f"{prefix}{name}": ends for name, ends in found.items()}


def calibration_interval(
    said: np.ndarray, came: np.ndarray, seed: int = 0, level: float = 95.0
) -> tuple[float, float]:
    """Return the interval of the calibration error of chances (n,), beside whether each came (n,).

    The error adds up sizes, so resamples have more of it than the rows, as the rows have more than the
    truth: their percentiles can leave out the figure itself, and hold the error of a perfect model never.
    What resamples do show is how far the gaps of the bins can be from the true ones, and the error cannot
    be farther from its truth than they are (the triangle inequality): at least the level, often more.
    """
    own, rng = bin_gaps(said, came), np.random.default_rng(seed)
    gaps = np.array([bin_gaps(said[rows], came[rows]) for rows in _resamples(len(said), rng)])
    reach = float(np.percentile(np.abs(gaps - own).sum(axis=1), level))
    error = float(np.abs(own).sum())
    return max(error - reach, 0.0), error + reach


def ends_around(figure: float, again: np.ndarray, level: tuple[float, float] = LEVEL) -> tuple[float, float]:
    """Return the percentiles of a figure's resamples, and no less than what holds the figure itself.

    Resamples of few rows can all but miss it, for they have rows twice and lack others.
    """
    low, high = np.percentile(again, level).tolist()
    return min(low, figure), max(high, figure)


def paired_bootstrap(
    loss_a: np.ndarray, loss_b: np.ndarray, seed: int = 0, level: tuple[float, float] = LEVEL
) -> Difference:
    """Compare two models' losses on the same rows (n,): the mean of a - b, below 0 where a is better.

    The interval ends at the percentiles `level`.
    """
    gap = np.asarray(loss_a, dtype=np.float64) - np.asarray(loss_b, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = _means_again(gap, rng)
    low, high = ends_around(float(gap.mean()), means, level)
    return Difference(float(gap.mean()), low, high, float((means > 0).mean()))


def beside_chosen(
    rival_oof: np.ndarray, chosen_oof: np.ndarray, y: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Return a model's log loss less the chosen one's on the same rows, both (n, K) out of fold.

    As columns of the leaderboard: `difference`, and the ends of its 95 % interval, `low` and `high`.
    """
    found = paired_bootstrap(row_losses(rival_oof, y), row_losses(chosen_oof, y), seed)
    return {"difference": found.mean, "low": found.low, "high": found.high}


def _means_again(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([values[rows].mean() for rows in _resamples(len(values), rng)])


def _resamples(n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    repeats = int(np.clip(DRAWS // n, 100, REPEATS))
    return (rng.integers(0, n, n) for _ in range(repeats))


COVERAGE = 0.9


@dataclass(frozen=True)
class Thresholds:
    """The least probability at which each class enters the set, and the rows it was set on.

    0, so always in the set, for a class with fewer than 9 calibration rows: none can promise 90 %.
    """

    least: tuple[float, ...]
    rows: tuple[int, ...]
    level: float = COVERAGE


def calibrate(probabilities: np.ndarray, y: np.ndarray, level: float = COVERAGE) -> Thresholds:
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


BAND_REPEATS = 200
ROWS = 5_000  # more rows leave nothing to luck worth showing


def null_calibration_error(probabilities: np.ndarray, seed: int = 0) -> float:
    """Return the median calibration error of a perfect model with these probabilities (n, K).

    Classes are drawn from the probabilities themselves, so what is left is the luck of n rows.
    """
    rng = np.random.default_rng(seed)
    sample = probabilities[:ROWS]
    reach = sample.cumsum(axis=1)[:, :-1]
    drawn = [(rng.random((len(sample), 1)) > reach).sum(axis=1) for _ in range(BAND_REPEATS)]
    return float(np.median([calibration_error(sample, y) for y in drawn]))


def null_risk_error(risk: np.ndarray, seed: int = 0) -> float:
    """Return the same of the calibration error of being at risk, of forecast risks (n,)."""
    rng, sample = np.random.default_rng(seed), risk[:ROWS]
    return float(
        np.median([chance_error(sample, rng.random(len(sample)) < sample) for _ in range(BAND_REPEATS)])
    )
