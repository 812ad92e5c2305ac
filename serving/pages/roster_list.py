"""Whom to see first: a class's forecasts, the list that is made of it, and what is to be expected of that.

The list follows from a rule that has a name, and from what a person ticked. How the table is sorted, what
is filtered and searched for are views of it and change nobody's place on it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.contract.columns import Target
from data.rows.records import Record
from data.statistics import CountRange, count_range, shift_sd
from serving.pages.steps import Gains, gains_of
from serving.suggestions import CLEARLY

DECIMALS = 6
MOST_TYPED = 60  # letters of a search
LONGEST = 40  # digits of a name that is a number: Python refuses to read thousands
MOST_TICKED = 200_000  # letters of the rows that a form names
NEAR = (0.25, 0.75)
"""Between these chances of being at risk it is open how a student ends: near the line."""
FITTED = 3
"""The cut, the noise and the base of a head: what may be off for everyone."""


Chosen = TypeVar("Chosen", bound=StrEnum)


class ClassForecasts:
    """What the model says of each student (n), in the order of the records.

    `risks`, `sure` (the likeliest class's probability) and the gains have six decimals, as the page's
    script is told them: it and the server put equals into the same order. `latents` tell apart whose risk
    is the same.
    """

    def __init__(self, bundle: Bundle, records: list[Record]) -> None:
        """Forecast validated records."""
        self.bundle, self.matrix = bundle, bundle.matrix(records)
        self.elapsed = bundle.elapsed(records)
        self.shares = bundle.probabilities(self.matrix, self.elapsed)
        self.risks = np.round(risk_of(self.shares, bundle.contract.target), DECIMALS)
        self.sure = np.round(self.shares.max(axis=1).astype(float), DECIMALS)
        self.latents = np.round(bundle.latent(self.matrix, self.elapsed) if records else self.risks, DECIMALS)
        self.tops, self.sets = self.shares.argmax(axis=1), bundle.grade_sets(self.shares, self.elapsed)

    @cached_property
    def gains(self) -> Gains:
        """What one step could gain each student."""
        return self.gains_at(np.arange(len(self.risks)))

    def gains_at(self, places: np.ndarray) -> Gains:
        """Return what one step could gain some students, by their places."""
        elapsed = None if self.elapsed is None else self.elapsed[places]
        gains = gains_of(self.bundle, self.matrix[places], self.risks[places], elapsed)
        return gains._replace(gain=np.round(gains.gain, DECIMALS))

    @cached_property
    def turns(self) -> np.ndarray:
        """Each student's place in the rule's order: by risk, then latent score, then what could be gained.

        What could be gained is worked out for those alone whom nothing else tells apart.
        """
        order = np.lexsort((self.latents, -self.risks))
        alike = np.zeros(len(order), dtype=bool)
        same = (np.diff(self.risks[order]) == 0) & (np.diff(self.latents[order]) == 0)
        alike[1:] |= same
        alike[:-1] |= same
        gains = np.zeros(len(order))
        if alike.any():
            gains[order[alike]] = self.gains_at(order[alike]).gain
        turns = np.empty(len(order), dtype=int)
        turns[np.lexsort((-gains, self.latents, -self.risks))] = np.arange(len(order))
        return turns


class ListRule(StrEnum):
    """Who comes onto the list first."""

    RISK = "risk"
    NEAR = "near"


class Order(StrEnum):
    """By what the table is sorted."""

    RISK = "risk"
    GAIN = "gain"
    UNSURE = "unsure"
    FILE = "file"
    NAME = "name"
    LABEL = "label"


class Only(StrEnum):
    """Which students are shown."""

    ALL = "all"
    LISTED = "listed"
    AT_RISK = "at-risk"
    NEAR = "near"
    UNSURE = "unsure"
    GAIN = "gain"


class Choice(NamedTuple):
    """What was chosen: the list's rule, seats and ticks, and the table's order, filters and part."""

    order: Order = Order.RISK
    only: Only = Only.ALL
    label: str = ""
    find: str = ""
    seats: int = 0
    page: int = 1
    reverse: bool = False
    rule: ListRule = ListRule.RISK
    added: frozenset[int] = frozenset()
    """Rows that a person put on the list."""
    skipped: frozenset[int] = frozenset()
    """Rows that a person took off it, for this week."""

    @property
    def sort(self) -> str:
        """The order as a form says it."""
        return f"{'-' if self.reverse else ''}{self.order}"


class Shown(NamedTuple):
    """The chosen students in order, by their places among the records, and who is on the list (n,)."""

    places: np.ndarray
    listed: np.ndarray


def read_choice(form: Mapping[str, str], labels: tuple[str, ...], on: Collection[str] = ()) -> Choice:
    """Return what a form chose; what cannot be read counts as not chosen.

    `on` are the rows whose ticks are set, of those that the form says were `seen`.
    """
    said = form.get("sort") or form.get("order", "")
    added, skipped = _ticked(form, on)
    return Choice(
        order=_one_of(Order, said.removeprefix("-"), Order.RISK),
        reverse=said.startswith("-"),
        only=_one_of(Only, form.get("only", ""), Only.ALL),
        label=form.get("label", "") if form.get("label", "") in labels else "",
        find=form.get("find", "").strip()[:MOST_TYPED],
        seats=_whole(form.get("seats", "")),
        page=max(1, _whole(form.get("page", ""))),
        rule=_one_of(ListRule, form.get("rule", ""), ListRule.RISK),
        added=added,
        skipped=skipped,
    )


def _ticked(form: Mapping[str, str], on: Collection[str]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the rows that were put on the list and those taken off it, now and before."""
    added, skipped, seen, was = (_rows_of(form.get(name, "")) for name in ("added", "skipped", "seen", "was"))
    now = _rows_of(",".join(on))
    more, less = seen & now - was, seen & was - now
    return (added | more) - less, (skipped | less) - more


def _rows_of(text: str) -> frozenset[int]:
    return frozenset(filter(None, map(_whole, text[:MOST_TICKED].split(","))))


def listed_of(choice: Choice, forecasts: ClassForecasts, numbers: Sequence[int]) -> np.ndarray:
    """Return who is on the list (n,), bool: as many as can be seen by the rule, then what was ticked."""
    order = np.argsort(forecasts.turns)
    if choice.rule is ListRule.NEAR:
        order = order[is_near(forecasts.risks[order])]
    listed = np.zeros(len(numbers), dtype=bool)
    listed[order[: choice.seats]] = True
    rows = np.array(numbers, dtype=int)
    return (listed | np.isin(rows, list(choice.added))) & ~np.isin(rows, list(choice.skipped))


def helps(gains: Gains, risks: np.ndarray, target: Target) -> np.ndarray:
    """Return whom a single step helps much (n,), bool: clearly, or out of being flagged."""
    line = target.call_from
    return (gains.gain >= CLEARLY) | ((risks >= line) & (risks - gains.gain < line))


def is_near(risks: np.ndarray) -> np.ndarray:
    """Return whose risk is near the line (n,), bool."""
    return (risks >= NEAR[0]) & (risks <= NEAR[1])


def choose(
    choice: Choice, forecasts: ClassForecasts, target: Target, names: Sequence[str], numbers: Sequence[int]
) -> Shown:
    """Put a choice into effect.

    Args:
        choice: list, order, filters and search.
        forecasts: of n students.
        target: says from which risk on a student is flagged.
        names: what the n are called, by which they are searched and sorted.
        numbers: their rows.
    """
    listed = listed_of(choice, forecasts, numbers)
    keep = _kept(choice, forecasts, target, listed)
    if choice.find:
        wanted = choice.find.casefold()
        keep &= np.array([wanted in name.casefold() for name in names], dtype=bool)
    order = _ordered(choice, forecasts, names)
    return Shown(order[keep[order]], listed)


def _kept(choice: Choice, forecasts: ClassForecasts, target: Target, listed: np.ndarray) -> np.ndarray:
    ways: dict[Only, Callable[[], np.ndarray]] = {
        Only.ALL: lambda: np.ones(len(listed), dtype=bool),
        Only.LISTED: listed.copy,
        Only.AT_RISK: lambda: forecasts.risks >= target.call_from,
        Only.NEAR: lambda: is_near(forecasts.risks),
        Only.GAIN: lambda: helps(forecasts.gains, forecasts.risks, target),
        Only.UNSURE: lambda: np.array([len(grades) > 1 for grades in forecasts.sets], dtype=bool),
    }
    keep = ways[choice.only]()
    return keep & (forecasts.tops == target.labels.index(choice.label)) if choice.label else keep


def ranks_of(names: Sequence[str]) -> np.ndarray:
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


def _ordered(choice: Choice, forecasts: ClassForecasts, names: Sequence[str]) -> np.ndarray:
    """Return all places in order; equals are in the order of the list's rule."""
    keys: dict[Order, Callable[[], np.ndarray]] = {
        Order.RISK: lambda: -forecasts.turns,
        Order.GAIN: lambda: forecasts.gains.gain,
        Order.UNSURE: lambda: -forecasts.sure,
        Order.FILE: lambda: -np.arange(len(names)),
        Order.NAME: lambda: -ranks_of(names),
        Order.LABEL: lambda: forecasts.tops,
    }
    key = keys[choice.order]()
    return np.lexsort((forecasts.turns, key if choice.reverse else -key))


def _one_of(kinds: type[Chosen], text: str, otherwise: Chosen) -> Chosen:
    return kinds(text) if text in set(kinds) else otherwise


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0


class ListCounts(NamedTuple):
    """What is to be expected of a list: of those on it, and of those who are not."""

    listed: int
    false_alarms: CountRange
    left_out: CountRange


def counts_of(risks: np.ndarray, listed: np.ndarray, training_rows: int) -> ListCounts:
    """Return what to expect of a list.

    Args:
        risks: each student's probability of a class at risk (n,).
        listed: who is on the list (n,), booleans.
        training_rows: how many students the model learned from.
    """
    shift = shift_sd(risks, training_rows, FITTED)
    on, off = risks[listed], risks[~listed]
    return ListCounts(len(on), count_range(1 - on, shift), count_range(off, shift))
