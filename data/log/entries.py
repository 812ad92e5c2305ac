"""The entries of the prediction log: what a worker writes down of each forecast, outcome and override."""

import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AwareDatetime, Field, FiniteFloat, TypeAdapter
from typing_extensions import TypedDict

from data.contract.contract import Contract
from data.rows.ids import canonical_text, pseudonym, record_id
from data.rows.records import Record

Entry = dict[str, Any]
MOST_SAID = 500  # letters of a reason or a name
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Via = Literal["predict", "batch", "page", "roster", "score", "canary"]
"""How a forecast was asked for; a canary's is the pipeline's own, and no student's."""
Verdict = Literal["agree", "disagree"]


class Prediction(TypedDict):
    """A forecast: what was asked, what was answered, by which version, when. Reasons are left out.

    The record says under `elapsed` how much of the period had passed, where it was not all of it.
    """

    kind: Literal["prediction"]
    at: AwareDatetime
    contract: str
    student: Hex | None
    record: dict[str, Any]
    prediction_id: Hex
    model_version: str
    grade_class: str
    grade_class_index: Annotated[int, Field(ge=0, lt=1_000)]
    probabilities: dict[str, FiniteFloat]
    at_risk: FiniteFloat
    grade_set: list[str]
    via: NotRequired[Via]


class Outcome(TypedDict):
    """A grade that came later, of one forecast or of a student."""

    kind: Literal["outcome"]
    outcome_id: Hex
    at: AwareDatetime
    contract: str
    prediction_id: Hex | None
    student: Hex | None
    outcome: str
    outcome_index: Annotated[int, Field(ge=0, lt=1_000)]
    score: FiniteFloat | None


class Override(TypedDict):
    """What a person who knows the student says to a forecast."""

    kind: Literal["override"]
    override_id: Hex
    at: AwareDatetime
    contract: str
    prediction_id: Hex
    verdict: Verdict
    reason: Annotated[str, Field(max_length=MOST_SAID)]
    name: Annotated[str, Field(max_length=MOST_SAID)]


Known = Prediction | Outcome | Override
_adapter: TypeAdapter[Known] = TypeAdapter(Annotated[Known, Field(discriminator="kind")])


def new_ids(count: int) -> list[str]:
    """Return ids that sort by when they were made: the database adds such rows at its index's end."""
    moment, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10 * count).hex()
    return [moment + chance[start : start + 20] for start in range(0, len(chance), 20)]


def read_entry(line: bytes) -> Known:
    """Read what an entry's line must hold, and nothing else; raises pydantic's ValidationError."""
    return _adapter.validate_json(line)


def prediction_fields(
    *,
    at: Any,
    contract: Any,
    student: Any,
    record: Any,
    prediction_id: Any,
    model_version: Any,
    grade_class: Any,
    grade_class_index: Any,
    probabilities: Any,
    at_risk: Any,
    grade_set: Any,
    via: Any,
    reasons: Any = None,  # noqa: ARG001  left out
    elapsed: Any = None,  # noqa: ARG001  which the record says
    as_of: Any = None,  # noqa: ARG001  likewise
) -> Entry:
    """Return what the log keeps of a forecast, `Prediction` but its kind, by name and in this order.

    The values are one forecast's, or whole columns of many, or what stands for them in a line's template.
    """
    return {
        "at": at,
        "contract": contract,
        "student": student,
        "record": record,
        "prediction_id": prediction_id,
        "model_version": model_version,
        "grade_class": grade_class,
        "grade_class_index": grade_class_index,
        "probabilities": probabilities,
        "at_risk": at_risk,
        "grade_set": grade_set,
        "via": via,
    }


def prediction_entries(
    records: Sequence[Record], answers: Sequence[Entry], contract: Contract, key: str, via: Via = "predict"
) -> list[Entry]:
    """Return one entry for each answered record: the student's pseudonym, never the id."""
    at = datetime.now(UTC)
    return [
        {
            "kind": "prediction",
            **prediction_fields(
                at=at,
                contract=contract.name,
                student=student_of(record, contract, key),
                record=without_id(record, contract),
                via=via,
                **answer,
            ),
        }
        for record, answer in zip(records, answers, strict=True)
    ]


def outcome_entries(outcomes: Iterable[Entry], contract: Contract, key: str) -> Iterator[Entry]:
    """Yield one entry for each outcome that `data.rows.outcomes` has validated."""
    at = datetime.now(UTC)
    return (
        {
            "kind": "outcome",
            "outcome_id": uuid.uuid4().hex,
            "at": at,
            "contract": contract.name,
            "prediction_id": outcome["prediction_id"],
            "student": pseudonym(outcome["student"], key) if outcome["student"] else None,
            "outcome": outcome["outcome"],
            "outcome_index": contract.target.labels.index(outcome["outcome"]),
            "score": outcome["score"],
        }
        for outcome in outcomes
    )


def override_entry(
    prediction_id: str, contract: Contract, verdict: Verdict, reason: str = "", name: str = ""
) -> Entry:
    """Return the entry of a person's verdict on a forecast; reason and name are cut to 500 letters."""
    return {
        "kind": "override",
        "override_id": uuid.uuid4().hex,
        "at": datetime.now(UTC),
        "contract": contract.name,
        "prediction_id": prediction_id,
        "verdict": verdict,
        "reason": reason.strip()[:MOST_SAID],
        "name": name.strip()[:MOST_SAID],
    }


def without_id(record: Record, contract: Contract) -> Record:
    """Return a record without its id, which no log holds."""
    if contract.id is None or contract.id.name not in record:
        return record
    rest = record.copy()
    del rest[contract.id.name]
    return rest


def student_of(record: Record, contract: Contract, key: str) -> str | None:
    """Return the pseudonym of a validated record's student; None where it has no id.

    Under a contract without ids it is that of the canonical row, as `data.rows.kinds` has it.
    """
    if contract.id is None:
        return pseudonym(
            record_id([canonical_text(record.get(column.name)) for column in contract.asked]), key
        )
    student = record.get(contract.id.name)
    return pseudonym(student, key) if student else None
