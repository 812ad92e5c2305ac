"""A class as a table: its lines, the drawing of each, the download, and what a row opens to."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from data.contract.columns import Target
from data.rows.records import Record
from data.rows.spreadsheets import FIRST_ROW
from data.statistics import CountRange, count_range, shift_sd
from serving.pages import show
from serving.pages.roster_file import written
from serving.pages.roster_list import (
    FITTED,
    Choice,
    ClassForecasts,
    ListCounts,
    Only,
    choose,
    counts_of,
    helps,
    ranks_of,
)
from serving.pages.roster_rows import UploadedClass
from serving.pages.steps import describe_step, describe_totals
from serving.pages.why import reasons_in_words, way_of
from serving.predictor import Predictor
from serving.sheet import Row
from serving.suggestions import suggest

PAGE, AT_ONCE = 25, 40  # students of a page, and of a class that is shown as one
MOST_REASONS = 6
NINE_IN_TEN = 1.645  # standard deviations to either side
LISTED, BEST_STEP, AFTER, ERROR = "this_week", "best_single_step", "at_risk_after_step", "not_forecast"
JUDGED = ("judgement", "judgement_reason", "judgement_by")
"""Columns of the download."""


class Noted(NamedTuple):
    """What was noted on a forecast: the verdict, why, and by whom."""

    verdict: str = ""
    reason: str = ""
    name: str = ""


NOTHING_NOTED = Noted()


class RosterLine(NamedTuple):
    """One student as the table has it."""

    number: int
    name: str
    id: str
    """Beside a name."""
    label: str
    grades: str
    several: bool
    risk: float
    step: str
    gain: float
    listed: bool
    flagged: bool
    scale: tuple[float, float, float]
    """Where the dot of the drawing is and the ends of its range, in hundredths of its width."""

    @property
    def after(self) -> float:
        """The risk after the best single step."""
        return self.risk - self.gain


BLANK = RosterLine(
    0, "", "", "", "", several=False, risk=0, step="", gain=0, listed=False, flagged=False, scale=(0, 0, 0)
)
"""The line whose row the page's script copies and fills in."""


class Drawn(NamedTuple):
    """Each student's dot and range on a scale (n, 3), and the line from which students are flagged.

    In hundredths of the drawing's width, worse to the left.
    """

    scales: np.ndarray
    line: float
    said: str
    """What the scale is."""


def drawn_of(forecasts: ClassForecasts) -> Drawn:
    """Place students on the scale of the latent score with its line; else their risk, with its threshold."""
    bundle, target = forecasts.bundle, forecasts.bundle.contract.target
    cuts = bundle.cuts
    if not cuts or (forecasts.elapsed is not None and not bundle.population.days):
        ends = np.tile(100 * (1 - forecasts.risks)[:, None], 3)
        return Drawn(ends, 100 * (1 - target.call_from), f"chance of {show.listed(target.at_risk, 'or')}")
    margin = (cuts[0] - cuts[-1]) / max(len(cuts) - 1, 1) or 4 * bundle.spread
    around = forecasts.latents[:, None] + np.array([0, -1, 1]) * NINE_IN_TEN * bundle.spread
    low, high = min(cuts[-1] - margin, around.min(initial=np.inf)), max(cuts[0], around.max(initial=-np.inf))
    line = cuts[max(0, min(map(target.labels.index, target.at_risk)) - 1)]
    hundredths = np.clip(100 * (around - low) / (high - low), 0, 100)
    return Drawn(np.round(hundredths, 1), 100 * (line - low) / (high - low), bundle.scale.unit)


class ClassList:
    """A class with its forecasts, the list that was made of it, and the table of those who are shown."""

    def __init__(self, predictor: Predictor, file: UploadedClass, choice: Choice) -> None:
        self.predictor, self.file, self.choice = predictor, file, choice
        self.contract = contract = predictor.bundle.contract
        self.forecasts = ClassForecasts(predictor.bundle, file.records)
        self.names = [f"{name} {one}".strip() for name, one in zip(file.names, file.ids, strict=True)]
        self.shown = choose(choice, self.forecasts, contract.target, self.names, file.numbers)
        self.drawn = drawn_of(self.forecasts)

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
        forecasts, file = self.forecasts, self.file
        some = np.asarray(places, dtype=int)
        gains = forecasts.gains_at(some)
        much = helps(gains, forecasts.risks[some], self.contract.target)
        return [
            RosterLine(
                number=file.numbers[place],
                name=file.names[place] or file.ids[place],
                id=file.ids[place] if file.names[place] else "",
                label=self.contract.target.labels[forecasts.tops[place]],
                grades=show.listed(forecasts.sets[place], "or"),
                several=len(forecasts.sets[place]) > 1,
                risk=float(forecasts.risks[place]),
                step=describe_step(turn, file.records[place], gains) if much[turn] else "",
                gain=float(gains.gain[turn]),
                listed=bool(self.shown.listed[place]),
                flagged=bool(forecasts.risks[place] >= self.contract.target.call_from),
                scale=tuple(self.drawn.scales[place].tolist()),
            )
            for turn, place in enumerate(places)
        ]

    def table(self) -> dict[str, Any]:
        """Return all students as columns, in the file's order, each text as the page has it."""
        lines = self.lines(range(len(self.names)))
        columns = [name for name in RosterLine._fields if name != "listed"]
        table = {name: [getattr(line, name) for line in lines] for name in columns}
        forecasts = self.forecasts
        orders = {"turn": forecasts.turns, "rank": ranks_of(self.names), "top": forecasts.tops}
        return {**table, **orders, "sure": forecasts.sure}

    def counts(self) -> ListCounts:
        """Return what is to be expected of the list and of those left out of it."""
        return counts_of(self.forecasts.risks, self.shown.listed, self._training_rows)

    def expected(self) -> dict[str, CountRange]:
        """Return how many of the class are expected in each class of the target, with a range."""
        shares, shift = self.forecasts.shares, shift_sd(self.forecasts.risks, self._training_rows, FITTED)
        labels = self.predictor.bundle.manifest.labels
        return {label: count_range(shares[:, place], shift) for place, label in enumerate(labels)}

    def csv(self, noted: Mapping[int, Noted]) -> bytes:
        """Return the chosen students, in their order, as a spreadsheet reads it, then the others."""
        labels = self.predictor.bundle.manifest.labels
        shares = [f"probability_{label}" for label in labels]
        answer = ["grade_class", *shares, "at_risk", "grade_set", BEST_STEP, AFTER, "model_version"]
        added = [LISTED, *answer, *JUDGED]
        own = [place for place, name in enumerate(self.file.header) if name not in (*added, ERROR)]
        unread = self.file.unread if self.choice.only is Only.ALL and not self.choice.find else []
        rows = [[self.file.header[place] for place in own] + added + [ERROR] * bool(unread)]
        for place in self.shown.places.tolist():
            row = self.file.row(place)
            rows.append([row[at] for at in own] + self._cells(place, noted) + [""] * bool(unread))
        for one in unread:
            row = self.file.rows[one.number - FIRST_ROW]
            said = " ".join(f"{fault.title}: {fault.message}" for fault in one.faults)
            cells = [row[at] if at < len(row) else "" for at in own]
            rows.append([*cells, "look at this student yourself", *[""] * (len(added) - 1), said])
        return written(rows, self.file.delimiter)

    def _cells(self, place: int, noted: Mapping[int, Noted]) -> Row:
        forecasts, risk = self.forecasts, float(self.forecasts.risks[place])
        much = helps(forecasts.gains, forecasts.risks, self.contract.target)[place]
        step = describe_step(place, self.file.records[place], forecasts.gains) if much else ""
        return [
            "yes" if self.shown.listed[place] else "no",
            self.predictor.bundle.manifest.labels[forecasts.tops[place]],
            *(f"{share:.6f}" for share in forecasts.shares[place]),
            f"{risk:.6f}",
            "|".join(forecasts.sets[place]),
            step,
            f"{risk - forecasts.gains.gain[place]:.6f}" if step else "",
            self.predictor.version,
            *noted.get(self.file.numbers[place], NOTHING_NOTED),
        ]

    @property
    def _training_rows(self) -> int:
        return int(self.predictor.bundle.manifest.training["rows"])


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
            "reasons": reasons_in_words(answer["reasons"], predictor.bundle, record),
            "way": way_of(predictor.bundle, record, answer["reasons"]),
            "most": MOST_REASONS,
            "suggestions": suggest(predictor.bundle, record),
            "ahead": describe_totals(predictor.bundle, record),
        }
        for number, record, answer in zip(numbers, records, answers, strict=True)
    }
