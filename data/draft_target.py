"""Guess the target of a data set: its classes, their order, and the rule on a score that they follow."""

import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from data.cells import to_numbers, within_reach
from data.draft_columns import MOST_CODES, codes_of, texts_of, title_of
from data.errors import BadInput

BAD_ENDS = r"fail|drop|\bleft\b|leav|\bno(?:ne|t|thing)?\b|below|insufficient|poor|withdraw|at risk|^f$"
GOOD_ENDS = r"pass|graduat|yes|excellent|advanced|distinction|very good|^a\+?$"
NOISE = 0.05
"""Part by which a bound may be wrong more often than the best one, to be a rounder number."""
FOLLOWS = 0.85
"""Share of rows whose class a rule on a score must give for the draft to take it for the rule."""


@dataclass
class TargetGuess:
    """The target's keys, the class positions (n,) of the rows, -1 for none, and the reasons."""

    keys: dict[str, Any]
    y: np.ndarray
    reasons: list[str]
    score: str | None = None

    def turn_round(self) -> None:
        """List the classes the other way."""
        self.keys["classes"] = dict(reversed(self.keys["classes"].items()))
        self.keys["at_risk"] = self.labels[-1:]
        self.y = np.where(self.y < 0, -1, len(self.labels) - 1 - self.y)

    @property
    def labels(self) -> list[str]:
        """Return the class labels in their order."""
        return list(self.keys["classes"].values())


def guess_target(series: pd.Series) -> TargetGuess:
    """Guess the target from its own cells; a number of many values is a score that two classes are cut from.

    Raises BadInput where there are no classes in it.
    """
    cells = texts_of(series)
    values = [str(value) for value in cells.dropna().unique()]
    if len(values) < 2:
        raise BadInput(
            "the target has fewer than two values.", column=str(series.name), remedy="Name another."
        )
    written, wrong = to_numbers(cells)
    numbers = within_reach(written)
    if not wrong.any() and len(values) > MOST_CODES / 2:
        return _cut(str(series.name), numbers)
    if len(values) > MOST_CODES:
        reason = f"{len(values):,} different texts are too many classes."
        raise BadInput(reason, column=str(series.name), remedy="Name the column with the class, or a number.")
    return _classes(str(series.name), cells, values, numeric=not wrong.any())


def _cut(name: str, score: pd.Series) -> TargetGuess:
    bound = _simplest(float(score.quantile(0.35)), float(score.quantile(0.55)))
    keys = {
        "column": f"{name} band",
        "title": title_of(name),
        "derive": f"{name} >= {bound}" if " " not in name else "at_least",
        **({"at_least": {"Reached": float(bound)}} if " " in name else {}),
        "classes": {1: "Reached", 0: "Not reached"},
        "at_risk": ["Not reached"],
    }
    reasons = [
        f"{name} is a number of many values: taken for a score, and cut in two near its middle",
        f"put the bound that your school uses in place of {bound}; for more classes give at_least",
    ]
    y = np.where(score.isna(), -1, (score < float(bound)).astype(int))
    return TargetGuess(keys, y, reasons, score=name)


def _classes(name: str, cells: pd.Series, values: list[str], *, numeric: bool) -> TargetGuess:
    single = all(len(value) == 1 for value in values)
    ordered = numeric or single or len(values) == 2
    values.sort(key=lambda value: (_end(value), float(value) if numeric else 0, value.casefold()))
    codes = codes_of(values)
    risky = [label for label in codes.values() if re.search(BAD_ENDS, label, re.IGNORECASE)]
    labels = list(codes.values())
    at_risk = risky if risky and len(risky) < len(labels) else labels[-1:]
    reasons = ["give each code a label" if numeric else "classes as they are written"]
    if ordered:
        reasons.append("taken to be in order, best first: turn the list round where it is not")
    else:
        reasons.append(
            "taken to have no order: leave ordered out, and list them best first, where they have one"
        )
    reasons.append("at risk: by their names" if risky else "at risk: the last one")
    keys = {"column": name, "title": title_of(name), **({} if ordered else {"ordered": False})}
    keys |= {"classes": codes, "at_risk": at_risk}
    place = {value: position for position, value in enumerate(values)}
    return TargetGuess(keys, cells.map(place).fillna(-1).astype(int).to_numpy(), reasons)


def _end(value: str) -> int:
    """Put what is called good first and what is called bad last."""
    if re.search(BAD_ENDS, value, re.IGNORECASE) and len(value) > 1:
        return 1
    return -1 if re.search(GOOD_ENDS, value, re.IGNORECASE) and len(value) > 1 else 0


def rule_on(score: np.ndarray, y: np.ndarray, labels: list[str]) -> tuple[dict[str, float], float] | None:
    """Find lower bounds of a score for all classes but the last, and the share of rows that they give right.

    None where the classes do not fall with the score or too few rows follow.
    """
    known = ~np.isnan(score) & (y >= 0)
    score, y = score[known], y[known]
    middles = [float(np.median(score[y == k])) for k in range(len(labels)) if (y == k).any()]
    if len(middles) < len(labels) or any(upper <= lower for upper, lower in pairwise(middles)):
        return None
    bounds = {label: _bound(score, y <= k) for k, label in enumerate(labels[:-1])}
    if any(upper <= lower for upper, lower in pairwise(bounds.values())):
        return None
    given = (score[:, None] < np.array(list(bounds.values()))).sum(axis=1)
    share = float((given == y).mean())
    return (bounds, share) if share >= FOLLOWS else None


def _bound(score: np.ndarray, reached: np.ndarray) -> float:
    """Return the simplest number that parts rows that reached a class from the others with fewest errors."""
    order = np.argsort(score, kind="stable")
    points, starts = np.unique(score[order], return_index=True)
    below = np.r_[0, np.cumsum(reached[order])][starts]  # reached, and yet below each point
    above = (~reached).sum() - (starts - below)  # not reached, and yet at or above it
    wrong = below + above
    good = wrong <= wrong.min() * (1 + NOISE)  # about as few, where labels are noisy
    first = last = int(wrong.argmin())
    while first > 1 and good[first - 1]:
        first -= 1
    while last + 1 < len(points) and good[last + 1]:
        last += 1
    return float(_simplest(float(points[first - 1]) if first else float(points[0]) - 1, float(points[last])))


def _simplest(low: float, high: float) -> Decimal:
    """Return the number in (low, high] with the fewest digits."""
    for digits in range(-2, 7):
        step = Decimal(1).scaleb(-digits)
        number = (Decimal(high) / step).to_integral_value(rounding="ROUND_FLOOR") * step
        if number > Decimal(low):
            return number if number != number.to_integral_value() else number.quantize(Decimal(1))
    return Decimal(repr(high))
