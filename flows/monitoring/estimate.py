"""How good the forecasts are while no grade has come: from their own calibrated probabilities.

Confidence-based performance estimation: each forecast is right with the probability of its own class, so
the number of right ones is a sum of unequal coins, a Poisson–binomial count. Kivimäki, Białek, Kuberski and
Nurminen 2025, "Performance Estimation in Binary Classification Using Calibrated Confidence".
Indifferent to a change in who is asked about; blind to a change in how grades come about.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats
from scipy.special import expit, logit

LEVEL = 0.90
EXACT_ROWS = 1_000
"""Up to here counts are told apart; beyond, the normal law is as good."""
MOST_EXACT = 5_000
"""No champion is taken for better calibrated than one of so many rows, as in the relation gates."""
NODES = 9
CLOSEST, SUREST = 1e-6, 1 - 1e-6


@dataclass(frozen=True)
class Estimate:
    """A share with its 90 % interval, of n rows."""

    value: float
    low: float
    high: float
    rows: int


def estimate_accuracy(probabilities: np.ndarray, trained_rows: int) -> Estimate:
    """Estimate the share of right forecasts from (n, K) probabilities, n > 0, without any outcome.

    The interval is for the accuracy that these rows will turn out to have. It holds the luck of the rows
    and the champion's calibration error, taken as that of a logistic intercept fitted on `trained_rows`.
    """
    sure = np.clip(probabilities.max(axis=1).astype(float), CLOSEST, SUREST)
    low, high = interval_of_share(sure, trained_rows)
    mean = float(
        probabilities.max(axis=1).mean()
    )  # a share that no whole count of the rows gives may lie beside both ends
    return Estimate(mean, min(low, mean), max(high, mean), len(sure))


def interval_of_share(chances: np.ndarray, trained_rows: int) -> tuple[float, float]:
    """Return the 90 % interval of the share of events that will come, of chances (n,) between 0 and 1."""
    n, variance = len(chances), float((chances * (1 - chances)).sum())
    if n > EXACT_ROWS:
        widened = variance * (1 + n / min(trained_rows, MOST_EXACT))
        reach = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(widened) / n
        mean = float(chances.mean())
        return max(mean - reach, 0.0), min(mean + reach, 1.0)
    low, high = closest_interval(_counts(chances, trained_rows))
    return low / n, high / n


def closest_interval(shares: np.ndarray, level: float = LEVEL) -> tuple[int, int]:
    """Return the first and last count whose probabilities (n + 1,) add up closest to the level.

    Few rows have few counts: one that holds at least the level holds up to 97 % at 30 rows.
    """
    reached = np.concatenate([[0.0], np.cumsum(shares)])
    ends = [int(np.searchsorted(reached[1:], tail)) for tail in ((1 - level) / 2, (1 + level) / 2)]
    last = len(shares) - 1
    firsts, lasts = (range(max(end - 1, 0), min(end + 1, last) + 1) for end in ends)
    held = {(a, b): reached[b + 1] - reached[a] for a, b in product(firsts, lasts) if a <= b}
    return min(held, key=lambda span: (round(abs(held[span] - level), 9), span[1] - span[0]))


def _counts(chances: np.ndarray, trained_rows: int) -> np.ndarray:
    """Return the probability of each count (n + 1,): Poisson–binomial, averaged over the calibration error.

    A logistic intercept fitted on N rows like these has the standard error 1 / √(N · mean c(1 − c)).
    """
    information = min(trained_rows, MOST_EXACT) * float((chances * (1 - chances)).mean())
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    shifted = expit(logit(chances) + nodes[:, None] / np.sqrt(max(information, 1.0)))
    counts = np.arange(len(chances) + 1)
    each = [stats.poisson_binom(row).pmf(counts) for row in shifted]
    return np.average(each, axis=0, weights=weights)
