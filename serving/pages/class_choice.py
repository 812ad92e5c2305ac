"""Whom to see first: forecasts of a class, orders, picks, steps."""

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import orjson

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.contract.columns import FLOAT32_MAX, Column, Target
from data.contract.contract import Contract
from data.rows.records import Record, feature_space
from serving.predictor import Predictor
from serving.scoring import column_matrix_maker
from serving.suggestions import STEP, helpful

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
            return list(step.column.codes)[step.code if step.column.unordered else int(after)]
        return int(after) if step.column.whole else after


def gains_of(bundle: Bundle, matrix: np.ndarray, risks: np.ndarray) -> Gains:
    """Return what one step could gain each student of a feature matrix (n, float columns)."""
    target, steps = bundle.contract.target, list(steps_of(bundle.contract))
    best = np.full(len(matrix), -1)
    gain, after = np.full(len(matrix), WORTH_IT), np.zeros(len(matrix))
    hopeful = np.flatnonzero(risks > WORTH_IT)
    for place, step in enumerate(steps):
        moved, value = _moved(step, matrix[hopeful])
        # What a step does not change, and what is unknown, need not be forecast again.
        new = np.flatnonzero(np.any(moved != matrix[hopeful], axis=1) & ~np.isnan(value))
        at = hopeful[new]
        calmed = risk_of(bundle.probabilities(moved[new]), target) if len(new) else np.zeros(0)
        fall = risks[at] - calmed
        better = fall > gain[at]
        best[at[better]], gain[at[better]], after[at[better]] = place, fall[better], value[new][better]
    return Gains(steps, best, np.where(best < 0, 0.0, gain), after)


def steps_of(contract: Contract) -> Iterator[Step]:
    """Yield the single steps that may help, each in the direction that does where it is known."""
    space = feature_space(contract)
    groups = dict(zip(space.columns, space.groups, strict=True))
    signs = {"raises": (1,), "lowers": (-1,), None: (1, -1)}
    for column in helpful(contract):
        if column.unordered:
            yield from (Step(column, groups[column.name], 0, code) for code in range(len(column.codes)))
        else:
            yield from (Step(column, groups[column.name], sign) for sign in signs[column.effect])


def _moved(step: Step, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix with a step taken, and the column's new values; what is missing stays so."""
    moved, first = matrix.copy(), step.places[0]
    known = ~np.isnan(matrix[:, first])
    if step.column.unordered:
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
    if column.whole:
        amount = np.maximum(np.floor(amount), 1)
    return np.clip(values + sign * amount, min(low, high), max(low, high))


ID_DIGITS = 32
DIGITS = 6


@dataclass(frozen=True)
class ClassForecasts:
    """What the model says of each student (n), in the order of the records.

    `risks`, `sure` (the likeliest class's probability) and the gains have six decimals, as the page's
    script is told them: it and the server put equals into the same order.
    """

    bundle: Bundle
    matrix: np.ndarray
    shares: np.ndarray
    risks: np.ndarray
    tops: np.ndarray
    sets: list[list[str]]
    sure: np.ndarray

    @cached_property
    def gains(self) -> Gains:
        """What one step could gain each student."""
        return self.gains_at(np.arange(len(self.risks)))

    def gains_at(self, places: np.ndarray) -> Gains:
        """Return what one step could gain some students, by their places."""
        gains = gains_of(self.bundle, self.matrix[places], self.risks[places])
        return gains._replace(gain=np.round(gains.gain, DIGITS))


def forecast(predictor: Predictor, records: list[Record]) -> ClassForecasts:
    """Forecast validated records."""
    bundle = predictor.bundle
    matrix = column_matrix_maker(bundle.contract)(records)
    shares = bundle.probabilities(matrix)
    risks, sure = (
        np.round(part.astype(float), DIGITS)
        for part in (risk_of(shares, bundle.contract.target), shares.max(axis=1))
    )
    tops, sets = shares.argmax(axis=1), bundle.grade_sets(shares)
    return ClassForecasts(bundle, matrix, shares, risks, tops, sets, sure)


def answers_to_log(predictor: Predictor, records: list[Record], key: str) -> list[dict[str, Any]]:
    """Return the answers of records as the log wants them, each under its id of today.

    The id follows from record, version and day: a class that is looked at twice is kept once.
    """
    bundle = predictor.bundle
    answers = bundle.answers(bundle.probabilities(bundle.matrix(records))) if records else []
    for answer, record in zip(answers, records, strict=True):
        answer |= {"model_version": predictor.version, "prediction_id": _id_of(predictor, record, key)}
    return answers


def _id_of(predictor: Predictor, record: Record, key: str) -> str:
    today = datetime.now(UTC).date().isoformat()
    said = [predictor.bundle.contract.name, predictor.version, today, record]
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return hmac.digest(key.encode(), text, "sha256").hex()[:ID_DIGITS]


PAGE, AT_ONCE = 25, 40  # students of a page, and of a class that is shown as one
MOST_TYPED = 60  # letters of a search
LONGEST = 40  # digits of a name that is a number: Python refuses to read thousands
Chosen = TypeVar("Chosen", bound=StrEnum)


class Order(StrEnum):
    """By what the students are put in order."""

    RISK = "risk"
    GAIN = "gain"
    UNSURE = "unsure"
    FILE = "file"
    NAME = "name"
    LABEL = "label"


class Only(StrEnum):
    """Which students are shown."""

    ALL = "all"
    AT_RISK = "at-risk"
    UNSURE = "unsure"
    GAIN = "gain"


class Choice(NamedTuple):
    """What was chosen on the page: order, filters, how many can be seen, and the part that is shown."""

    order: Order = Order.RISK
    only: Only = Only.ALL
    label: str = ""
    find: str = ""
    seats: int = 0
    page: int = 1
    reverse: bool = False

    @property
    def said(self) -> str:
        """The order as a form says it."""
        return f"{'-' if self.reverse else ''}{self.order}"


class Shown(NamedTuple):
    """The chosen students in order, by their places among the records, and who is on the list (n,)."""

    places: np.ndarray
    listed: np.ndarray


def read_choice(form: Mapping[str, str], labels: tuple[str, ...]) -> Choice:
    """Return what a form chose; what cannot be read counts as not chosen."""
    said = form.get("sort") or form.get("order", "")
    return Choice(
        order=_one_of(Order, said.removeprefix("-"), Order.RISK),
        reverse=said.startswith("-"),
        only=_one_of(Only, form.get("only", ""), Only.ALL),
        label=form.get("label", "") if form.get("label", "") in labels else "",
        find=form.get("find", "").strip()[:MOST_TYPED],
        seats=_whole(form.get("seats", "")),
        page=max(1, _whole(form.get("page", ""))),
    )


def choose(
    choice: Choice, forecasts: ClassForecasts, target: Target, names: list[str], also: list[str]
) -> Shown:
    """Put a choice into effect; `names` and what `also` tells who is meant are what a search looks at."""
    keep = _kept(choice, forecasts, target)
    if choice.find:
        wanted = choice.find.casefold()
        said = zip(names, also, strict=True)
        keep &= np.array([wanted in f"{name} {more}".casefold() for name, more in said], dtype=bool)
    order = _ordered(choice, forecasts, names)
    places = order[keep[order]]
    listed = np.zeros(len(keep), dtype=bool)
    listed[places[: choice.seats]] = True
    return Shown(places, listed)


def page_size(students: int) -> int:
    """Return how many students of a roster are shown at a time."""
    return students if 0 < students <= AT_ONCE else PAGE


def page_of(choice: Choice, shown: Shown) -> tuple[np.ndarray, int, int]:
    """Return the places on the chosen page, its number, and how many pages there are."""
    size = page_size(len(shown.listed))
    pages = max(1, -(-len(shown.places) // size))
    page = min(choice.page, pages)
    return shown.places[(page - 1) * size : page * size], page, pages


def _kept(choice: Choice, forecasts: ClassForecasts, target: Target) -> np.ndarray:
    keep = np.ones(len(forecasts.risks), dtype=bool)
    if choice.label:
        keep &= forecasts.tops == target.labels.index(choice.label)
    if choice.only is Only.AT_RISK:
        keep &= forecasts.risks >= target.call_from
    elif choice.only is Only.GAIN:
        keep &= forecasts.gains.best >= 0
    elif choice.only is Only.UNSURE:
        keep &= np.array([len(grades) > 1 for grades in forecasts.sets], dtype=bool)
    return keep


def ranks_of(names: list[str]) -> np.ndarray:
    """Return each name's place in the order of names, numbers first and by their value."""
    numbers = [
        int(name) if len(name) <= LONGEST and name.isdecimal() and name.isascii() else None for name in names
    ]
    keys = [
        (number is None, number or 0, name.casefold()) for number, name in zip(numbers, names, strict=True)
    ]
    ranks = np.empty(len(names), dtype=int)
    ranks[sorted(range(len(names)), key=keys.__getitem__)] = np.arange(len(names))
    return ranks


def _ordered(choice: Choice, forecasts: ClassForecasts, names: list[str]) -> np.ndarray:
    """Return all places in order; of equals the one at more risk comes first, then the file's order."""
    keys: dict[Order, Callable[[], np.ndarray]] = {
        Order.RISK: lambda: forecasts.risks,
        Order.GAIN: lambda: forecasts.gains.gain,
        Order.UNSURE: lambda: -forecasts.sure,
        Order.FILE: lambda: -np.arange(len(names)),
        Order.NAME: lambda: -ranks_of(names),
        Order.LABEL: lambda: forecasts.tops,
    }
    key = keys[choice.order]()
    return np.lexsort((-forecasts.risks, key if choice.reverse else -key))


def _one_of(kinds: type[Chosen], text: str, otherwise: Chosen) -> Chosen:
    return kinds(text) if text in set(kinds) else otherwise


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0
