"""The months of the demonstration year, and the school that is in it."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np

from data.cohorts.grades import generate
from data.contract.contract import Contract
from data.rows.frames import parse, target_index, to_records
from flows.runtime.predictor_api import PredictorApi

PROGRAMME = -2.0
"""Strength of the scenario that takes tutoring's effect away: at -2 there is three times the effect."""
WINTER = 4.0  # days of absence more
CORRUPTED = 0.6  # share of grades that are drawn blindly


@dataclass(frozen=True)
class Month:
    """A month: the generated students' scenario, and what goes wrong at the school."""

    name: str
    story: str = "quiet"
    scenario: str | None = None
    strength: float | None = None
    corrupted: float = 0.0
    """Share of the grades reported that are drawn blindly."""
    lost_column: bool = False
    """The school's export lacks a column until somebody notices."""
    mended: bool = False
    """The grades of the month before are reported again, right this time."""
    rollback: bool = False
    """A person goes back to the version before."""


YEAR = (
    Month("September"),
    Month("October"),
    Month("November"),
    Month("December", "winter: four days of absence more", "absences", WINTER),
    Month("January", "winter: four days of absence more", "absences", WINTER),
    Month("February", "a tutoring programme: three times the effect", "tutoring-void", PROGRAMME),
    Month("March", "the programme goes on", "tutoring-void", PROGRAMME),
    Month("April", "grades mixed up in the office", "tutoring-void", PROGRAMME, corrupted=CORRUPTED),
    Month("May", "April's grades reported again, right", "tutoring-void", PROGRAMME, mended=True),
    Month("June", "a column is missing from the export", "tutoring-void", PROGRAMME, lost_column=True),
    Month("July", "the programme ends: a person rolls back", rollback=True),
    Month("August"),
)
SHORT = (YEAR[0], *YEAR[5:8])
"""Four months that show the loop: a quiet one, two of a changed effect, one of mixed-up grades."""


AT_ONCE = 500  # records of one request


@dataclass(frozen=True)
class Class:
    """A month's students: what is asked of each, and the class and the score that each comes to."""

    records: list[dict[str, Any]]
    grades: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Answers:
    """What the predictor answered: an id, a risk and a grade each, or why it refused."""

    ids: list[str]
    refused: str = ""
    at_risk: tuple[float, ...] = ()
    grades: tuple[str, ...] = ()


def students_of(month: Month, place: int, count: int, contract: Contract, seed: int) -> Class:
    """Generate the students of a month, whom no other month has."""
    raw = generate(
        count,
        seed=seed + place,
        scenario=month.scenario,
        strength=month.strength,
        first_id=100_000 * (place + 1),
    )
    frame = parse(raw, contract)
    records = to_records(frame, contract)
    if contract.id is not None:
        records = [
            {contract.id.name: int(name), **record}
            for name, record in zip(frame[contract.id.name], records, strict=True)
        ]
    scores = frame[contract.score.name].to_numpy() if contract.score else np.full(count, np.nan)
    return Class(records, target_index(frame, contract), scores)


def ask(predictor: PredictorApi, students: Class, contract: Contract, month: Month) -> Answers:
    """Ask for every student's forecast; without a column, as the month has it, all are refused."""
    records = students.records
    if month.lost_column:
        lost = contract.features[-1].name
        records = [{name: value for name, value in record.items() if name != lost} for record in records]
    found: list[dict[str, Any]] = []
    for start in range(0, len(records), AT_ONCE):
        status, answer = predictor.ask("/predict", records[start : start + AT_ONCE])
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            first = answer["errors"][0]
            return Answers([], f"{first['field']}: {first['message']}")
        refuse_other(status, HTTPStatus.OK, answer)
        found += answer
    ids = [one["prediction_id"] for one in found]
    risks, grades = (tuple(one[name] for one in found) for name in ("at_risk", "grade_class"))
    return Answers(ids, "", risks, grades)


def report(
    predictor: PredictorApi,
    students: Class,
    asked: Answers,
    contract: Contract,
    *,
    corrupted: float,
    seed: int,
) -> None:
    """Report the grades; where a share of them is drawn blindly, all without their scores."""
    rng = np.random.default_rng(seed)
    labels = contract.target.labels
    mixed = rng.random(len(asked.ids)) < corrupted
    blind = rng.integers(0, len(labels), len(asked.ids))
    outcomes = []
    for place, name in enumerate(asked.ids):
        grade = blind[place] if mixed[place] else students.grades[place]
        outcome: dict[str, Any] = {"prediction_id": name, "grade_class": labels[grade]}
        if contract.score is not None and not corrupted and np.isfinite(students.scores[place]):
            outcome[contract.score.name] = float(students.scores[place])
        outcomes.append(outcome)
    for start in range(0, len(outcomes), AT_ONCE):
        status, answer = predictor.ask("/outcomes", outcomes[start : start + AT_ONCE])
        refuse_other(status, HTTPStatus.ACCEPTED, answer)


def refuse_other(status: int, wanted: HTTPStatus, answer: Any) -> None:
    """Raise RuntimeError with what the predictor said, unless it answered as wanted."""
    if status != wanted:
        raise RuntimeError(f"the predictor answered {status} where {wanted} was wanted: {answer}")
