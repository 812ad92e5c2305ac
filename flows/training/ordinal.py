"""From a latent score to class probabilities: cut points, and the objective that learns them.

The cumulative link model (McCullagh 1980, "Regression models for ordinal data"), with a probit link:
P(class <= k) = Phi((f - t_k) / sigma) for latent f, falling cut points t and classes 0 = best.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, ndtr, ndtri, softmax

from data.bundle.models import forecast_of

SMALLEST = 1e-12  # below this a probability is taken as this in a log loss
FAR = 30.0  # beyond this many sigmas the normal density and integral are flat
LEAST_HESSIAN = 1e-3
PER_ROOT_TWO_PI = 1 / np.sqrt(2 * np.pi)
NO_BASE = np.empty(0)

Total = Callable[[np.ndarray], np.ndarray]
"""Adds up what each holder of rows gives: nothing to add where all rows are here."""


@dataclass(frozen=True)
class OrdinalLink:
    """The last step of a model: from its latent, or its margins, to class probabilities.

    probit: `cuts` falling, one fewer than classes; `sigma` the latent's noise in its own unit.
    softmax: no cuts; `sigma` divides the margins (a temperature).
    base: the probability that each class has at least, whatever the record; none in older bundles.
    """

    kind: Literal["probit", "softmax"]
    cuts: tuple[float, ...]
    sigma: float
    base: tuple[float, ...] = ()

    def probabilities(self, latent: np.ndarray) -> np.ndarray:
        """Return (n, K) float64 from a latent (n,) for probit, from margins (n, K) for softmax."""
        return raised(forecast_of(latent, np.asarray(self.cuts), self.sigma), np.asarray(self.base))


def raised(probabilities: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return probabilities (n, K) none of which is below its base (K,): (1 - sum(b)) p + b."""
    return (1 - base.sum()) * probabilities + base if len(base) else probabilities


def row_losses(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return each row's log loss (n,) in nats."""
    chosen = probabilities[np.arange(len(y)), y].astype(np.float64)
    return -np.log(np.maximum(chosen, SMALLEST))


def fit_sigma(
    latent: np.ndarray,
    y: np.ndarray,
    cuts: np.ndarray,
    near: float,
    factor: float = 20.0,
    base: np.ndarray = NO_BASE,
) -> tuple[float, float]:
    """Find the noise of a latent, or the temperature of margins, by maximum likelihood.

    On the real A-F set this sigma equals the residuals' root mean square to three digits, and it
    needs no score. It is one number fitted on many out-of-fold rows: too little to overfit.

    Args:
        latent: (n,), or margins (n, K).
        y: the classes (n,).
        cuts: as of `forecast_of`.
        near: where the search starts.
        factor: how far from there it goes, up and down.
        base: as of `raised`, given.

    Returns:
        Sigma, and the mean log loss with it.
    """
    latent = latent.astype(np.float64)
    rows = np.arange(len(y))
    bounds = None if latent.ndim == 2 else _same_tail(*_own_distances(latent, y, cuts))

    def loss(log_sigma: float) -> float:
        sigma = np.exp(log_sigma)
        if bounds is not None:
            share = ndtr(bounds[0] / sigma) - ndtr(bounds[1] / sigma)
        elif len(base):
            share = softmax(latent / sigma, axis=1)[rows, y]
        else:
            return -float(log_softmax(latent / sigma, axis=1)[rows, y].mean())
        own = (1 - base.sum()) * share + base[y] if len(base) else share
        return -float(np.log(np.maximum(own, SMALLEST)).mean())

    span = (np.log(near / factor), np.log(near * factor))
    found = minimize_scalar(loss, bounds=span, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x)), float(found.fun)


PSEUDO_ROWS = 10  # that say the cut points are where they were
MOST_OUTLIERS = 0.5
FAR_SHIFT = 5.0  # sigmas
LEAST_FLOOR = 1e-6  # what six digits still show


class Head(NamedTuple):
    """What turns latents into probabilities: fitted to rows that the latents were not learned from.

    sigma: the latent's noise, or the margins' temperature. shifts (K-1,): of the cut points; () of margins.
    outliers: the share of rows whose class has nothing to do with their latent. base (K,): of `raised`.
    """

    sigma: float
    shifts: np.ndarray
    outliers: float
    base: np.ndarray

    def probabilities(self, latent: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        """Return (n, K), of cuts as of `forecast_of` that are not shifted yet."""
        return raised(forecast_of(latent, cuts + self.shifts, self.sigma), self.base)


def floor_of(rows: int, classes: int) -> float:
    """Return the least probability that so many rows support: what one that none of them was in is given.

    The mean of Jeffreys' prior with no occurrence among n rows: (1/2) / (n + K/2).
    """
    return max(0.5 / (rows + classes / 2), LEAST_FLOOR)


def fit_head(
    latent: np.ndarray, y: np.ndarray, cuts: np.ndarray, sigma: float, floor: float, shares: np.ndarray
) -> Head:
    """Fit cut points, noise and the share of outliers by maximum likelihood, the floor being given.

    A row's class is drawn from the class shares with the probability of an outlier, else by the link: a
    contaminated model (Tukey 1960, "A survey of sampling from contaminated distributions"), so that a few
    rows that nothing explains do not make all others less sure. Cut points are held near where they were
    by a normal prior of so little weight that a hundred rows outweigh it.

    Args:
        latent: (n,), or margins (n, K), out of fold.
        y: the classes (n,).
        cuts: as of `forecast_of`.
        sigma: where the search starts.
        floor: the least probability of a class.
        shares: of the classes (K,).
    """
    latent, margins = latent.astype(np.float64), latent.ndim == 2
    count, most = cuts.shape[-1], 1 - floor * len(shares)

    def of(theta: np.ndarray) -> tuple[float, np.ndarray]:
        scale, shifts, outliers = sigma * np.exp(theta[0]), theta[2:] * sigma, theta[1]
        own, by_sigma, by_cuts = (
            _own_margin(latent / scale, y) if margins else _own_share(latent, y, cuts + shifts, scale)
        )
        share = np.maximum(most * ((1 - outliers) * own + outliers * shares[y]) + floor, SMALLEST)
        slope, prior = -most / share / len(y), PSEUDO_ROWS / len(y)
        by_all = np.column_stack(
            [(1 - outliers) * by_sigma, shares[y] - own, (1 - outliers) * sigma * by_cuts]
        )
        by_theta = (slope[:, None] * by_all).sum(axis=0)  # no matrix product: threads change its last digits
        by_theta[2:] += prior * theta[2:]
        return -float(np.log(share).mean()) + prior / 2 * float((theta[2:] ** 2).sum()), by_theta

    limits = [(-3.0, 3.0), (0.0, MOST_OUTLIERS), *([(-FAR_SHIFT, FAR_SHIFT)] * count)]
    start = np.array([0.0, 0.01, *([0.0] * count)])
    found = minimize(of, start, jac=True, bounds=limits, method="L-BFGS-B", options={"ftol": 1e-7}).x
    shifts = found[2:] * sigma
    in_order = not margins and bool((np.diff(cuts + shifts, axis=-1) < 0).all())
    base = most * found[1] * shares + floor
    shifts = shifts if in_order else np.zeros(count)
    return Head(float(sigma * np.exp(found[0])), shifts, float(found[1]), base)


def _own_margin(margins: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each row's probability of its class (n,), its slope by the log of sigma (n,), and no cuts."""
    rows, shares = np.arange(len(y)), softmax(margins, axis=1)
    own = shares[rows, y]
    return own, own * ((shares * margins).sum(axis=1) - margins[rows, y]), np.empty((len(y), 0))


def _own_share(
    latent: np.ndarray, y: np.ndarray, cuts: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same of a latent with cuts, and the slopes by the cuts (n, K-1)."""
    upper, lower = (np.clip(away / sigma, -FAR, FAR) for away in _own_distances(latent, y, cuts))
    high, low = _same_tail(upper, lower)
    at_upper, at_lower = _density(upper), _density(lower)
    by_cuts, rows = np.zeros((len(y), cuts.shape[-1] + 2)), np.arange(len(y))
    by_cuts[rows, y + 1], by_cuts[rows, y] = -at_upper / sigma, at_lower / sigma
    return ndtr(high) - ndtr(low), lower * at_lower - upper * at_upper, by_cuts[:, 1:-1]


def starting_cuts(y: np.ndarray, classes: int) -> np.ndarray:
    """Return the cuts (K-1,) that give each class its share when the latent is 0 everywhere."""
    shares = np.cumsum(np.bincount(y, minlength=classes))[:-1] / len(y)
    return -ndtri(shares)


def move_cuts(
    cuts: np.ndarray, latent: np.ndarray, y: np.ndarray, steps: int = 2, total: Total = np.asarray
) -> np.ndarray:
    """Return the cuts moved by Newton steps to where each class is expected as often as it occurs.

    Solves sum_i Phi(f_i - t_k) = #(y <= k) for each k alone; since the counts rise with k, the
    solutions are in order (sorted all the same: two steps from nearby only approach them).

    Args:
        cuts: falling (K-1,), in sigmas of the latent.
        latent: (n,), in sigmas.
        y: the classes (n,).
        steps: of Newton's.
        total: adds up what other holders of rows give.
    """
    counts = total(np.bincount(y, minlength=len(cuts) + 1))
    rows = counts.sum()
    observed = np.cumsum(counts)[:-1] / rows
    for _ in range(steps):
        away = latent[:, None] - cuts
        slope = np.maximum(total(_density(away).sum(axis=0)) / rows, 1e-6)
        cuts = cuts + np.clip((total(ndtr(away).sum(axis=0)) / rows - observed) / slope, -0.5, 0.5)
    return np.sort(cuts)[::-1]


def gradient(latent: np.ndarray, y: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gradient and Hessian, each (n,), of the log loss by the latent, both in sigmas.

    With a and b the distances to the cuts below and above the row's class, and p = Phi(a) - Phi(b):
    gradient -(phi(a) - phi(b)) / p and, the loss being convex, Hessian
    ((phi(a) - phi(b)) / p)^2 + (a phi(a) - b phi(b)) / p > 0.

    Args:
        latent: (n,).
        y: the classes (n,).
        cuts: falling (K-1,).
    """
    upper, lower = (np.minimum(np.maximum(d, -FAR), FAR) for d in _own_distances(latent, y, cuts))
    high, low = _same_tail(upper, lower)
    share = np.maximum(ndtr(high) - ndtr(low), 1e-200)
    at_upper, at_lower = _density(upper), _density(lower)
    slope = (at_upper - at_lower) / share
    hessian = slope * slope + (upper * at_upper - lower * at_lower) / share
    return -slope, np.maximum(hessian, LEAST_HESSIAN)


def _own_distances(latent: np.ndarray, y: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (upper, lower), each (n,): the latent's distances to the cuts that bound each row's own class.

    upper is infinite for the last class, lower is minus infinity for the first.
    """
    rows = np.arange(len(y)) if cuts.ndim > 1 else 0
    padded = np.full((len(cuts) if cuts.ndim > 1 else 1, cuts.shape[-1] + 2), np.inf)
    padded[:, 1:-1], padded[:, -1] = cuts, -np.inf
    return latent - padded[rows, y + 1], latent - padded[rows, y]


def _same_tail(upper: np.ndarray, lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirror rows above both their cuts: in the lower tail the normal integral keeps its digits."""
    flip = lower > 0
    return np.where(flip, -lower, upper), np.where(flip, -upper, lower)


def _density(z: np.ndarray) -> np.ndarray:
    """Return the standard normal density."""
    return np.exp(-0.5 * z * z) * PER_ROOT_TWO_PI
