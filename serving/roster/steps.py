"""What one step of one actionable column could change, for a whole class at once.

A step is what a school may bring about in weeks: a quarter of a number's range, the next code, a yes
instead of a no. Of all single steps the one that lowers a student's risk most counts.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from data.bundle import Bundle
from data.columns import FLOAT32_MAX, Column, Kind
from data.contract import Contract
from data.features import feature_space
from serving.changes import STEP, helpful
from serving.suggestions import risks_of

WORTH_IT = 0.005  # of probability: what would round to nothing is no gain


class Step(NamedTuple):
    """One column moved by an amount, or for a nominal column set to one code's place."""

    column: Column
    places: tuple[int, ...]
    sign: int
    code: int = 0


class Gains(NamedTuple):
    """For each student the best single step (its place among `steps`, or -1), its gain and its value."""

    steps: list[Step]
    best: np.ndarray
    gain: np.ndarray
    after: np.ndarray

    def value(self, student: int) -> Any:
        """Return what the stepped column's value would be."""
        step, after = self.steps[self.best[student]], float(self.after[student])
        if step.column.coded:
            return list(step.column.codes)[step.code if step.column.kind is Kind.NOMINAL else int(after)]
        return int(after) if step.column.kind is Kind.INTEGER else after


def gains_of(bundle: Bundle, matrix: np.ndarray, risks: np.ndarray) -> Gains:
    """Return what one step could gain each student of a feature matrix (n, float columns)."""
    steps = list(steps_of(bundle.contract))
    best = np.full(len(matrix), -1)
    gain, after = np.full(len(matrix), WORTH_IT), np.zeros(len(matrix))
    hopeful = np.flatnonzero(risks > WORTH_IT)
    for place, step in enumerate(steps):
        moved, value = _moved(step, matrix[hopeful])
        # What a step does not change, and what is unknown, need not be forecast again.
        new = np.flatnonzero(np.any(moved != matrix[hopeful], axis=1) & ~np.isnan(value))
        at = hopeful[new]
        fall = risks[at] - risks_of(bundle, bundle.probabilities(moved[new])) if len(new) else np.zeros(0)
        better = fall > gain[at]
        best[at[better]], gain[at[better]], after[at[better]] = place, fall[better], value[new][better]
    return Gains(steps, best, np.where(best < 0, 0.0, gain), after)


def steps_of(contract: Contract) -> Iterator[Step]:
    """Yield the single steps that may help, each in the direction that does where it is known."""
    space = feature_space(contract)
    groups = dict(zip(space.columns, space.groups, strict=True))
    signs = {"raises": (1,), "lowers": (-1,), None: (1, -1)}
    for column in helpful(contract):
        if column.kind is Kind.NOMINAL:
            yield from (Step(column, groups[column.name], 0, code) for code in range(len(column.codes)))
        else:
            yield from (Step(column, groups[column.name], sign) for sign in signs[column.effect])


def _moved(step: Step, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix with a step taken, and the column's new values; what is missing stays so."""
    moved, first = matrix.copy(), step.places[0]
    known = ~np.isnan(matrix[:, first])
    if step.column.kind is Kind.NOMINAL:
        moved[np.ix_(known, step.places)] = np.eye(len(step.places))[step.code]
        return moved, moved[:, first]
    moved[:, first] = _stepped(step.column, matrix[:, first].astype(float), step.sign)
    return moved, moved[:, first]


def _stepped(column: Column, values: np.ndarray, sign: int) -> np.ndarray:
    if column.coded:
        return np.clip(values + sign, 0, len(column.codes) - 1)
    low, high = column.limits
    end = high if sign > 0 else low
    if abs(end) >= FLOAT32_MAX:
        return values
    bounded = max(abs(low), abs(high)) < FLOAT32_MAX
    amount = STEP * (np.full(len(values), high - low) if bounded else np.abs(end - values))
    if column.kind is Kind.INTEGER:
        amount = np.maximum(np.floor(amount), 1)
    return np.clip(values + sign * amount, min(low, high), max(low, high))
