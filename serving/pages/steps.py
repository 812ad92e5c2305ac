"""The best single step of each student, and what counts so far are heading for."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.contract.columns import FLOAT32_MAX, Column
from data.contract.contract import Contract
from data.rows.records import Record, feature_space
from serving.pages import show
from serving.suggestions import LEAST_GAIN, STEP, helpful


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
            return list(step.column.codes)[step.code if step.column.unordered else int(after)]
        return int(after) if step.column.whole else after


class Moved(NamedTuple):
    """Some students after a step: who they are (m,), what is asked of them (m, F), the new values (m,).

    `limits` (m, C, 2) hold their totals where the step is one from now on.
    """

    rows: np.ndarray
    matrix: np.ndarray
    values: np.ndarray
    limits: np.ndarray | None = None


def gains_of(
    bundle: Bundle, matrix: np.ndarray, risks: np.ndarray, elapsed: np.ndarray | None = None
) -> Gains:
    """Return what one step could gain each student: by how much the risk falls, in probability.

    Args:
        bundle: the model that forecasts each step.
        matrix: the students' features (n, float columns).
        risks: their probabilities of being at risk (n,).
        elapsed: how much of the period has passed for each (n,); all of it if None.
    """
    target, steps = bundle.contract.target, list(steps_of(bundle.contract))
    best = np.full(len(matrix), -1)
    gain, after = np.full(len(matrix), LEAST_GAIN), np.zeros(len(matrix))
    hopeful = np.flatnonzero(risks > LEAST_GAIN)
    passed = None if elapsed is None else elapsed[hopeful]
    for place, step in enumerate(steps):
        # What a step does not change, and what is unknown, need not be forecast again.
        moved = (
            _ahead(step, bundle, matrix[hopeful], passed)
            if step.column.accumulates
            else _moved(step, matrix[hopeful], bundle.population.ranges.get(step.column.name))
        )
        at = hopeful[moved.rows]
        if not len(at):
            continue
        parts = None if elapsed is None else elapsed[at]
        fall = risks[at] - risk_of(bundle.probabilities(moved.matrix, parts, moved.limits), target)
        better = fall > gain[at]
        best[at[better]], gain[at[better]], after[at[better]] = place, fall[better], moved.values[better]
    return Gains(steps, best, np.where(best < 0, 0.0, gain), after)


def steps_of(contract: Contract) -> Iterator[Step]:
    """Yield the single steps that may help, each in the direction that does where it is known.

    Of what accumulates it must be known: a step is one from now on. A count of dated records is never taken
    back.
    """
    space = feature_space(contract)
    groups = dict(zip(space.columns, space.groups, strict=True))
    signs = {"raises": (1,), "lowers": (-1,), None: (1, -1)}
    for column in helpful(contract):
        if column.unordered:
            yield from (Step(column, groups[column.name], 0, code) for code in range(len(column.codes)))
        elif column.effect or not column.accumulates:
            ways = [sign for sign in signs[column.effect] if sign > 0 or not column.only_grows]
            yield from (Step(column, groups[column.name], sign) for sign in ways)


def _ahead(step: Step, bundle: Bundle, matrix: np.ndarray, elapsed: np.ndarray | None) -> Moved:
    """Return the students whose period goes on, each with a step's part of it in what is left.

    As much less, or more, than is to be expected as a step of that range is in what is left of the period,
    and no less or more than nine in ten such students come to.
    """
    columns = bundle.accumulation.columns
    if elapsed is None or step.column not in columns:
        return Moved(np.zeros(0, dtype=int), matrix[:0], np.zeros(0))
    place = columns.index(step.column)
    mean, low, high = bundle.accumulation.expected(matrix, elapsed)[:, place].T
    so_far = matrix[:, step.places[0]].astype(float)
    most = step.column.limits[1]
    amount = STEP * (1 - elapsed) * (most if most < FLOAT32_MAX else mean)
    further = np.clip(mean + step.sign * amount, low, high) - so_far
    further = np.ceil(further) if step.sign > 0 else np.floor(further)
    rows = np.flatnonzero((elapsed < 1) & (further >= 0) & (step.sign * (further - (mean - so_far)) > 0))
    limits = np.tile([0.0, np.inf], (len(rows), len(columns), 1))
    limits[:, place, 0 if step.sign > 0 else 1] = (so_far + further)[rows]
    return Moved(rows, matrix[rows], further[rows], limits)


def _moved(step: Step, matrix: np.ndarray, usual: tuple[float, float] | None) -> Moved:
    """Return whom a step changes, with it taken; what is missing stays so.

    `usual` are the numbers between which most students are: no step goes beyond them.
    """
    moved, first = matrix.copy(), step.places[0]
    known = ~np.isnan(matrix[:, first])
    if step.column.unordered:
        moved[np.ix_(known, step.places)] = np.eye(len(step.places))[step.code]
    else:
        moved[:, first] = _stepped(step.column, matrix[:, first].astype(float), step.sign, usual)
    rows = np.flatnonzero(np.any(moved != matrix, axis=1) & known)
    return Moved(rows, moved[rows], moved[rows, first])


def _stepped(column: Column, values: np.ndarray, sign: int, usual: tuple[float, float] | None) -> np.ndarray:
    if column.coded:
        return np.clip(values + sign, 0, len(column.codes) - 1)
    low, high = column.limits
    end = high if sign > 0 else low
    if abs(end) >= FLOAT32_MAX:
        return values
    bounded = max(abs(low), abs(high)) < FLOAT32_MAX
    amount = STEP * (np.full(len(values), high - low) if bounded else np.abs(end - values))
    if column.whole:
        amount = np.maximum(np.floor(amount), 1)
    stepped = np.clip(values + sign * amount, min(low, high), max(low, high))
    if usual is None:
        return stepped
    # Nobody is sent beyond most students, nor back who is beyond them already.
    return (
        np.maximum(values, np.minimum(stepped, usual[1]))
        if sign > 0
        else np.minimum(values, np.maximum(stepped, usual[0]))
    )


def describe_step(place: int, record: Record, gains: Gains) -> str:
    """Return a student's best single step as `Study time: 3 → 8 hours`; nothing where none helps."""
    if gains.best[place] < 0:
        return ""
    column = gains.steps[gains.best[place]].column
    return f"{column.title}: {show.change_of(column, record[column.name], gains.value(place))}"


def describe_totals(bundle: Bundle, record: Record) -> list[str]:
    """Say what each count so far is expected to come to; nothing once all of the period has passed."""
    elapsed = bundle.elapsed([record])
    if elapsed is None:
        return []
    columns = bundle.accumulation.columns
    expected = bundle.accumulation.expected(bundle.matrix([record]), elapsed)[0]
    return [
        show.describe_total(column, record[column.name], one)
        for column, one in zip(columns, expected.tolist(), strict=True)
    ]
