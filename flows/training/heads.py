"""From a latent to class probabilities: normal cut points, or softmax where classes have no order."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, ndtr, softmax

SMALLEST = 1e-12  # below this a probability is taken as this in a log loss


@dataclass(frozen=True)
class Head:
    """The last step of a model.

    probit: `cuts` falling, one fewer than classes; `sigma` the latent's noise in its own unit.
    softmax: no cuts; `sigma` divides the margins (a temperature).
    """

    kind: Literal["probit", "softmax"]
    cuts: tuple[float, ...]
    sigma: float

    def probabilities(self, latent: np.ndarray) -> np.ndarray:
        """Return (n, K) float64 from a latent (n,) for probit, from margins (n, K) for softmax.

        Cumulative probit: P(class <= k) = Phi((f - t_k) / sigma), classes best first.
        """
        return class_probabilities(latent, np.asarray(self.cuts), self.sigma)


def class_probabilities(latent: np.ndarray, cuts: np.ndarray, sigma: float) -> np.ndarray:
    """Return (n, K) float64; cuts are (K-1,), or (n, K-1) where each row has its own.

    Margins (n, K) have no cuts and go through softmax.
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


def own_distances(latent: np.ndarray, y: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def fit_sigma(
    latent: np.ndarray, y: np.ndarray, cuts: np.ndarray, near: float, factor: float = 20.0
) -> tuple[float, float]:
    """Return (sigma, mean log loss) where the loss is lowest, within a factor of `near`.

    On the real A-F set this sigma equals the residuals' root mean square to three digits, and it
    needs no score. It is one number fitted on many out-of-fold rows: too little to overfit.
    """
    latent = latent.astype(np.float64)
    rows = np.arange(len(y))
    bounds = None if latent.ndim == 2 else _same_tail(*own_distances(latent, y, cuts))

    def loss(log_sigma: float) -> float:
        sigma = np.exp(log_sigma)
        if bounds is None:
            return -float(log_softmax(latent / sigma, axis=1)[rows, y].mean())
        share = ndtr(bounds[0] / sigma) - ndtr(bounds[1] / sigma)
        return -float(np.log(np.maximum(share, SMALLEST)).mean())

    span = (np.log(near / factor), np.log(near * factor))
    found = minimize_scalar(loss, bounds=span, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x)), float(found.fun)
