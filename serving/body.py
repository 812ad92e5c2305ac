"""A request's body as validated records."""

import json
import re
from collections.abc import Container
from http import HTTPStatus
from typing import Any, NoReturn

import orjson
from pydantic import TypeAdapter, ValidationError

from data.columns import repeated
from data.records import Record
from serving.problems import MOST_FAULTS, Fault, Faults, Problem, shortened

SPARE = 10  # objects for each record that is taken: what is refused for its form may hold more
LONG = re.compile(rb"[0-9]{19}")
MESSAGES = {"missing": "is missing", "extra_forbidden": "is not a column of the contract"}


def parse_json(body: bytes, most: int) -> Any:
    """Parse a body of at most so many objects strictly.

    Raises Problem 400 where it is not JSON, or says a key twice; 413 where it holds many more objects.
    """
    if (objects := body.count(b"{")) > SPARE * (most + 1):  # a few megabytes of them would become hundreds
        raise _too_many(f"{objects:,} objects", most)
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


def validate(parsed: Any, adapter: TypeAdapter[Record], known: Container[str], most: int) -> list[Record]:
    """Return the records of a parsed body; raises Problem 413 or 422, naming the broken fields.

    `known` holds the names of the contract's columns.
    """
    several = isinstance(parsed, list)
    raw = parsed if several else [parsed]
    if len(raw) > most:
        raise _too_many(f"{len(raw):,} records", most)
    records: list[Record] = []
    faults = Faults()
    for position, item in enumerate(raw):
        kept, more = _without_most_unknown(item, known)
        try:
            records.append(adapter.validate_python(kept))
        except ValidationError as error:
            if faults.full:
                faults.add((), more + error.error_count())
            else:
                faults.add(_faults(error, {"record": position} if several else {}), more)
    if faults:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The contract is broken; nothing was predicted.", faults
        )
    return records


def _too_many(what: str, most: int) -> Problem:
    detail = f"{what} in one request; at most {most:,} records are taken. Send them in parts."
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def _without_most_unknown(item: Any, known: Container[str]) -> tuple[Any, int]:
    """Return a record with no more unknown fields than can be named, and how many were left out."""
    if not isinstance(item, dict) or len(item) <= MOST_FAULTS:
        return item, 0
    unknown = [name for name in item if name not in known]
    left_out = frozenset(unknown[MOST_FAULTS:])
    return {name: item[name] for name in item if name not in left_out}, len(left_out)


def _faults(error: ValidationError, where: Fault) -> list[Fault]:
    found = [
        (str(item["loc"][0]) if item["loc"] else "", item)
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return [
        {**where, "field": field, "message": MESSAGES.get(item["type"], item["msg"])} for field, item in found
    ]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        twice = sorted(repeated(name for name, _ in pairs))
        more = f" and {len(twice) - MOST_FAULTS:,} more" if len(twice) > MOST_FAULTS else ""
        told = ", ".join(repr(shortened(name)) for name in twice[:MOST_FAULTS])
        raise ValueError(f"{told}{more} given twice")
    return keys


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
