"""Intervals of shares, and how many of some cases will come of which each has a chance of its own."""

from itertools import product
from typing import NamedTuple

import numpy as np

RANGE_LEVEL = 0.90
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
CERTAIN = 1e-7  # chances as near to 0 or 1 move no count; most of a large school are
MOST_SHIFT = 0.5  # on the logit scale, for a handful of training rows


class Proportion(NamedTuple):
    """A share of n cases with its interval; NaN of none."""

    share: float
    low: float
    high: float
    n: int


def proportion_ci(hits: np.ndarray, level: float = 0.95) -> Proportion:
    """Return the share of true values (n,) with its interval, as `count_ci`."""
    return count_ci(int(hits.sum()), len(hits), level)


def count_ci(came: int, n: int, level: float = 0.95) -> Proportion:
    """Return the share that `came` is of n with its Wilson interval.

    Over shares from 0.01 to 0.99 a 95 % interval holds the true one in 95.3, 95.1 and 95.0 of 100 samples
    of 30, 100 and 300, the exact one (Clopper and Pearson) in 97.3, 96.4 and 95.9, for it is up to a tenth
    wider. Brown, Cai and DasGupta 2001, "Interval Estimation for a Binomial Proportion".

    Args:
        came: how many of the cases.
        n: the cases.
        level: share of samples whose interval shall hold the true share.
    """
    from scipy.stats import binomtest  # workers that forecast do without

    if not n:
        return Proportion(np.nan, np.nan, np.nan, 0)
    ends = binomtest(came, n).proportion_ci(level, method="wilson")
    return Proportion(came / n, float(ends.low), float(ends.high), n)


def poisson_binomial(chances: np.ndarray) -> np.ndarray:
    """Return how likely each count of events is, of independent events with chances of their own.

    The product of the events' generating polynomials, in pairs, by fast Fourier transforms: Biscarri, Zhao
    and Brunner 2018, "A simple and fast method for computing the Poisson binomial distribution function".

    Args:
        chances: one set of n events a row (k, n).

    Returns:
        Probabilities of 0 to n events (k, n + 1).
    """
    rows, events = chances.shape
    leaves = 1 << max(events - 1, 0).bit_length()
    factors = np.zeros((rows, leaves, 2))
    factors[:, :, 0] = 1.0  # nothing: what fills up to a power of two
    factors[:, :events] = np.stack([1 - chances, chances], axis=-1)
    while factors.shape[1] > 1:
        width = 2 * factors.shape[2]
        waves = np.fft.rfft(factors, width)
        factors = np.fft.irfft(waves[:, ::2] * waves[:, 1::2], width)
    return np.clip(factors[:, 0, : events + 1], 0.0, None)


def shift_sd(chances: np.ndarray, rows: int, parameters: int) -> float:
    """Return how far a model may be off for all cases at once: a standard deviation on the logit scale.

    The standard error of a logistic fit of so many parameters (an intercept, or a slope too) on as many rows
    as the model learned from, each as informative as the cases are on average: √(parameters / (rows · mean
    of p (1 − p))), and no more than a half.

    Args:
        chances: of the cases (n,).
        rows: what the model was trained on.
        parameters: of the fit, 1 or 2.
    """
    information = rows * float((chances * (1 - chances)).mean()) if len(chances) else 0.0
    return min(MOST_SHIFT, (parameters / information) ** 0.5) if information > 0 else MOST_SHIFT


def count_distribution(chances: np.ndarray, shift: float) -> np.ndarray:
    """Return how likely each count is (n + 1,): Poisson–binomial, averaged over a shift of all chances.

    Args:
        chances: of the cases (n,), from 0 to 1.
        shift: standard deviation of the normal shift on the logit scale, as of `shift_sd`.
    """
    odds = np.exp(shift * NODES)[:, None]
    shifted = odds * chances / (odds * chances + 1 - chances)
    return np.asarray(WEIGHTS / WEIGHTS.sum() @ poisson_binomial(shifted.astype(float)))


class CountRange(NamedTuple):
    """A count to expect, and the range that holds it nine times in ten."""

    expected: float
    low: int
    high: int


def count_range(chances: np.ndarray, shift: float) -> CountRange:
    """Return how many cases to expect, and the ends that at most 5 % of all counts are below and above.

    So the range holds the count at least nine times in ten; of a few cases, oftener.

    Args:
        chances: of the cases (n,).
        shift: as of `count_distribution`.
    """
    certain = int((chances >= 1 - CERTAIN).sum())
    open_ = chances[(chances > CERTAIN) & (chances < 1 - CERTAIN)]
    reached = np.cumsum(count_distribution(open_, shift))
    ends = np.searchsorted(reached, ((1 - RANGE_LEVEL) / 2, (1 + RANGE_LEVEL) / 2))
    low, high = (certain + ends).tolist()
    expected = float(chances.sum())
    return CountRange(expected, min(low, round(expected)), max(high, round(expected)))


def closest_interval(likely: np.ndarray, level: float = RANGE_LEVEL) -> tuple[int, int]:
    """Return the first and last count whose probabilities (n + 1,) add up closest to the level.

    Few rows have few counts: one that holds at least the level, as `count_range`, holds up to 97 % at 30.
    """
    reached = np.concatenate([[0.0], np.cumsum(likely)])
    ends = [int(np.searchsorted(reached[1:], tail)) for tail in ((1 - level) / 2, (1 + level) / 2)]
    last = len(likely) - 1
    firsts, lasts = (range(max(end - 1, 0), min(end + 1, last) + 1) for end in ends)
    held = {(a, b): reached[b + 1] - reached[a] for a, b in product(firsts, lasts) if a <= b}
    return min(held, key=lambda span: (round(abs(held[span] - level), 9), span[1] - span[0]))
