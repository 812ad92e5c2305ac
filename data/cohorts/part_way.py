"""Generated records as they stood part of the way through, and the best possible forecast of them."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from data.cohorts.addresses import GENERATORS
from data.contract.columns import OWN, Column


def thinned(
    frame: pd.DataFrame, columns: Sequence[Column], elapsed: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Return parsed records with what their accumulating columns had come to after a part of the period.

    Each unit has come by then with the chance of that part, whatever the others do: binomially of whole
    numbers; of others a beta share of the same mean and spread. What is missing stays missing.
    """
    drawn = {}
    for column in columns:
        totals = frame[column.name].to_numpy(dtype=float, na_value=np.nan)
        some = np.where(totals > 0, totals, 1.0)
        if column.whole:
            so_far = rng.binomial(some.astype(np.int64), elapsed).astype(float)
        else:
            so_far = some * rng.beta(some * elapsed, some * (1 - elapsed))
        drawn[column.name] = pd.Series(np.where(totals > 0, so_far, totals), index=frame.index)
    return frame.assign(**drawn)


def as_generated(frame: pd.DataFrame) -> pd.DataFrame:
    """Return parsed records with their codes as a generator writes them."""
    raw = frame.drop(columns=list(OWN), errors="ignore")
    coded = [name for name in raw.columns if isinstance(raw[name].dtype, pd.CategoricalDtype)]
    return raw.astype(dict.fromkeys(coded, object))


def best_possible(
    frame: pd.DataFrame, contract: str, elapsed: float, drift: Mapping[str, Any]
) -> np.ndarray | None:
    """Return the true class probabilities (n, K) of records as they stood after a part of the period.

    The mean of the true probabilities over the totals that each may come to, by Bayes' rule from the very
    distribution that they were drawn from. None where that is not known apart from the other columns.
    """
    from scipy.stats import binom  # a second to import

    generator = GENERATORS[contract]
    totals = generator.true_totals(**drift)
    if totals is None:
        return None
    raw = as_generated(frame)
    sums = np.zeros((len(raw), 0))
    for combination in product(*(range(len(shares)) for shares in totals.values())):
        supposed = dict(zip(totals, combination, strict=True))
        weights = np.ones(len(raw))
        for name, total in supposed.items():
            weights *= totals[name][total] * binom.pmf(raw[name].to_numpy(float), total, elapsed)
        met = weights > 0
        shares = generator.true_probabilities(raw[met].assign(**supposed), **drift)
        if not sums.shape[1]:
            sums = np.zeros((len(raw), shares.shape[1]))
        sums[met] += weights[met, None] * shares
    return np.asarray(sums / sums.sum(axis=1, keepdims=True))
