"""The roster as columns of JSON, for the page's script."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from flask import Response

from serving.roster.choice import ranks_of
from serving.roster.view import Line


def json_of(value: Any) -> Response:
    """Return a value as JSON."""
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), mimetype="application/json")


def table_of(lines: Sequence[Line], tops: np.ndarray) -> dict[str, Any]:
    """Return all students of a roster as columns, in the file's order, each text as the page has it."""
    return {
        "number": [line.number for line in lines],
        "name": [line.name for line in lines],
        "also": [line.also for line in lines],
        "rank": ranks_of([line.name for line in lines]),
        "label": [line.label for line in lines],
        "top": tops,
        "grades": [line.grades for line in lines],
        "several": [line.several for line in lines],
        "risk": [line.risk for line in lines],
        "sure": [line.sure for line in lines],
        "step": [line.step for line in lines],
        "gain": [line.gain for line in lines],
    }
