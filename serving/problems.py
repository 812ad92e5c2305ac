"""Errors as RFC 9457 problem details."""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from data.words import TRAIN_ONE

FieldError = Mapping[str, str | int]
"""One broken field: `field`, `message`, and in a list of records the `record` it is in, from 0."""


MOST_FAULTS = 100  # named in one answer
MOST_LETTERS = 100  # of a field's name, which comes from the caller


class FieldErrors:
    """The broken fields of a request: the first hundred by name, and the number of the rest."""

    def __init__(self, found: Iterable[FieldError] = ()) -> None:
        self.named: list[FieldError] = []
        self.more = 0
        self.add(found)

    def add(self, found: Iterable[FieldError], more: int = 0) -> None:
        """Add faults, and the number of those that are not even given; a long name is cut."""
        self.more += more
        for fault in found:
            if len(self.named) == MOST_FAULTS:
                self.more += 1
            else:
                self.named.append({**fault, "field": shortened(str(fault["field"]))})

    @property
    def full(self) -> bool:
        """Whether what is added is only counted."""
        return len(self.named) == MOST_FAULTS

    def __bool__(self) -> bool:
        return bool(self.named)


def shortened(name: str) -> str:
    """Return a name that came from the caller, cut where it is no name any more."""
    return name if len(name) <= MOST_LETTERS else f"{name[:MOST_LETTERS]}…"


class Problem(Exception):
    """A request that is refused: the status, what is wrong, the broken fields, and headers to add."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Iterable[FieldError] | FieldErrors = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        faults = errors if isinstance(errors, FieldErrors) else FieldErrors(errors)
        self.detail = f"{detail} There are {faults.more:,} more faults." if faults.more else detail
        super().__init__(self.detail)
        self.status, self.errors, self.headers = status, faults.named, headers or {}


def unavailable(detail: str, seconds: int) -> Problem:
    """Return the refusal of what may be asked again after so many seconds."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, (), {"Retry-After": str(seconds)})


def no_model(why: str) -> Problem:
    """Return the refusal of whatever wants a model while there is none, with the remedy."""
    remedy = f"{TRAIN_ONE}: it is served as soon as it is registered."
    detail = f"There is no model to answer with: {why.rstrip('.')}. {remedy}"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)


def register_problems(app: Flask) -> None:
    """Answer every error of an application as a problem."""
    app.register_error_handler(Problem, lambda problem: problem_response(problem))
    app.register_error_handler(HTTPException, _from_http)


def problem_response(problem: Problem) -> Response:
    """Return a problem as application/problem+json."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": int(problem.status),
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = problem.errors
    # Not orjson: a field's name comes from the caller and may hold what UTF-8 cannot.
    response = Response(json.dumps(body), status=problem.status, mimetype="application/problem+json")
    response.headers.extend(problem.headers)
    return response


def _from_http(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    response = problem_response(Problem(status, error.description or status.description))
    response.headers.extend(
        (name, value) for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")
    )
    return response
