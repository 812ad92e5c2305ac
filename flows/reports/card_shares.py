"""Figures as the card keeps them: nothing, not NaN, where there are no rows."""

import math

import numpy as np

from data.card_shares import Estimate, Share
from flows.reports import shares
from flows.training.bootstrap import ends_around

LEVEL = (5.0, 95.0)


def card_share(share: shares.Share, label: str = "") -> Share:
    """Return a share under its label."""
    values = {name: known(value) for name, value in vars(share).items() if name != "n"}
    return Share.model_validate({**values, "n": share.n, "label": label})


def known(value: float | None) -> float | None:
    """Return a figure, or nothing for what is no number."""
    return None if value is None or not math.isfinite(value) else float(value)


def estimate(value: float, drawn: np.ndarray) -> Estimate:
    """Return a figure with the 90 % interval of its resamples; those that have none are left out."""
    told = drawn[~np.isnan(drawn)]
    if not len(told) or known(value) is None:
        return Estimate(value=known(value))
    low, high = ends_around(value, told, LEVEL)
    return Estimate(value=known(value), low=low, high=high)
