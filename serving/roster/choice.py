"""Whom a page shows, in which order, and who is on the list of those to see."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar

import numpy as np

from data.target import Target
from serving.roster.forecasts import Forecasts

PAGE, AT_ONCE = 25, 40  # students of a page, and of a class that is shown as one
MOST_TYPED = 60  # letters of a search
LONGEST = 40  # digits of a name that is a number: Python refuses to read thousands
Kind = TypeVar("Kind", bound=StrEnum)


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


def choose(choice: Choice, forecasts: Forecasts, target: Target, names: list[str], also: list[str]) -> Shown:
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


def _kept(choice: Choice, forecasts: Forecasts, target: Target) -> np.ndarray:
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


def _ordered(choice: Choice, forecasts: Forecasts, names: list[str]) -> np.ndarray:
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


def _one_of(kinds: type[Kind], text: str, otherwise: Kind) -> Kind:
    return kinds(text) if text in set(kinds) else otherwise


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0
