"""The subgroups in which the residual gate looks: all rows, each code, each quarter of a number."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from data.columns import Column
from data.contract import Contract


@dataclass(frozen=True)
class Subgroup:
    """Rows of a batch (n,) bool, and the share of the reference that belongs to the same subgroup."""

    name: str
    rows: np.ndarray
    share: float


def subgroups(batch: pd.DataFrame, reference: pd.DataFrame, contract: Contract) -> list[Subgroup]:
    """Cut a batch into subgroups by each feature; quarters of numbers are the reference's.

    Both frames are as parsed and without quarantined rows. Audit columns make no subgroups: a difference that
    the champion cannot know is there from the start, and would stop every batch.
    """
    found = [Subgroup("all rows", np.ones(len(batch), dtype=bool), 1.0)]
    for column in contract.features:
        before, now = reference[column.name], batch[column.name]
        cut = _codes(before, now, column) if column.coded else _quarters(before, now, column)
        found += [Subgroup(name, rows, float(share)) for name, rows, share in cut]
        if column.nullable:
            gone = now.isna().to_numpy()
            found.append(Subgroup(f"{column.name} missing", gone, float(before.isna().mean())))
    return found


def _codes(before: pd.Series, now: pd.Series, column: Column) -> list[tuple[str, np.ndarray, float]]:
    shares = np.array([(before.cat.codes == place).mean() for place in range(len(column.codes))])
    codes = now.cat.codes.to_numpy()
    labels = enumerate(column.codes.values())
    return [(f"{column.name} = {label}", codes == place, shares[place]) for place, label in labels]


def _quarters(before: pd.Series, now: pd.Series, column: Column) -> list[tuple[str, np.ndarray, float]]:
    known = before.dropna().to_numpy(float)
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.array([])
    ends = [-np.inf, *edges, np.inf]
    old, new = before.to_numpy(float), now.to_numpy(float)
    return [
        (
            _range_name(column.name, low, high),
            (new > low) & (new <= high),
            ((old > low) & (old <= high)).mean(),
        )
        for low, high in pairwise(ends)
    ]


def _range_name(name: str, low: float, high: float) -> str:
    if np.isinf(low) and np.isinf(high):
        return f"{name} known"
    if np.isinf(low):
        return f"{name} ≤ {high:.3g}"
    return f"{name} > {low:.3g}" if np.isinf(high) else f"{name} {low:.3g} to {high:.3g}"
