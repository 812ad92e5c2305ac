"""A class as it is shown: rows, counts, downloads."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from flask import Response

from data.bundle.bundle import Bundle
from data.contract.contract import Contract
from data.rows.records import Record
from data.statistics import CountRange, count_range, shift_sd
from serving.pages import charts, words
from serving.pages.charts import FITTED, ListCounts, counts_of
from serving.pages.class_choice import ClassForecasts, Gains, Shown, ranks_of
from serving.pages.class_upload import UploadedClass, also_shown
from serving.predictor import Answer, Predictor
from serving.sheet import BOM, LINE_END, Row, Sheet
from serving.suggestions import Suggestion, suggest

MOST_REASONS = 6
MOST_LETTERS = 40  # of a cell of the school's own


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

    @property
    def after(self) -> float:
        """The risk after the best single step."""
        return self.risk - self.gain


BLANK = RosterLine(0, "", "", "", "", several=False, risk=0.0, sure=0.0, step="", gain=0.0, listed=False)
"""The line whose row the page's script copies and fills in."""


class ExpectedClass(NamedTuple):
    """One class of the target: how many of the roster are expected in it."""

    label: str
    expected: CountRange
    likeliest: int


class Detail(NamedTuple):
    """What a student's row opens to."""

    number: int
    answer: Answer
    reasons: list[dict[str, Any]]
    more: int
    suggestions: list[Suggestion]


def names_of(roster: UploadedClass, contract: Contract) -> list[str]:
    """Return what each student is called: by the id, or by the row of the file."""
    id_name = contract.id.name if contract.id else ""
    pairs = zip(roster.records, roster.numbers, strict=True)
    return [str(record.get(id_name) or f"Row {number}") for record, number in pairs]


def also_of(roster: UploadedClass, contract: Contract) -> list[str]:
    """Return what else the school's file says of each student: a name, a group."""
    places = also_shown(roster.header, contract)
    if not places:
        return [""] * len(roster.records)
    rows = (roster.row(place) for place in range(len(roster.records)))
    return [" · ".join(row[at].strip()[:MOST_LETTERS] for at in places if row[at].strip()) for row in rows]


def lines_of(
    places: Sequence[int], roster: UploadedClass, forecasts: ClassForecasts, shown: Shown, contract: Contract
) -> list[RosterLine]:
    """Return the lines of some students, by their places among the records."""
    names, also, labels = names_of(roster, contract), also_of(roster, contract), contract.target.labels
    gains = forecasts.gains_at(np.asarray(places, dtype=int))
    return [
        RosterLine(
            number=roster.numbers[place],
            name=names[place],
            also=also[place],
            label=labels[forecasts.tops[place]],
            grades=words.listed(forecasts.sets[place], "or"),
            several=len(forecasts.sets[place]) > 1,
            risk=float(forecasts.risks[place]),
            sure=float(forecasts.sure[place]),
            step=step_of(turn, roster.records[place], gains),
            gain=float(gains.gain[turn]),
            listed=bool(shown.listed[place]),
        )
        for turn, place in enumerate(places)
    ]


def step_of(place: int, record: Record, gains: Gains) -> str:
    """Return a student's best single step in words; nothing where none helps."""
    if gains.best[place] < 0:
        return ""
    column = gains.steps[gains.best[place]].column
    return change_in_words(column.title, column, record[column.name], gains.value(place))


def change_in_words(title: str, column: Any, before: Any, after: Any) -> str:
    """Return a change as `Absences: 21 → 14 days`, its unit said once."""
    to = words.value_of(column, after)
    was = words.value_of(column, before) if column.coded or before is None else words.number(before)
    return f"{title}: {was} → {to}"


def class_parts(forecasts: ClassForecasts, bundle: Bundle) -> list[ExpectedClass]:
    """Return how many of the roster are expected in each class, with a range."""
    labels = bundle.manifest.labels
    shift = shift_sd(forecasts.risks, bundle.manifest.training["rows"], FITTED)
    likeliest = np.bincount(forecasts.tops, minlength=len(labels))
    return [
        ExpectedClass(label, count_range(forecasts.shares[:, place], shift), int(likeliest[place]))
        for place, label in enumerate(labels)
    ]


def class_bar(parts: Sequence[ExpectedClass], contract: Contract) -> Any:
    """Draw the class's distribution of grades as one bar."""
    tones = charts.tones(contract.target.labels, contract.target.at_risk)
    whole = sum(part.expected.expected for part in parts) or 1.0
    drawn = [
        charts.BarPart(about(part), part.expected.expected / whole, tones[part.label])
        for part in parts
        if part.expected.expected / whole > 0.001
    ]
    return charts.stacked(drawn, f"Expected in this class: {words.listed([about(part) for part in parts])}")


def about(part: ExpectedClass) -> str:
    """Say how many are expected in one class."""
    return f"{part.label}: about {part.expected.expected:.0f}"


def counts_shown(forecasts: ClassForecasts, shown: Shown, bundle: Bundle) -> ListCounts:
    """Return what is to be expected of the list and of those left out of it."""
    return counts_of(forecasts.risks, shown.listed, bundle.manifest.training["rows"])


def details_of(
    predictor: Predictor, records: Sequence[Record], numbers: Sequence[int]
) -> Mapping[int, Detail]:
    """Return what the rows of some students open to, by the number of the row."""
    answers = predictor.predict(list(records), explain=True)
    return {
        number: Detail(
            number=number,
            answer=answer,
            reasons=answer["reasons"][:MOST_REASONS],
            more=len(answer["reasons"]) - MOST_REASONS,
            suggestions=suggest(predictor.bundle, record),
        )
        for number, record, answer in zip(numbers, records, answers, strict=True)
    }


LISTED, STEP, AFTER, JUDGED = "this_week", "best_single_step", "at_risk_after_step", "judgement"


def csv_of(
    roster: UploadedClass,
    forecasts: ClassForecasts,
    shown: Shown,
    predictor: Predictor,
    noted: Mapping[int, str],
) -> bytes:
    """Return the chosen students, in their order, as a spreadsheet reads it."""
    labels = predictor.bundle.manifest.labels
    shares = [f"probability_{label}" for label in labels]
    added = [LISTED, "grade_class", *shares, "at_risk", "grade_set", STEP, AFTER, "model_version", JUDGED]
    own = [place for place, name in enumerate(roster.header) if name not in added]
    rows = [[roster.header[place] for place in own] + added]
    for place in shown.places:
        row = roster.row(place)
        own_cells = [row[at] for at in own]
        rows.append(own_cells + _cells(place, roster, forecasts, shown, predictor, noted))
    # The sheet's own writer quotes cells and neutralises those that a spreadsheet would run.
    sheet = Sheet(io.BytesIO(roster.delimiter.join(["a", "b"]).encode()))
    return BOM + "".join(f"{line}{LINE_END}" for line in sheet.joined(rows)).encode()


def _cells(
    place: int,
    roster: UploadedClass,
    forecasts: ClassForecasts,
    shown: Shown,
    predictor: Predictor,
    noted: Mapping[int, str],
) -> Row:
    labels, risk = predictor.bundle.manifest.labels, float(forecasts.risks[place])
    step = step_of(place, roster.records[place], forecasts.gains)
    return [
        "yes" if shown.listed[place] else "no",
        labels[forecasts.tops[place]],
        *(f"{share:.6f}" for share in forecasts.shares[place]),
        f"{risk:.6f}",
        "|".join(forecasts.sets[place]),
        step,
        f"{risk - forecasts.gains.gain[place]:.6f}" if step else "",
        predictor.version,
        noted.get(roster.numbers[place], ""),
    ]


def json_of(value: Any) -> Response:
    """Return a value as JSON."""
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), mimetype="application/json")


def table_of(lines: Sequence[RosterLine], tops: np.ndarray) -> dict[str, Any]:
    """Return all students of a roster as columns, in the file's order, each text as the page has it."""
    return {
        "number": [line.number for line in lines],
        "name": [line.name for line in lines],
        "also": [line.also for line in lines],
        "rank": ranks_of([line.name for line in lines]),
        "label": [line.label for line in lines],
        "top": tops,
        "grades": [line.grades for line in lines],
        "several": [line.several for line in lines],
        "risk": [line.risk for line in lines],
        "sure": [line.sure for line in lines],
        "step": [line.step for line in lines],
        "gain": [line.gain for line in lines],
    }
