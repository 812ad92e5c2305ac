"""How many of a list are false alarms, and how many at risk are left out, from calibrated probabilities.

A count of independent students is Poisson–binomial. Beside chance there is what a model does not know
about itself: it may be a little too anxious, or too calm, about everyone at once. So the chances are
moved together on the logit scale, by a normal shift as wide as the data that the model learned from
leave it open, and the distributions are averaged over it.
"""

from typing import NamedTuple

import numpy as np

TAIL = 0.05  # on either side of a range of 90 %
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
MOST_DOUBT = 0.5  # on the logit scale, for a handful of training rows
EDGE = 1e-7  # a chance nearer to certainty than that is certain


class Range(NamedTuple):
    """A count to expect, and the range that holds it nine times in ten."""

    expected: float
    low: int
    high: int


class Counts(NamedTuple):
    """What is to be expected of a list: of those on it, and of those who are not."""

    listed: int
    false_alarms: Range
    at_risk_listed: Range
    left_out: Range


def counts_of(risks: np.ndarray, listed: np.ndarray, training_rows: int) -> Counts:
    """Return what to expect of a list.

    Args:
        risks: each student's probability of a class at risk (n,).
        listed: who is on the list (n,), booleans.
        training_rows: how many students the model learned from.
    """
    shift = doubt(risks, training_rows)
    on, off = risks[listed], risks[~listed]
    return Counts(len(on), count(1 - on, shift), count(on, shift), count(off, shift))


def doubt(risks: np.ndarray, training_rows: int) -> float:
    """Return the standard deviation, on the logit scale, of what the model may have wrong for everyone.

    The standard error of an intercept and a slope fitted to as many students as the model learned from,
    each as informative as these are on average: √(2 / (rows · mean of p (1 − p))).
    """
    informative = training_rows * float((risks * (1 - risks)).mean()) if len(risks) else 0.0
    return min(MOST_DOUBT, (2 / informative) ** 0.5) if informative > 0 else MOST_DOUBT


def count(chances: np.ndarray, shift: float) -> Range:
    """Return how many of some students to expect, each counted with a chance of its own (n,).

    `shift` is the standard deviation of what moves all chances at once, on the logit scale.
    """
    certain = int((chances > 1 - EDGE).sum())
    open_ = chances[(chances >= EDGE) & (chances <= 1 - EDGE)].astype(float)
    odds = np.exp(shift * NODES)[:, None] * (open_ / (1 - open_))
    weights = WEIGHTS / WEIGHTS.sum()
    total = np.cumsum(weights @ distribution(odds / (1 + odds)))
    low, high = np.searchsorted(total, (TAIL, 1 - TAIL))
    expected = float(chances.sum())
    first, last = certain + int(low), certain + min(int(high), len(open_))
    return Range(expected, min(first, round(expected)), max(last, round(expected)))


def distribution(chances: np.ndarray) -> np.ndarray:
    """Return the Poisson–binomial distribution of each row of chances (k, n) as (k, n + 1).

    The product of the students' generating polynomials, in pairs, by fast Fourier transforms.
    """
    rows, students = chances.shape
    leaves = 1 << max(students - 1, 0).bit_length()
    factors = np.zeros((rows, leaves, 2))
    factors[:, :, 0] = 1.0  # nobody: what fills up to a power of two
    factors[:, :students] = np.stack([1 - chances, chances], axis=-1)
    while factors.shape[1] > 1:
        width = 2 * factors.shape[2]
        waves = np.fft.rfft(factors, width)
        factors = np.fft.irfft(waves[:, ::2] * waves[:, 1::2], width)
    return np.clip(factors[:, 0, : students + 1], 0.0, None)
