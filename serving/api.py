"""POST /predict: the body parsed and validated, the forecast written down and answered."""

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NoReturn
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import orjson
from flask import Blueprint, Flask, Response, current_app, request
from pydantic import TypeAdapter, ValidationError

from data.bundle.bundle import Bundle
from data.bundle.manifest import BundleError
from data.contract.columns import ELAPSED, repeated
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.log.entries import Via, prediction_entries
from data.log.spool import Spool, SpoolError
from data.rows.kinds import PASSED, rule_of
from data.rows.records import Record, settle_elapsed, taken_instead
from serving.days import read_day, with_day
from serving.predictor import CurrentPredictor, Predictor
from serving.problems import (
    MOST_FAULTS,
    FieldError,
    FieldErrors,
    Problem,
    no_model,
    problem_response,
    shortened,
    unavailable,
)
from serving.settings import PredictorSettings

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
    faults = FieldErrors()
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


def _faults(error: ValidationError, where: FieldError) -> list[FieldError]:
    return [
        {
            **where,
            "field": str(item["loc"][0]) if item["loc"] else "",
            "message": MESSAGES.get(item["type"], item["msg"]),
        }
        for item in error.errors(include_url=False, include_input=False, include_context=False)
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


JSON = "application/json"
CANARY = "X-Gradecast-Canary"
"""The header of the pipeline's own questions, which are about no student."""
YES_OR_NO = {"true": True, "1": True, "false": False, "0": False, "": False}

api = Blueprint("api", __name__)


@api.post("/predict")
def predict() -> Response:
    """Forecast one record, or each of a list."""
    explain, elapsed = _explain(), request.args.get(ELAPSED) if request.query_string else None
    as_of = request.args.get(AS_OF) if request.query_string else None
    if not request.is_json:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the record as application/json.")
    via: Via = "canary" if request.headers.get(CANARY) == "true" else "predict"
    body = request.get_data(cache=False)
    answer = forecast(current_app.extensions, body, explain=explain, via=via, elapsed=elapsed, as_of=as_of)
    return Response(answer, content_type=JSON)


def forecast(
    extensions: Mapping[str, Any],
    body: bytes,
    *,
    explain: bool = False,
    via: Via = "predict",
    elapsed: str | None = None,
    as_of: str | None = None,
) -> bytes:
    """Return the JSON that answers a request's body, written down already; raises Problem.

    `elapsed` is what the query says of how much of the period has passed, `as_of` for which day it is.
    """
    settings: PredictorSettings = extensions["settings"]
    parsed = parse_json(body, settings.max_records)
    predictor = ready_predictor(extensions["predictor"])
    bundle = predictor.bundle
    passed = read_elapsed(elapsed, bundle)
    parsed = with_day(parsed, read_day(as_of, bundle.contract))
    _refuse_elapsed(parsed, bundle)
    records = validate(parsed, bundle.record, {*bundle.contract.columns, ELAPSED}, settings.max_records)
    settle_elapsed(records, bundle.contract, passed)
    answers = predictor.predict(records, explain=explain)
    write_down(
        extensions["spool"], prediction_entries(records, answers, bundle.contract, settings.id_key, via)
    )
    _say_what_was_taken(answers, parsed, bundle.contract)
    extensions["metrics"].predicted(
        [answer["grade_class"] for answer in answers], sum(answer["at_risk"] for answer in answers)
    )
    return orjson.dumps(answers if isinstance(parsed, list) else answers[0])


def _say_what_was_taken(answers: Sequence[dict[str, Any]], parsed: Any, contract: Contract) -> None:
    """Say in each answer what was taken in place of what its record lacks."""
    if not contract.fallbacks:
        return
    raw = parsed if isinstance(parsed, list) else [parsed]
    for answer, record in zip(answers, raw, strict=True):
        if instead := taken_instead(record, contract):
            answer["assumed"] = instead


def read_elapsed(text: str | None, bundle: Bundle) -> float | None:
    """Return how much of the period has passed, as a query or a form says it; raises Problem 422."""
    if text is None:
        return None
    value = None if bundle.no_elapsed else rule_of(PASSED).read(text)
    if not isinstance(value, float):
        said = bundle.no_elapsed or "give a part of the period above 0 and up to 1, such as 0.5"
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "How much of the period has passed cannot be used.",
            [{"field": ELAPSED, "message": said}],
        )
    return value


def _refuse_elapsed(parsed: Any, bundle: Bundle) -> None:
    """Raise Problem 422 for records that say how much has passed to a bundle that cannot be told."""
    if not bundle.no_elapsed or ELAPSED in bundle.contract.columns:
        return
    raw = parsed if isinstance(parsed, list) else [parsed]
    if any(isinstance(item, dict) and ELAPSED in item for item in raw):
        read_elapsed("", bundle)


def check_passed_column(header: Sequence[str], bundle: Bundle) -> None:
    """Raise Problem 422 for a file that says how much has passed to a model of an earlier release."""
    if ELAPSED in header and ELAPSED not in bundle.contract.columns and not bundle.foresees:
        read_elapsed("", bundle)


def ready_predictor(current: CurrentPredictor) -> Predictor:
    """Return the predictor that answers; raises Problem 503 with the remedy while there is none."""
    try:
        return current.get()
    except BundleError as error:
        raise no_model(str(error)) from error


def write_down(spool: Spool, entries: Sequence[Any]) -> None:
    """Write down what is about to be answered, dicts or JSON made already; raises Problem 503."""
    try:
        spool.append(entries)
    except SpoolError as error:
        raise unavailable("The forecast cannot be written down now, and so it is not given.", 10) from error


def json_response(value: Any) -> Response:
    """Return a value as application/json."""
    return Response(orjson.dumps(value), content_type=JSON)


def _explain() -> bool:
    if not request.query_string:
        return False
    wanted = request.args.get("explain", "")
    if wanted.lower() not in YES_OR_NO:
        fault = {"field": "explain", "message": "give true or false"}
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The query cannot be read.", [fault])
    return YES_OR_NO[wanted.lower()]


PATH = "/predict"
CANARY_KEY = f"HTTP_{CANARY.upper().replace('-', '_')}"
DIGITS = 12  # of a length that is worth reading


class Shortcut:
    """A WSGI application in front of Flask's."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._flask: WSGIApplication = app.wsgi_app
        self._extensions = app.extensions
        settings: PredictorSettings = app.extensions["settings"]
        self._most = settings.max_body_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"] != PATH or not (length := self._length(environ)):
            return self._flask(environ, start_response)
        body = environ["wsgi.input"].read(length)
        try:
            answer = forecast(self._extensions, body)
        except Problem as problem:
            return problem_response(problem)(environ, start_response)
        except Exception as error:  # noqa: BLE001  Flask logs it, and tells it as one of its own
            with self._app.request_context(environ):
                return self._app.handle_exception(error)(environ, start_response)
        start_response("200 OK", [("Content-Type", JSON), ("Content-Length", str(len(answer)))])
        return [answer]

    def _length(self, environ: WSGIEnvironment) -> int:
        """Return how long the body of a plain request is; 0 where the request is another one."""
        length = environ.get("CONTENT_LENGTH", "")
        plain = (
            environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == JSON
            and not environ["QUERY_STRING"]
            and CANARY_KEY not in environ
            and length.isdecimal()
            and len(length) < DIGITS
        )
        return int(length) if plain and int(length) <= self._most else 0
