"""The ordinal objective: cumulative probit with cut points learned beside the trees.

Model: P(class <= k) = Phi(f - t_k) with cuts t falling, classes best first, and f the booster's
latent in units of its own noise (McCullagh 1980, "Regression models for ordinal data").
"""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from flows.training.heads import own_distances

FAR = 30.0  # beyond this many sigmas the normal density and integral are flat
LEAST_HESSIAN = 1e-3
PER_ROOT_TWO_PI = 1 / np.sqrt(2 * np.pi)


def starting_cuts(y: np.ndarray, classes: int) -> np.ndarray:
    """Return the cuts (K-1,) that give each class its share when the latent is 0 everywhere."""
    shares = np.cumsum(np.bincount(y, minlength=classes))[:-1] / len(y)
    return -ndtri(shares)


Total = Callable[[np.ndarray], np.ndarray]
"""Adds up what each holder of rows gives: nothing to add where all rows are here."""


def move_cuts(
    cuts: np.ndarray, latent: np.ndarray, y: np.ndarray, steps: int = 2, total: Total = np.asarray
) -> np.ndarray:
    """Return the cuts moved by Newton steps to where each class is expected as often as it occurs.

    Solves sum_i Phi(f_i - t_k) = #(y <= k) for each k alone; since the counts rise with k, the
    solutions are in order (sorted all the same: two steps from nearby only approach them).
    """
    counts = total(np.bincount(y, minlength=len(cuts) + 1))
    rows = counts.sum()
    wanted = np.cumsum(counts)[:-1] / rows
    for _ in range(steps):
        away = latent[:, None] - cuts
        slope = np.maximum(total(density(away).sum(axis=0)) / rows, 1e-6)
        cuts = cuts + np.clip((total(ndtr(away).sum(axis=0)) / rows - wanted) / slope, -0.5, 0.5)
    return np.sort(cuts)[::-1]


def gradient(latent: np.ndarray, y: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (gradient, Hessian) of the log loss by the latent, each (n,).

    With p = Phi(a) - Phi(b): gradient -(phi(a) - phi(b)) / p and, the loss being convex,
    Hessian ((phi(a) - phi(b)) / p)^2 + (a phi(a) - b phi(b)) / p > 0.
    """
    upper, lower = (np.minimum(np.maximum(d, -FAR), FAR) for d in own_distances(latent, y, cuts))
    flip = lower > 0  # the far tail, from the side where the integral keeps its digits
    share = ndtr(np.where(flip, -lower, upper)) - ndtr(np.where(flip, -upper, lower))
    share = np.maximum(share, 1e-200)
    at_upper, at_lower = density(upper), density(lower)
    slope = (at_upper - at_lower) / share
    hessian = slope * slope + (upper * at_upper - lower * at_lower) / share
    return -slope, np.maximum(hessian, LEAST_HESSIAN)


def density(z: np.ndarray) -> np.ndarray:
    """Return the standard normal density."""
    return np.exp(-0.5 * z * z) * PER_ROOT_TWO_PI
