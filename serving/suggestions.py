"""What would help a student: changes of the actionable columns, each predicted again by the model.

An association that the model has seen among students, not a promise that a change brings its effect.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from data.bundle import Bundle
from data.columns import Column
from data.records import Record
from serving.changes import Change, changes_of, combined, helpful

CLEARLY = 0.05  # of probability: less is no help
EACH = 0.1  # what one more column weighs, in ranges


class Aim(IntEnum):
    """What a suggestion reaches, the more the better."""

    NOTHING = 0
    LESS_RISK = 1
    BETTER_CLASS = 2
    OUT_OF_RISK = 3


class Suggestion(NamedTuple):
    """Changes that go together, and the model's forecast of the student with them."""

    changes: Record
    """The values that differ, as the contract has them."""
    answer: dict[str, Any]
    aim: Aim


def suggest(bundle: Bundle, record: Record, most: int = 3) -> list[Suggestion]:
    """Return a few suggestions for a validated record, the smallest changes first.

    Those that bring the risk below what is called at risk come before those that reach a better
    likeliest class, and these before those that only lower the risk. No suggestion contains another
    one's columns: they are choices.
    """
    options = {column.name: changes_of(column, record[column.name]) for column in helpful(bundle.contract)}
    tried = list(combined(options))
    if not tried:
        return []
    values = [{change.column: change.after for change in changes} for changes in tried]
    shares = bundle.probabilities(bundle.matrix([record, *({**record, **changed} for changed in values)]))
    risks = risks_of(bundle, shares)
    aims = _reached(bundle, shares, risks)
    order = sorted(
        np.flatnonzero(aims).tolist(),
        key=lambda place: (-aims[place], _effort(tried[place]), risks[place + 1]),
    )
    chosen = _apart(values, order, most)
    answers = bundle.answers(shares[[place + 1 for place in chosen]])
    return [
        Suggestion(values[place], answer, Aim(aims[place]))
        for place, answer in zip(chosen, answers, strict=True)
    ]


def actionable(bundle: Bundle) -> list[Column]:
    """Return the features that the contract calls actionable."""
    return [column for column in bundle.contract.features if column.actionable]


def _reached(bundle: Bundle, shares: np.ndarray, risks: np.ndarray) -> np.ndarray:
    """Return the aim that each tried row reaches; `shares` begins with the row as it is."""
    tops = shares.argmax(axis=1)
    calmer = risks[1:] <= risks[0]
    target = bundle.contract.target
    out = calmer & (risks[0] >= target.call_from) & (risks[1:] < target.call_from)
    better = calmer & (tops[1:] < tops[0]) if target.ordered else out
    less = risks[0] - risks[1:] >= CLEARLY
    aims = np.where(less, Aim.LESS_RISK, Aim.NOTHING)
    return np.where(out, Aim.OUT_OF_RISK, np.where(better, Aim.BETTER_CLASS, aims))


def risks_of(bundle: Bundle, shares: np.ndarray) -> np.ndarray:
    """Return each row's probability of a class at risk (n,)."""
    target = bundle.contract.target
    risky = [target.labels.index(label) for label in target.at_risk]
    return np.minimum(shares[:, risky].sum(axis=1), 1.0)


def _effort(changes: tuple[Change, ...]) -> float:
    return sum(change.size + EACH for change in changes)


def _apart(values: Sequence[Record], order: Sequence[int], most: int) -> list[int]:
    """Return the first few whose columns neither hold nor are held by those of one before."""
    chosen: list[int] = []
    for place in order:
        columns = values[place].keys()
        if not any(columns >= values[other].keys() or columns <= values[other].keys() for other in chosen):
            chosen.append(place)
        if len(chosen) == most:
            break
    return chosen
