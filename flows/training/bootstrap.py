"""Bootstrap intervals and paired comparisons: seeded, vectorised, quick at any size."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flows.training.heads import row_losses
from flows.training.metrics import ECE_BINS, accuracy, confusion_matrix, f1_macro, quadratic_kappa

REPEATS = 1_000
DRAWS = 20_000_000  # rows drawn in all: fewer repeats on large sets, whose intervals are narrow
LEVEL = (2.5, 97.5)


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
    """Return 95 % percentile intervals of accuracy, f1_macro, qwk, log_loss and ece.

    Figures of the confusion matrix resample its cells (the same distribution as resampling rows).
    """
    rng = np.random.default_rng(seed)
    confusion = confusion_matrix(probabilities, y)
    cells = rng.multinomial(len(y), confusion.ravel() / len(y), size=REPEATS)
    tables = cells.reshape(REPEATS, *confusion.shape)
    log_losses, errors = _row_figures(probabilities, y, rng)
    found = {
        "accuracy": accuracy(tables),
        "f1_macro": f1_macro(tables),
        "qwk": quadratic_kappa(tables),
        "log_loss": log_losses,
        "ece": errors,
    }
    return {f"{prefix}{name}": _ends(values) for name, values in found.items()}


def paired_bootstrap(
    loss_a: np.ndarray, loss_b: np.ndarray, seed: int = 0, level: tuple[float, float] = LEVEL
) -> Difference:
    """Compare two models' losses on the same rows (n,): the mean of a - b, below 0 where a is better.

    The interval ends at the percentiles `level`.
    """
    gap = np.asarray(loss_a, dtype=np.float64) - np.asarray(loss_b, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = np.array([gap[rows].mean() for rows in _resamples(len(gap), rng)])
    low, high = _ends(means, level)
    return Difference(float(gap.mean()), low, high, float((means > 0).mean()))


def as_good_as(baseline_oof: np.ndarray, chosen_oof: np.ndarray, y: np.ndarray, seed: int = 0) -> bool:
    """Tell whether a simpler model is as good: its log loss is not surely higher on the same rows.

    Both (n, K) out of fold. True where the 95 % interval of its loss minus the chosen one's reaches 0.
    """
    difference = paired_bootstrap(row_losses(baseline_oof, y), row_losses(chosen_oof, y), seed)
    return difference.low <= 0.0


def _row_figures(
    probabilities: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Return the resampled log losses and calibration errors."""
    losses = row_losses(probabilities, y)
    top = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == y) - top
    bins = np.minimum((top * ECE_BINS).astype(int), ECE_BINS - 1)
    log_losses, errors = [], []
    for rows in _resamples(len(y), rng):
        log_losses.append(losses[rows].mean())
        errors.append(np.abs(np.bincount(bins[rows], gap[rows], minlength=ECE_BINS)).sum() / len(y))
    return np.array(log_losses), np.array(errors)


def _resamples(n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    repeats = int(np.clip(DRAWS // n, 100, REPEATS))
    return (rng.integers(0, n, n) for _ in range(repeats))


def _ends(values: np.ndarray, level: tuple[float, float] = LEVEL) -> tuple[float, float]:
    low, high = np.percentile(values, level)
    return float(low), float(high)
