"""The demonstration's school: its students ask the predictor, and their grades come later."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np

from data.cohort import generate
from data.contract import Contract
from data.frames import parse, target_index, to_records
from flows.demo.months import Month

PATIENCE = 60  # seconds
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


def ask(url: str, students: Class, contract: Contract, month: Month) -> Asked:
    """Ask for every student's forecast; without a column, as the month has it, all are refused."""
    records = students.records
    if month.lost_column:
        lost = contract.features[-1].name
        records = [{name: value for name, value in record.items() if name != lost} for record in records]
    ids: list[str] = []
    for start in range(0, len(records), AT_ONCE):
        status, answer = post(f"{url}/predict", records[start : start + AT_ONCE])
        if status == 422:
            first = answer["errors"][0]
            return Asked([], f"{first['field']}: {first['message']}")
        ids += [forecast["prediction_id"] for forecast in answer]
    return Asked(ids)


def report(
    url: str, students: Class, asked: Asked, contract: Contract, *, corrupted: float, seed: int
) -> int:
    """Report the grades, a share of them drawn blindly and then without a score; return how many."""
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
        post(f"{url}/outcomes", outcomes[start : start + AT_ONCE])
    return len(outcomes)


def post(url: str, body: Any) -> tuple[int, Any]:
    """Post JSON and return the status and the JSON answered; raises RuntimeError but for 2xx and 422."""
    headers = {"Content-Type": "application/json"}
    try:
        with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=PATIENCE) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        if error.code != 422:
            raise RuntimeError(f"{url} answered {error.code}: {error.read().decode()[:300]}") from error
        return error.code, json.loads(error.read())


def get(url: str) -> dict[str, Any]:
    """Return the JSON object at an address, whatever the status; empty while nothing answers."""
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return dict(json.loads(answer.read()))
    except HTTPError as error:
        return dict(json.loads(error.read()))
    except OSError:
        return {}
