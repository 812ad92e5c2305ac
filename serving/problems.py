"""Errors as RFC 9457 problem details."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

Fault = Mapping[str, str | int]
"""One broken field: `field`, `message`, and in a list of records the `record` it is in, from 0."""


class Problem(Exception):
    """A request that is refused: the status, what is wrong, every broken field, and headers to add."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, list(errors), headers or {}


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
