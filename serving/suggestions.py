"""What would help a student: changes of actionable columns, searched and ranked.

What accumulates can only grow: its steps are from now on, so many more at most (or at least, where more is
better) in what is left of the period, and there are none once all of it has passed. A forecast with such a
step is the mean over the totals that keep to it.
"""

import math
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.contract.columns import FLOAT32_MAX, Column
from data.contract.contract import Contract
from data.rows.records import Record

TOGETHER = 3  # columns changed at once, at most
STEPS = 8  # values tried of a number
STEP = 0.25  # of a number's range: as much as one step of a code
ROUND = (1.0, 0.5, 0.25, 0.1, 0.01)  # what a number may be rounded to
FEW = {1: STEPS, 2: 4, 3: 2}  # steps of a column that is changed together with others

Value = Any


Span = tuple[float, float]


class Change(NamedTuple):
    """One column's value as it is and as it could be, and how large a part of its range lies between.

    Of a column that accumulates `after` is how many more there may yet be, `before` the count so far.
    """

    column: str
    before: Value
    after: Value
    size: float


def helpful(contract: Contract) -> list[Column]:
    """Return the actionable columns of which the contract says what helps; all of them if of none.

    A model may see less risk beside less support. To advise that would be to take a cause for a cure.
    """
    actionable = [column for column in contract.features if column.actionable]
    return [column for column in actionable if column.effect] or actionable


def changes_of(column: Column, value: Value, usual: Span | None = None) -> list[Change]:
    """Return the changes of one column that may be tried, smallest first.

    Within the column's range and codes; where its direction is known, in the direction that helps. What
    is missing is not changed, nor a number towards a side on which the contract sets no limit, nor is a
    count of dated records taken back.

    Args:
        column: that does not accumulate.
        value: that it has.
        usual: the numbers between which most students are; no change goes beyond them.
    """
    if value is None:
        return []
    found = _coded(column, value) if column.coded else _numbers(column, value, usual)
    return sorted(found, key=lambda change: change.size)


def _coded(column: Column, value: Value) -> Iterator[Change]:
    codes = list(column.codes)
    at = codes.index(value)
    for place, code in enumerate(codes):
        steps = 1 if column.unordered else abs(place - at)
        if place != at and _helps(column, place - at):
            yield Change(column.name, value, code, STEP * steps)


def from_now_on(column: Column, so_far: Value, expected: np.ndarray) -> list[Change]:
    """Return how many more of what accumulates there may yet be, nearest to what is expected first.

    Fewer than expected or, where more is better, more; within what similar students come to. Nothing where
    the contract does not say what helps, or the count is missing.

    Args:
        column: that accumulates.
        so_far: what it has come to.
        expected: its total's mean, and the ends between which nine in ten such students end (3,).
    """
    if so_far is None or column.effect is None:
        return []
    mean, low, high = (expected - so_far).tolist()
    end = high if column.effect == "raises" else max(low, 0.0)
    unit = 1.0 if column.whole else _round_unit(max(high - low, abs(mean)))
    wanted = [mean + (end - mean) * step / STEPS for step in range(1, STEPS + 1)]
    near = np.ceil if column.effect == "raises" else np.floor
    further = dict.fromkeys(round(float(near(one / unit)) * unit, 6) for one in [*wanted[:-1], end])
    whole = column.limits[1] if column.limits[1] < FLOAT32_MAX else max(high + so_far, 1.0)
    return [
        Change(column.name, so_far, int(more) if column.whole else more, abs(mean - more) / whole)
        for more in further
        if more >= 0 and _helps(column, more - mean)
    ]


def limits_of(bundle: Bundle, record: Record, further: Record) -> np.ndarray:
    """Return between what each total of a record is (C, 2) with so many more to come, by column."""
    limits = np.tile([0.0, np.inf], (len(bundle.accumulation.columns), 1))
    for place, column in enumerate(bundle.accumulation.columns):
        if column.name in further:
            total = record[column.name] + further[column.name]
            limits[place, 0 if column.effect == "raises" else 1] = total
    return limits


def _numbers(column: Column, value: float, usual: Span | None) -> Iterator[Change]:
    low, high = column.limits
    bounded = max(abs(low), abs(high)) < FLOAT32_MAX
    unit = 1.0 if column.whole else _round_unit(high - low if bounded else abs(value))
    first, last = _usual(column, usual, unit)
    for end, beyond in ((first, value <= first), (last, value >= last)):
        distance = end - value
        if beyond or abs(end) >= FLOAT32_MAX or not _helps(column, distance):
            continue
        whole = high - low if bounded else max(abs(distance), abs(value))
        for after in _towards(value, end, unit if bounded or column.whole else _round_unit(whole)):
            size = abs(after - value) / whole
            yield Change(column.name, value, int(after) if column.whole else after, size)


def _usual(column: Column, usual: Span | None, unit: float) -> Span:
    """Return the ends of a column's range, round numbers between which most students are where known."""
    low, high = column.limits
    if usual is None:
        return low, high
    least, most = math.ceil(usual[0] / unit) * unit, math.floor(usual[1] / unit) * unit
    return max(low, round(least, 6)), min(high, round(most, 6))


def _towards(value: float, end: float, unit: float) -> list[float]:
    """Return round values on the way to the end of a range, which is the last of them."""
    steps = value + (end - value) * np.arange(1, STEPS + 1) / STEPS
    first, last = min(value, end), max(value, end)
    inside = [min(max(round(round(step / unit) * unit, 6), first), last) for step in steps]
    return [after for after in dict.fromkeys(inside) if after != value]


def _round_unit(whole: float) -> float:
    return next((unit for unit in ROUND if whole >= 2 * STEPS * unit), ROUND[-1])


def _helps(column: Column, distance: float) -> bool:
    if column.only_grows and distance < 0:
        return False
    return column.effect is None or (distance > 0) == (column.effect == "raises")


def combined(options: dict[str, list[Change]]) -> Iterator[tuple[Change, ...]]:
    """Yield changes of one column, of two, and of three, with fewer steps the more there are."""
    for width in range(1, min(TOGETHER, len(options)) + 1):
        for names in combinations(options, width):
            yield from product(*(_thinned(options[name], width) for name in names))


def _thinned(changes: Sequence[Change], width: int) -> Sequence[Change]:
    places = np.linspace(0, len(changes) - 1, min(FEW[width], len(changes))).astype(int)
    return [changes[place] for place in places.tolist()]


CLEARLY = 0.05  # of probability: less is no help
LEAST_GAIN = 0.01  # of probability: with less, both risks could read the same
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
    tried = list(combined(_options(bundle, record)))
    if not tried:
        return []
    values = [{change.column: change.after for change in changes} for changes in tried]
    shares, elapsed = forecasts_with(bundle, record, [{}, *values])
    risks = risk_of(shares, bundle.contract.target)
    aims = _reached(bundle, shares, risks)
    order = sorted(
        np.flatnonzero(aims).tolist(),
        key=lambda place: (-aims[place], _effort(tried[place]), risks[place + 1]),
    )
    chosen = _apart(values, order, most)
    rows = [place + 1 for place in chosen]
    answers = bundle.answers(shares[rows], None if elapsed is None else elapsed[rows])
    return [
        Suggestion(values[place], answer, Aim(aims[place]))
        for place, answer in zip(chosen, answers, strict=True)
    ]


def forecasts_with(
    bundle: Bundle, record: Record, changes: Sequence[Record]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a record's class probabilities (n, K) with each of n changes, and how much has passed (n,)."""
    names = {column.name for column in bundle.accumulation.columns}
    plain = [{name: value for name, value in one.items() if name not in names} for one in changes]
    matrix = bundle.matrix([{**record, **one} for one in plain])
    passed = bundle.elapsed([record])
    if passed is None:
        return bundle.probabilities(matrix), None
    further = ({name: value for name, value in one.items() if name in names} for one in changes)
    limits = np.stack([limits_of(bundle, record, one) for one in further])
    elapsed = np.repeat(passed, len(changes))
    return bundle.probabilities(matrix, elapsed, limits), elapsed


def answer_with(bundle: Bundle, record: Record, changes: Record) -> dict[str, Any]:
    """Return the forecast of a record with other values; of what accumulates with so many more to come."""
    totals = {column.name for column in bundle.accumulation.columns}
    given = {name: value for name, value in changes.items() if value is not None or name not in totals}
    shares, elapsed = forecasts_with(bundle, record, [given])
    return bundle.answers(shares, elapsed)[0]


def _options(bundle: Bundle, record: Record) -> dict[str, list[Change]]:
    """Return what may be changed of each column."""
    ranges, passed = bundle.population.ranges, bundle.elapsed([record])
    options = {
        column.name: changes_of(column, record[column.name], ranges.get(column.name))
        for column in helpful(bundle.contract)
        if not column.accumulates
    }
    if passed is not None:
        expected = bundle.accumulation.expected(bundle.matrix([record]), passed)[0]
        ahead = zip(bundle.accumulation.columns, expected, strict=True)
        options |= {c.name: from_now_on(c, record[c.name], told) for c, told in ahead if c.actionable}
    return {name: found for name, found in options.items() if found}


def actionable(bundle: Bundle) -> list[Column]:
    """Return the features that the contract calls actionable."""
    return [column for column in bundle.contract.features if column.actionable]


def _reached(bundle: Bundle, shares: np.ndarray, risks: np.ndarray) -> np.ndarray:
    """Return the aim that each tried row reaches; `shares` begins with the row as it is."""
    tops = shares.argmax(axis=1)
    calmer = risks[0] - risks[1:] >= LEAST_GAIN
    target = bundle.contract.target
    out = calmer & (risks[0] >= target.call_from) & (risks[1:] < target.call_from)
    better = calmer & (tops[1:] < tops[0]) if target.ordered else out
    less = risks[0] - risks[1:] >= CLEARLY
    aims = np.where(less, Aim.LESS_RISK, Aim.NOTHING)
    return np.where(out, Aim.OUT_OF_RISK, np.where(better, Aim.BETTER_CLASS, aims))


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
