"""The day that forecasts are asked for beside the records: in a query, for a list or a CSV without it."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.rows.kinds import rule_of
from data.rows.records import Record
from serving.problems import FieldError, FieldErrors, Problem
from serving.sheet import Row

SAME_DAY = "leave it out of the query, or say the same day in both"


def read_day(text: str | None, contract: Contract) -> int | None:
    """Return the day that a query asks for; raises Problem 422 where there is no forecast for it."""
    if text is None:
        return None
    if contract.dated is None:
        raise _refused([{"field": AS_OF, "message": "the model is for no day: leave it out"}])
    value = _read(text, contract)
    if value is None:
        first, last = (f"{limit:g}" for limit in contract.columns[AS_OF].limits)
        raise _refused([{"field": AS_OF, "message": f"give a whole number of days from {first} to {last}"}])
    return value


def with_day(parsed: Any, day: int | None) -> Any:
    """Return a parsed body with the day in each record; raises Problem 422 for those that say another."""
    if day is None:
        return parsed
    faults = FieldErrors()
    for number, item in enumerate(parsed if isinstance(parsed, list) else [parsed]):
        if isinstance(item, dict) and item.get(AS_OF, day) != day:
            where: FieldError = {"record": number} if isinstance(parsed, list) else {}
            faults.add([{**where, "field": AS_OF, "message": f"the query says {day}: {SAME_DAY}"}])
    if faults:
        raise _refused(faults)
    if isinstance(parsed, list):
        return [_with_day(item, day) for item in parsed]
    return _with_day(parsed, day)


def check_days(header: Sequence[str], rows: Sequence[Row], day: int | None, contract: Contract) -> None:
    """Raise Problem 422 where a row of a file says another day than the query."""
    if day is None or AS_OF not in header:
        return
    place = header.index(AS_OF)
    other = next((text for text in _cells(rows, place) if _read(text, contract) not in (None, day)), None)
    if other is not None:
        raise _refused(
            [{"field": AS_OF, "message": f"the query says {day}, a row {other.strip()}: {SAME_DAY}"}]
        )


def settle_day(records: Sequence[Record], day: int | None) -> None:
    """Let each validated record of a file say the day of the query."""
    if day is not None:
        for record in records:
            record[AS_OF] = day


def _cells(rows: Sequence[Row], place: int) -> Iterator[str]:
    return iter({row[place]: None for row in rows if len(row) > place})


def _read(text: str, contract: Contract) -> int | None:
    """Return a text as the contract reads a day; None for what is none."""
    value = rule_of(contract.columns[AS_OF]).read(text)
    return int(value) if isinstance(value, int | float) else None


def _with_day(item: Any, day: int) -> Any:
    return {**item, AS_OF: day} if isinstance(item, dict) and AS_OF not in item else item


def _refused(faults: Sequence[FieldError] | FieldErrors) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The day cannot be used; nothing was predicted.", faults)
