"""Who the errors fall on: the test students of each audit group, class and risk."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from data.columns import Column
from flows.reports.evidence import Evidence
from flows.reports.shares import Share, share_of
from flows.reports.wording import relabelled

ENOUGH_ROWS = 30
"""Rows below which nothing is claimed of a group."""
PARTS = 3  # a number is audited in thirds


@dataclass(frozen=True)
class Group:
    """The test rows of one audit group: how often the forecast class was wrong, and its risk.

    `forecast_risk` is the mean forecast probability of the at-risk classes, `true_risk` their share.
    """

    name: str
    wrong: Share
    forecast_risk: float
    true_risk: float

    @property
    def enough(self) -> bool:
        """Whether there are rows enough to claim anything."""
        return self.wrong.n >= ENOUGH_ROWS


def audit_groups(evidence: Evidence, column: Column) -> list[Group]:
    """Return the groups of one audit column that have rows, in the contract's order."""
    wrong = evidence.probabilities.argmax(axis=1) != evidence.y
    forecast, true = risks(evidence)
    found = []
    for name, rows in members(evidence.frame[column.name], column):
        found.append(
            Group(name, share_of(wrong[rows]), float(forecast[rows].mean()), float(true[rows].mean()))
        )
    return found


def members(series: pd.Series, column: Column) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each group of an audit column and which rows (n,) are in it: codes, or thirds."""
    named = relabelled(series, column.codes) if column.coded else pd.qcut(series, PARTS, duplicates="drop")
    for name in named.cat.categories:
        rows = (named == name).to_numpy()
        if rows.any():
            yield str(name), rows


def risks(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Return each test row's forecast probability (n,) of the at-risk classes, and whether it is in one."""
    target = evidence.contract.target
    at_risk = np.array([label in target.at_risk for label in target.labels])
    return evidence.probabilities[:, at_risk].sum(axis=1), at_risk[evidence.y]


def chance_of_difference(groups: list[Group]) -> float | None:
    """Return how often errors of equal groups would differ as much by luck; None for fewer than two.

    Pearson's chi-square test, over the groups with rows enough.
    """
    known = [group.wrong for group in groups if group.enough]
    if len(known) < 2:
        return None
    wrong = np.array([round(share.share * share.n) for share in known])
    right = np.array([share.n for share in known]) - wrong
    if not wrong.any() or not right.any():
        return 1.0
    return float(chi2_contingency(np.stack([wrong, right])).pvalue)


def found_and_right(evidence: Evidence) -> tuple[Share, Share]:
    """Return the share of at-risk students forecast so, and of those forecast so who are."""
    target = evidence.contract.target
    at_risk = np.array([label in target.at_risk for label in target.labels])
    said, true = at_risk[evidence.probabilities.argmax(axis=1)], at_risk[evidence.y]
    return share_of(said[true]), share_of(true[said])


def set_coverage(evidence: Evidence) -> dict[str, Share]:
    """Return, for each class by label, the share of its students whose grade set holds it."""
    labels = evidence.contract.target.labels
    held = np.array([labels[k] in s for k, s in zip(evidence.y, evidence.sets, strict=True)], dtype=bool)
    return {label: share_of(held[evidence.y == k]) for k, label in enumerate(labels)}
