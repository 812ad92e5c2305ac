"""Which students a figure is of: those at risk, those called so, the groups of an audit column."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from data.columns import Column, Kind
from data.target import Target
from flows.reports.evidence import Evidence
from flows.reports.shares import Share, share_of
from flows.reports.wording import relabelled

ENOUGH_ROWS = 30
"""Rows below which nothing is claimed of a group."""
PARTS = 3  # a number is audited in thirds


def members(series: pd.Series, column: Column) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each group of an audit column and which rows (n,) are in it: codes, or thirds."""
    named = relabelled(series, column.codes) if column.coded else _in_parts(series, column)
    for name in named.cat.categories:
        rows = (named == name).to_numpy()
        if rows.any():
            yield str(name), rows


def _in_parts(series: pd.Series, column: Column) -> pd.Series:
    """Return a number's thirds, each by a name that says which values are in it: `20 to 22 years`."""
    parts = pd.qcut(series, PARTS, duplicates="drop")
    if parts.cat.categories.empty:  # of one number there are no parts
        return parts
    ends = [float(part.right) for part in parts.cat.categories[:-1]]
    names = _range_names(ends, column)
    if len(set(names)) < len(names):  # numbers that are alike to four digits
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    return parts.cat.rename_categories(names)


def _range_names(ends: Sequence[float], column: Column) -> list[str]:
    """Name the ranges that end at these numbers, and the last one, which is open."""
    unit = f" {column.unit}" if column.unit else ""
    if not ends:
        return ["all"]
    if column.kind is Kind.INTEGER:
        lasts = [math.floor(end) for end in ends]
        spans = [(low + 1, high) for low, high in pairwise(lasts)]
        between = [f"{low:,}{unit}" if low == high else f"{low:,} to {high:,}{unit}" for low, high in spans]
        return [f"up to {lasts[0]:,}{unit}", *between, f"{lasts[-1] + 1:,}{unit} or more"]
    between = [f"over {low:.4g}, up to {high:.4g}{unit}" for low, high in pairwise(ends)]
    return [f"up to {ends[0]:.4g}{unit}", *between, f"over {ends[-1]:.4g}{unit}"]


def risk_of(probabilities: np.ndarray, target: Target) -> np.ndarray:
    """Return each row's probability (n,) of the classes at risk, from (n, K)."""
    return probabilities[:, risky(target)].sum(axis=1)


def risky(target: Target) -> np.ndarray:
    """Return which classes (K,) are at risk."""
    return np.array([label in target.at_risk for label in target.labels])


def risks(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Return each test row's forecast probability (n,) of the at-risk classes, and whether it is in one."""
    target = evidence.contract.target
    return risk_of(evidence.probabilities, target), risky(target)[evidence.y]


def found_and_right(evidence: Evidence) -> tuple[Share, Share]:
    """Return the share of at-risk students called so, and of those called so who are."""
    risk, true = risks(evidence)
    called = risk >= evidence.contract.target.call_from
    return share_of(called[true]), share_of(true[called])


def set_coverage(evidence: Evidence) -> dict[str, Share]:
    """Return, for each class by label, the share of its students whose grade set holds it."""
    labels = evidence.contract.target.labels
    held = np.array([labels[k] in s for k, s in zip(evidence.y, evidence.sets, strict=True)], dtype=bool)
    return {label: share_of(held[evidence.y == k]) for k, label in enumerate(labels)}
