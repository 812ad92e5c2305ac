"""POST /predict: it parses, calls and maps errors."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, request

from data.log_entries import prediction_entries
from data.manifest import BundleError
from serving.body import parse_json, validate
from serving.predictor import CurrentPredictor, Predictor
from serving.problems import Problem
from serving.settings import Settings
from serving.spool import Spool, SpoolError

REMEDY = "Train one with `make pipeline`: it is served as soon as it is registered."
YES_OR_NO = {"true": True, "1": True, "false": False, "0": False, "": False}

api = Blueprint("api", __name__)


@api.post("/predict")
def predict() -> Response:
    """Forecast one record, or each of a list."""
    explain = _explain()
    if not request.is_json:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the record as application/json.")
    parsed = parse_json(request.get_data(cache=False))
    extensions = current_app.extensions
    settings: Settings = extensions["settings"]
    predictor = ready_predictor(extensions["predictor"])
    records = validate(parsed, predictor.bundle.record, settings.max_records)
    answers = predictor.predict(records, explain=explain)
    write_down(
        extensions["spool"],
        prediction_entries(records, answers, predictor.bundle.contract, settings.id_key),
    )
    extensions["metrics"].predicted(
        [answer["grade_class"] for answer in answers], sum(answer["at_risk"] for answer in answers)
    )
    return json_response(answers if isinstance(parsed, list) else answers[0])


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
    return Response(orjson.dumps(value), mimetype="application/json")


def _explain() -> bool:
    if not request.query_string:
        return False
    wanted = request.args.get("explain", "")
    if wanted.lower() not in YES_OR_NO:
        fault = {"field": "explain", "message": "give true or false"}
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The query cannot be read.", [fault])
    return YES_OR_NO[wanted.lower()]
