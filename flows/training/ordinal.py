"""From a latent score to class probabilities: cut points, and the objective that learns them.

The cumulative link model (McCullagh 1980, "Regression models for ordinal data"), with a probit link:
P(class <= k) = Phi((f - t_k) / sigma) for latent f, falling cut points t and classes 0 = best.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, ndtr, ndtri, softmax

SMALLEST = 1e-12  # below this a probability is taken as this in a log loss
FAR = 30.0  # beyond this many sigmas the normal density and integral are flat
LEAST_HESSIAN = 1e-3
PER_ROOT_TWO_PI = 1 / np.sqrt(2 * np.pi)

Total = Callable[[np.ndarray], np.ndarray]
"""Adds up what each holder of rows gives: nothing to add where all rows are here."""


@dataclass(frozen=True)
class OrdinalLink:
    """The last step of a model: from its latent, or its margins, to class probabilities.

    probit: `cuts` falling, one fewer than classes; `sigma` the latent's noise in its own unit.
    softmax: no cuts; `sigma` divides the margins (a temperature).
    """

    kind: Literal["probit", "softmax"]
    cuts: tuple[float, ...]
    sigma: float

    def probabilities(self, latent: np.ndarray) -> np.ndarray:
        """Return (n, K) float64 from a latent (n,) for probit, from margins (n, K) for softmax."""
        return class_probabilities(latent, np.asarray(self.cuts), self.sigma)


def class_probabilities(latent: np.ndarray, cuts: np.ndarray, sigma: float) -> np.ndarray:
    """Return the class probabilities (n, K), float64, best class first.

    Args:
        latent: (n,) with cuts; margins (n, K), which have none, go through softmax.
        cuts: falling, (K-1,), or (n, K-1) where each row has its own; in the latent's unit.
        sigma: the latent's noise, or the margins' temperature.
    """
    latent = latent.astype(np.float64)
    if latent.ndim == 2:
        return np.asarray(softmax(latent / sigma, axis=1))
    reach = ndtr((latent[:, None] - cuts) / sigma)
    ends = np.ones((len(latent), 1))
    return np.diff(np.hstack([0 * ends, reach, ends]), axis=1)


def row_losses(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return each row's log loss (n,) in nats."""
    chosen = probabilities[np.arange(len(y)), y].astype(np.float64)
    return -np.log(np.maximum(chosen, SMALLEST))


def fit_sigma(
    latent: np.ndarray, y: np.ndarray, cuts: np.ndarray, near: float, factor: float = 20.0
) -> tuple[float, float]:
    """Find the noise of a latent, or the temperature of margins, by maximum likelihood.

    On the real A-F set this sigma equals the residuals' root mean square to three digits, and it
    needs no score. It is one number fitted on many out-of-fold rows: too little to overfit.

    Args:
        latent: (n,), or margins (n, K).
        y: the classes (n,).
        cuts: as of `class_probabilities`.
        near: where the search starts.
        factor: how far from there it goes, up and down.

    Returns:
        Sigma, and the mean log loss with it.
    """
    latent = latent.astype(np.float64)
    rows = np.arange(len(y))
    bounds = None if latent.ndim == 2 else _same_tail(*_own_distances(latent, y, cuts))

    def loss(log_sigma: float) -> float:
        sigma = np.exp(log_sigma)
        if bounds is None:
            return -float(log_softmax(latent / sigma, axis=1)[rows, y].mean())
        share = ndtr(bounds[0] / sigma) - ndtr(bounds[1] / sigma)
        return -float(np.log(np.maximum(share, SMALLEST)).mean())

    span = (np.log(near / factor), np.log(near * factor))
    found = minimize_scalar(loss, bounds=span, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x)), float(found.fun)


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
