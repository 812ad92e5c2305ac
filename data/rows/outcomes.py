"""What a grade that came later must look like: of a forecast or of a student, a class or its score."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from data.contract.columns import Role, is_missing
from data.contract.contract import Contract
from data.rows.kinds import class_places, number_of
from data.rows.records import record_adapter

PREDICTION_ID = "prediction_id"
GRADE = "grade_class"
"""The class under the name that answers have, whatever the contract calls its target."""
HEX = re.compile(r"[0-9a-f]{32}")
MOST_UNKNOWN = 100  # fields of one outcome that are named

FieldError = dict[str, str | int]
Outcome = dict[str, Any]


def outcome_fields(contract: Contract) -> dict[str, str]:
    """Return the fields of an outcome that a contract knows, and what each is."""
    fields = {PREDICTION_ID: "the forecast's id", GRADE: "the class", contract.target.column: "the class"}
    if contract.id is not None:
        fields[contract.id.name] = "the student's id"
    if contract.score is not None:
        fields[contract.score.name] = "the score that the class comes from"
    return fields


def outcome_reader(contract: Contract) -> Callable[[Any], tuple[Outcome, list[FieldError], int]]:
    """Return the function that reads one outcome and names every field that is wrong, the rest by number.

    An outcome is prediction_id, student (canonical id), outcome (label) and score. Codes and labels both say
    a class; where the contract has a rule, the score alone does too.
    """
    adapter, known = record_adapter(outcome_columns(contract)), outcome_fields(contract)
    target = contract.target.column

    def read(raw: Any) -> tuple[Outcome, list[FieldError], int]:
        if not isinstance(raw, dict):
            return {}, [_fault("", "give an object")], 0
        unknown = [name for name in raw if name not in known]
        more = max(0, len(unknown) - MOST_UNKNOWN)
        faults = [_fault(name, "is not a field of an outcome") for name in unknown[:MOST_UNKNOWN]]
        given = {name: value for name, value in raw.items() if name in known and value is not None}
        prediction = given.pop(PREDICTION_ID, None)
        if prediction is not None and not (isinstance(prediction, str) and HEX.fullmatch(prediction)):
            faults.append(_fault(PREDICTION_ID, "give the 32 hex digits that the forecast was answered with"))
        said = GRADE if GRADE in given else target
        if GRADE in given and target in given and target != GRADE:
            faults.append(_fault(GRADE, f"give this or {target}, not both"))
        if said in given:
            given[target] = given.pop(said)
        try:
            values = adapter.validate_python(given)
        except ValidationError as error:
            return {}, faults + _faults(error, {target: said}), more
        outcome, wrong = _outcome(contract, values, prediction, said)
        return outcome, faults + wrong, more

    return read


def from_cells(row: Mapping[str, str], contract: Contract) -> dict[str, Any]:
    """Return a CSV row's known cells as the values of JSON; empty cells and other columns are left out."""
    known = outcome_fields(contract)
    cells = {name: cell.strip() for name, cell in row.items() if name in known}
    classes = {str(text).casefold() for pair in contract.target.classes.items() for text in pair}
    given: dict[str, Any] = {
        name: cell for name, cell in cells.items() if cell.casefold() in classes or not is_missing(cell)
    }
    if contract.score is not None and contract.score.name in given:
        number = number_of(given[contract.score.name])
        if number is not None:  # else it is left as it is, to be refused
            whole = contract.score.whole and number.is_integer()
            given[contract.score.name] = int(number) if whole else number
    return given


def _outcome(
    contract: Contract, values: dict[str, Any], prediction: Any, said: str
) -> tuple[Outcome, list[FieldError]]:
    """Return the outcome of validated values; what is missing or contradicts itself is a fault."""
    target, faults = contract.target, []
    student = values.get(contract.id.name) if contract.id else None
    score = values.get(contract.score.name) if contract.score else None
    label = target.classes.get(values.get(target.column, ""))
    ruled = _ruled(contract, score)
    if prediction is None and student is None:
        other = f" or {contract.id.name}" if contract.id else ""
        faults.append(_fault(PREDICTION_ID, f"say whose outcome it is: {PREDICTION_ID}{other}"))
    if label is None and ruled is None:
        faults.append(_fault(said, "is missing"))
    elif label is not None and ruled not in (None, label) and contract.score:
        faults.append(_fault(contract.score.name, f"{score:g} is {ruled}, not {label}"))
    outcome = {"prediction_id": prediction, "student": student, "outcome": label or ruled, "score": score}
    return outcome, faults


def _ruled(contract: Contract, score: float | None) -> str | None:
    """Return the class that the contract's rule makes of a score."""
    if score is None or contract.target.bounds is None:
        return None
    return contract.target.labels[class_places([score], contract.target)[0]]


def outcome_columns(contract: Contract) -> Contract:
    """Return a contract whose records are outcomes: id, class and score, each of them optional."""
    columns = [contract.target.as_column, *([contract.id] if contract.id else [])]
    if contract.score is not None:
        columns.append(contract.score.model_copy(update={"role": Role.AUDIT}))
    named = {column.name: column for column in columns}
    return contract.model_copy(update={"name": f"{contract.name}_outcome", "columns": named})


def _faults(error: ValidationError, renamed: Mapping[str, str]) -> list[FieldError]:
    found = [(str(item["loc"][0]), item["msg"]) for item in error.errors(include_url=False)]
    return [_fault(renamed.get(name, name), message) for name, message in found]


def _fault(field: str, message: str) -> FieldError:
    return {"field": field, "message": message}
