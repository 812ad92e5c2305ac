"""A request's body as validated records."""

import json
import re
from http import HTTPStatus
from typing import Any, NoReturn

import orjson
from pydantic import TypeAdapter, ValidationError

from data.records import Record
from serving.problems import Fault, Problem

LONG = re.compile(rb"[0-9]{19}")
MESSAGES = {"missing": "is missing", "extra_forbidden": "is not a column of the contract"}


def parse_json(body: bytes) -> Any:
    """Parse a body strictly; raises Problem 400 where it is not JSON, or says a key twice."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:  # perhaps one of the few things that the slow parser takes
        return _parse_slowly(body)
    flat = parsed if isinstance(parsed, list) else [parsed]
    # Every key brings a colon: as many as there are distinct keys in flat records means that none is
    # there twice. orjson keeps the last of two silently, and makes floats of very long whole numbers.
    if body.count(b":") == sum(len(item) for item in flat if isinstance(item, dict)) and not LONG.search(
        body
    ):
        return parsed
    return _parse_slowly(body)


def _parse_slowly(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except RecursionError:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is nested too deeply.") from None
    except ValueError as error:  # not UTF-8, not JSON, or refused below
        raise Problem(HTTPStatus.BAD_REQUEST, f"The body is not JSON: {error}.") from error


def validate(parsed: Any, adapter: TypeAdapter[Record], most: int) -> list[Record]:
    """Return the records of a parsed body; raises Problem 413 or 422, naming every broken field."""
    several = isinstance(parsed, list)
    raw = parsed if several else [parsed]
    if len(raw) > most:
        detail = f"{len(raw)} records in one request; at most {most} are taken. Send them in parts."
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    records: list[Record] = []
    faults: list[Fault] = []
    for position, item in enumerate(raw):
        try:
            records.append(adapter.validate_python(item))
        except ValidationError as error:
            faults += _faults(error, {"record": position} if several else {})
    if faults:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The contract is broken; nothing was predicted.", faults
        )
    return records


def _faults(error: ValidationError, where: Fault) -> list[Fault]:
    found = [(str(item["loc"][0]) if item["loc"] else "", item) for item in error.errors(include_url=False)]
    return [
        {**where, "field": field, "message": MESSAGES.get(item["type"], item["msg"])} for field, item in found
    ]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{', '.join(map(repr, twice))} given twice")
    return keys


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
