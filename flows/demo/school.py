"""The demonstration's school: its students ask the predictor, and their grades come later."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np

from data.cohort import generate
from data.contract import Contract
from data.frames import parse, target_index, to_records
from flows.demo.months import Month
from flows.support.predictor_api import PredictorApi

AT_ONCE = 500  # records of one request


@dataclass(frozen=True)
class Class:
    """A month's students: what is asked of each, and the class and the score that each comes to."""

    records: list[dict[str, Any]]
    grades: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Asked:
    """What the predictor answered: an id each, or why it refused."""

    ids: list[str]
    refused: str = ""


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


def ask(predictor: PredictorApi, students: Class, contract: Contract, month: Month) -> Asked:
    """Ask for every student's forecast; without a column, as the month has it, all are refused."""
    records = students.records
    if month.lost_column:
        lost = contract.features[-1].name
        records = [{name: value for name, value in record.items() if name != lost} for record in records]
    ids: list[str] = []
    for start in range(0, len(records), AT_ONCE):
        status, answer = predictor.ask("/predict", records[start : start + AT_ONCE])
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            first = answer["errors"][0]
            return Asked([], f"{first['field']}: {first['message']}")
        refuse_other(status, HTTPStatus.OK, answer)
        ids += [forecast["prediction_id"] for forecast in answer]
    return Asked(ids)


def report(
    predictor: PredictorApi,
    students: Class,
    asked: Asked,
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
        if contract.score is not None and not corrupted:
            outcome[contract.score.name] = float(students.scores[place])
        outcomes.append(outcome)
    for start in range(0, len(outcomes), AT_ONCE):
        status, answer = predictor.ask("/outcomes", outcomes[start : start + AT_ONCE])
        refuse_other(status, HTTPStatus.ACCEPTED, answer)


def refuse_other(status: int, wanted: HTTPStatus, answer: Any) -> None:
    """Raise RuntimeError with what the predictor said, unless it answered as wanted."""
    if status != wanted:
        raise RuntimeError(f"the predictor answered {status} where {wanted} was wanted: {answer}")
