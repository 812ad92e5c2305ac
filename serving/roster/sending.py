"""How the roster's pages go out: compressed, and for the page's script as columns of JSON."""

import gzip
from collections.abc import Sequence
from typing import Any

import orjson
from flask import Response, request

from serving.roster.view import Line

WORTH_IT = 1_400  # bytes: less fits into one packet anyway
EFFORT = 6


def compressed(response: Response) -> Response:
    """Compress an answer for browsers that take it so.

    A secret beside a stranger's text could be guessed from the length; here both come from the one who
    asks, for a page is only made for a form with a token.
    """
    if "gzip" not in request.headers.get("Accept-Encoding", "") or response.direct_passthrough:
        return response
    body = response.get_data()
    if len(body) > WORTH_IT and not response.headers.get("Content-Encoding"):
        response.set_data(gzip.compress(body, EFFORT, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    response.headers.add("Vary", "Accept-Encoding")
    return response


def json_of(value: Any) -> Response:
    """Return a value as JSON."""
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), mimetype="application/json")


def table_of(lines: Sequence[Line]) -> dict[str, list[Any]]:
    """Return all students of a roster as columns, in the file's order, each text as the page has it."""
    return {
        "number": [line.number for line in lines],
        "name": [line.name for line in lines],
        "also": [line.also for line in lines],
        "label": [line.label for line in lines],
        "grades": [line.grades for line in lines],
        "several": [line.several for line in lines],
        "risk": [line.risk for line in lines],
        "sure": [line.sure for line in lines],
        "step": [line.step for line in lines],
        "gain": [line.gain for line in lines],
    }
