"""POST /predict: it parses, calls and maps errors."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, request

from data.log_entries import Via, prediction_entries
from data.manifest import BundleError
from serving.body import parse_json, validate
from serving.predictor import CurrentPredictor, Predictor
from serving.problems import Problem
from serving.settings import Settings
from serving.spool import Spool, SpoolError

JSON = "application/json"
CANARY = "X-Gradecast-Canary"
"""The header of the pipeline's own questions, which are about no student."""
REMEDY = "Train one with `make pipeline`: it is served as soon as it is registered."
YES_OR_NO = {"true": True, "1": True, "false": False, "0": False, "": False}

api = Blueprint("api", __name__)


@api.post("/predict")
def predict() -> Response:
    """Forecast one record, or each of a list."""
    explain = _explain()
    if not request.is_json:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the record as application/json.")
    via: Via = "canary" if request.headers.get(CANARY) == "true" else "predict"
    body = request.get_data(cache=False)
    return Response(forecast(current_app.extensions, body, explain=explain, via=via), content_type=JSON)


def forecast(
    extensions: Mapping[str, Any], body: bytes, *, explain: bool = False, via: Via = "predict"
) -> bytes:
    """Return the JSON that answers a request's body, written down already; raises Problem."""
    settings: Settings = extensions["settings"]
    parsed = parse_json(body, settings.max_records)
    predictor = ready_predictor(extensions["predictor"])
    bundle = predictor.bundle
    records = validate(parsed, bundle.record, bundle.contract.columns, settings.max_records)
    answers = predictor.predict(records, explain=explain)
    write_down(
        extensions["spool"], prediction_entries(records, answers, bundle.contract, settings.id_key, via)
    )
    extensions["metrics"].predicted(
        [answer["grade_class"] for answer in answers], sum(answer["at_risk"] for answer in answers)
    )
    return orjson.dumps(answers if isinstance(parsed, list) else answers[0])


def ready_predictor(current: CurrentPredictor) -> Predictor:
    """Return the predictor that answers; raises Problem 503 with the remedy while there is none."""
    try:
        return current.get()
    except BundleError as error:
        detail = f"There is no model to answer with: {error}. {REMEDY}"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error


def write_down(spool: Spool, entries: Sequence[Any]) -> None:
    """Write down what is about to be answered, dicts or JSON made already; raises Problem 503."""
    try:
        spool.append(entries)
    except SpoolError as error:
        detail = "The forecast cannot be written down now, and so it is not given."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, (), {"Retry-After": "10"}) from error


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
