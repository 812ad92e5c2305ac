"""Whom to see first: a class's forecasts, single steps, the order, the list, and what is to be expected."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from markupsafe import Markup

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.contract.columns import Target
from data.contract.contract import Contract
from data.rows.records import Record
from data.statistics import CountRange, count_range, shift_sd
from serving.pages import show
from serving.pages.roster_file import UploadedClass, also_shown, written
from serving.pages.steps import Gains, describe_step, describe_totals, gains_of
from serving.predictor import Predictor
from serving.sheet import Row
from serving.suggestions import suggest

DECIMALS = 6
PAGE, AT_ONCE = 25, 40  # students of a page, and of a class that is shown as one
MOST_TYPED = 60  # letters of a search
LONGEST = 40  # digits of a name that is a number: Python refuses to read thousands
MOST_REASONS = 6
MOST_LETTERS = 40  # of a cell of the school's own
FITTED = 2
"""An intercept and a slope: what may be off for everyone, beside what moves the risks apart."""
LISTED, BEST_STEP, AFTER, JUDGED = "this_week", "best_single_step", "at_risk_after_step", "judgement"
"""Columns of the download."""

Chosen = TypeVar("Chosen", bound=StrEnum)


class ClassForecasts:
    """What the model says of each student (n), in the order of the records.

    `risks`, `sure` (the likeliest class's probability) and the gains have six decimals, as the page's
    script is told them: it and the server put equals into the same order.
    """

    def __init__(self, bundle: Bundle, records: list[Record]) -> None:
        """Forecast validated records."""
        self.bundle, self.matrix = bundle, bundle.matrix(records)
        self.elapsed = bundle.elapsed(records)
        self.shares = bundle.probabilities(self.matrix, self.elapsed)
        self.risks = np.round(risk_of(self.shares, bundle.contract.target), DECIMALS)
        self.sure = np.round(self.shares.max(axis=1).astype(float), DECIMALS)
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
    def sort(self) -> str:
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
    """Put a choice into effect.

    Args:
        choice: order, filters, search, and how many can be seen.
        forecasts: of n students.
        target: says from which risk on a student is flagged.
        names: what the n are called.
        also: what else tells who is meant; a search looks at both.
    """
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


class RosterLine(NamedTuple):
    """One student as the table has it."""

    number: int
    name: str
    also: str
    label: str
    grades: str
    several: bool
    risk: float
    sure: float
    step: str
    gain: float
    listed: bool
    no_step: str = ""
    """What is said where there is none."""

    @property
    def after(self) -> float:
        """The risk after the best single step."""
        return self.risk - self.gain


BLANK = RosterLine(0, "", "", "", "", several=False, risk=0.0, sure=0.0, step="", gain=0.0, listed=False)
"""The line whose row the page's script copies and fills in."""


class ListCounts(NamedTuple):
    """What is to be expected of a list: of those on it, and of those who are not."""

    listed: int
    false_alarms: CountRange
    left_out: CountRange


class ClassList:
    """A class with its forecasts, and the students who were chosen of it, in order."""

    def __init__(self, predictor: Predictor, file: UploadedClass, choice: Choice) -> None:
        self.predictor, self.file, self.choice = predictor, file, choice
        self.contract = contract = predictor.bundle.contract
        self.forecasts = ClassForecasts(predictor.bundle, file.records)
        id_name = contract.id.name if contract.id else ""
        numbered = zip(file.records, file.numbers, strict=True)
        self.names = [str(record.get(id_name) or f"Row {number}") for record, number in numbered]
        self.also = _also(file, contract)
        self.shown = choose(choice, self.forecasts, contract.target, self.names, self.also)

    @property
    def page_size(self) -> int:
        """How many students are shown at a time."""
        return len(self.names) if 0 < len(self.names) <= AT_ONCE else PAGE

    def page(self) -> tuple[np.ndarray, int, int]:
        """Return the places on the chosen page, its number, and how many pages there are."""
        pages = max(1, -(-len(self.shown.places) // self.page_size))
        page = min(self.choice.page, pages)
        return self.shown.places[(page - 1) * self.page_size : page * self.page_size], page, pages

    def lines(self, places: Sequence[int]) -> list[RosterLine]:
        """Return the lines of some students, by their places among the records."""
        forecasts, labels = self.forecasts, self.contract.target.labels
        gains = forecasts.gains_at(np.asarray(places, dtype=int))
        return [
            RosterLine(
                number=self.file.numbers[place],
                name=self.names[place],
                also=self.also[place],
                label=labels[forecasts.tops[place]],
                grades=show.listed(forecasts.sets[place], "or"),
                several=len(forecasts.sets[place]) > 1,
                risk=float(forecasts.risks[place]),
                sure=float(forecasts.sure[place]),
                step=describe_step(turn, self.file.records[place], gains),
                gain=float(gains.gain[turn]),
                listed=bool(self.shown.listed[place]),
                no_step=self._no_step(place),
            )
            for turn, place in enumerate(places)
        ]

    def _no_step(self, place: int) -> str:
        flagged = self.forecasts.risks[place] >= self.contract.target.call_from
        return "No single step changes much" if flagged else "Not needed"

    def table(self) -> dict[str, Any]:
        """Return all students as columns, in the file's order, each text as the page has it."""
        lines = self.lines(range(len(self.names)))
        columns = [name for name in RosterLine._fields if name != "listed"]
        table = {name: [getattr(line, name) for line in lines] for name in columns}
        return {**table, "rank": ranks_of(self.names), "top": self.forecasts.tops}

    def counts(self) -> ListCounts:
        """Return what is to be expected of the list and of those left out of it."""
        return counts_of(self.forecasts.risks, self.shown.listed, self._training_rows)

    def expected(self) -> dict[str, CountRange]:
        """Return how many of the class are expected in each class of the target, with a range."""
        shares, shift = self.forecasts.shares, shift_sd(self.forecasts.risks, self._training_rows, FITTED)
        labels = self.predictor.bundle.manifest.labels
        return {label: count_range(shares[:, place], shift) for place, label in enumerate(labels)}

    def csv(self, noted: Mapping[int, str]) -> bytes:
        """Return the chosen students, in their order, as a spreadsheet reads it."""
        shares = [f"probability_{label}" for label in self.predictor.bundle.manifest.labels]
        added = [
            LISTED,
            "grade_class",
            *shares,
            "at_risk",
            "grade_set",
            BEST_STEP,
            AFTER,
            "model_version",
            JUDGED,
        ]
        own = [place for place, name in enumerate(self.file.header) if name not in added]
        rows = [[self.file.header[place] for place in own] + added]
        for place in self.shown.places.tolist():
            row = self.file.row(place)
            rows.append([row[at] for at in own] + self._cells(place, noted))
        return written(rows, self.file.delimiter)

    def _cells(self, place: int, noted: Mapping[int, str]) -> Row:
        forecasts, risk = self.forecasts, float(self.forecasts.risks[place])
        step = describe_step(place, self.file.records[place], forecasts.gains)
        return [
            "yes" if self.shown.listed[place] else "no",
            self.predictor.bundle.manifest.labels[forecasts.tops[place]],
            *(f"{share:.6f}" for share in forecasts.shares[place]),
            f"{risk:.6f}",
            "|".join(forecasts.sets[place]),
            step,
            f"{risk - forecasts.gains.gain[place]:.6f}" if step else "",
            self.predictor.version,
            noted.get(self.file.numbers[place], ""),
        ]

    @property
    def _training_rows(self) -> int:
        return int(self.predictor.bundle.manifest.training["rows"])


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


def draw_expected(expected: Mapping[str, CountRange], target: Target) -> Markup:
    """Draw a class's distribution of grades as one bar."""
    tones = show.tones(target.labels, target.at_risk)
    whole = sum(count.expected for count in expected.values()) or 1.0
    said = {label: f"{label}: about {count.expected:.0f}" for label, count in expected.items()}
    drawn = [
        show.BarPart(said[label], count.expected / whole, tones[label])
        for label, count in expected.items()
        if count.expected / whole > 0.001
    ]
    return show.stacked(drawn, f"Expected in this class: {show.listed(list(said.values()))}")


def details_of(
    predictor: Predictor, records: Sequence[Record], numbers: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Return what the rows of some students open to, by the number of the row."""
    answers = predictor.predict(list(records), explain=True)
    return {
        number: {
            "number": number,
            "answer": answer,
            "reasons": answer["reasons"][:MOST_REASONS],
            "more": len(answer["reasons"]) - MOST_REASONS,
            "suggestions": suggest(predictor.bundle, record),
            "ahead": describe_totals(predictor.bundle, record),
        }
        for number, record, answer in zip(numbers, records, answers, strict=True)
    }


def _also(file: UploadedClass, contract: Contract) -> list[str]:
    """Return what else the school's file says of each student: a name, a group."""
    places = also_shown(file.header, contract)
    rows = (file.row(place) for place in range(len(file.records)))
    return [" · ".join(row[at].strip()[:MOST_LETTERS] for at in places if row[at].strip()) for row in rows]
