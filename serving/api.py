"""The routes: they parse, call and map errors."""

from http import HTTPStatus
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, request

from data.bundle import BundleError
from serving.body import parse_json, validate
from serving.predictor import CurrentPredictor, Predictor
from serving.problems import Problem
from serving.settings import Settings

REMEDY = "Train one with `make pipeline`, then sync it with `python -m serving.sync`."
YES_OR_NO = {"true": True, "1": True, "false": False, "0": False, "": False}

api = Blueprint("api", __name__)


@api.post("/predict")
def predict() -> Response:
    """Forecast one record, or each of a list."""
    explain = _explain()
    if not request.is_json:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the record as application/json.")
    parsed = parse_json(request.get_data())
    predictor = _predictor()
    records = validate(parsed, predictor.bundle.record, _settings().max_records)
    answers = predictor.predict(records, explain=explain)
    return _json(answers if isinstance(parsed, list) else answers[0])


@api.get("/health")
@api.get("/health/ready")
def ready() -> Response:
    """Tell which model is served."""
    predictor = _predictor()
    model = predictor.bundle.contract.model_name
    return _json({"status": "ok", "model": model, "model_version": predictor.version})


@api.get("/health/live")
def live() -> Response:
    """Tell that this process answers."""
    return _json({"status": "ok"})


def _explain() -> bool:
    wanted = request.args.get("explain", "")
    if wanted.lower() not in YES_OR_NO:
        fault = {"field": "explain", "message": "give true or false"}
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The query cannot be read.", [fault])
    return YES_OR_NO[wanted.lower()]


def _predictor() -> Predictor:
    current: CurrentPredictor = current_app.extensions["predictor"]
    try:
        return current.get()
    except BundleError as error:
        detail = f"There is no model to answer with: {error}. {REMEDY}"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), mimetype="application/json")
