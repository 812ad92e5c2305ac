"""The OpenAPI 3.1 document of the API, derived from the contract of the model that answers."""

from http import HTTPStatus
from typing import Any

from serving.batch import BAD_ROWS, ROWS
from serving.predictor import Predictor
from serving.schemas import all_schemas, ref
from serving.scoring import added_columns
from serving.settings import Settings

Node = dict[str, Any]

ABOUT = "Calibrated, explained forecasts of every student's final grade class. It forecasts; people decide."
PROBLEMS = {
    400: "Not JSON, not CSV, or cut off.",
    401: "No key, or a wrong one.",
    403: "Asked by a name that is not the predictor's, or without a key by a page of another site.",
    408: "It did not come in whole in the time it has; nothing was taken.",
    413: "Too large, or too many records.",
    415: "Another media type than those asked for.",
    422: "The contract is broken; every broken field is named.",
    503: "No model yet, or more to do than can be done: see Retry-After.",
}
EXAMPLE_ID = "0" * 32


def describe(predictor: Predictor, settings: Settings) -> Node:
    """Return the document of what this predictor answers."""
    bundle = predictor.bundle
    locked = settings.api_key is not None
    record: Node = bundle.shown[0]
    schemas = all_schemas(bundle.contract, bundle.record.json_schema(), settings.max_records)
    schemas["Record"]["examples"] = [record]
    schemas["Forecast"]["examples"] = [_example_answer(predictor, record)]
    components: Node = {"schemas": schemas}
    if locked:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document: Node = {
        "openapi": "3.1.0",
        "info": {
            "title": f"Gradecast: {bundle.contract.title}",
            "version": predictor.version,
            "description": ABOUT,
        },
        "paths": {**_forecast_paths(predictor, record), **_other_paths(bundle.contract.target.labels[0])},
        "components": components,
    }
    return {**document, "security": [{"key": []}]} if locked else document


def _example_answer(predictor: Predictor, record: Node) -> Node:
    bundle = predictor.bundle
    matrix = bundle.matrix([bundle.record.validate_python(record)])
    answer = bundle.answers(bundle.probabilities(matrix))[0]
    return {**answer, "model_version": predictor.version, "prediction_id": EXAMPLE_ID}


def _forecast_paths(predictor: Predictor, record: Node) -> Node:
    explain = {
        "name": "explain",
        "in": "query",
        "schema": {"enum": ["true", "false"], "default": "false"},
        "description": "Whether to add the reasons.",
    }
    body = _json_body({"anyOf": [ref("Record"), ref("Records")]}, record)
    answer = _json(
        "The forecast, or one for each record in order.", {"anyOf": [ref("Forecast"), ref("Forecasts")]}
    )
    one = _operation(
        "predict", "Forecast one record, or each of a list", answer, 400, 401, 403, 408, 413, 415, 422, 503
    )
    about = {"description": predictor.counts_warning} if predictor.counts_warning else {}
    return {
        "/predict": {"post": {**one, **about, "parameters": [explain], "requestBody": body}},
        "/predict/batch": {"post": {**_batch(predictor), **about}},
    }


def _batch(predictor: Predictor) -> Node:
    added = ", ".join(added_columns(predictor.bundle.contract.target.labels))
    text: Node = {"type": "string"}
    form: Node = {
        "type": "object",
        "properties": {"file": {**text, "format": "binary"}},
        "required": ["file"],
    }
    counts: Node = {
        ROWS: {"schema": {"type": "integer"}, "description": "Rows of the file."},
        BAD_ROWS: {
            "schema": {"type": "integer"},
            "description": "Rows that have an error instead of a forecast.",
        },
    }
    answer: Node = {
        "description": f"The same rows in the same order, with the columns {added}. Cells that a spreadsheet "
        "would run as a formula begin with an apostrophe.",
        "headers": counts,
        "content": {"text/csv": {"schema": text}},
    }
    operation = _operation(
        "predictBatch", "Forecast every row of a CSV", answer, 400, 401, 403, 408, 413, 415, 422, 503
    )
    content = {"text/csv": {"schema": text}, "multipart/form-data": {"schema": form}}
    return {**operation, "requestBody": {"required": True, "content": content}}


def _other_paths(label: str) -> Node:
    model = _operation(
        "model", "Show the model, its contract and its card", _json("The model.", ref("Model")), 401, 403, 503
    )
    return {"/outcomes": {"post": _outcomes(label)}, "/model": {"get": model}, **_watched_paths()}


def _outcomes(label: str) -> Node:
    body = _json_body(
        {"anyOf": [ref("Outcome"), ref("Outcomes")]}, {"prediction_id": EXAMPLE_ID, "grade_class": label}
    )
    body["content"]["text/csv"] = {"schema": {"type": "string"}}
    taken = _json("Taken.", {"type": "object", "properties": {"accepted": {"type": "integer"}}})
    what = "Report grades that came later"
    operation = _operation("reportOutcomes", what, taken, 400, 401, 403, 408, 413, 415, 422, 503, status=202)
    return {**operation, "requestBody": body}


def _watched_paths() -> Node:
    health, text = _json("It answers.", ref("Health")), {"schema": {"type": "string"}}
    counts: Node = {"description": "Prometheus' text format.", "content": {"text/plain": text}}
    which = "Tell which model answers, and whether it is the one that is wanted"
    return {
        "/health": {"get": _open("health", which, health, 503)},
        "/health/ready": {"get": _open("ready", which, health, 503)},
        "/health/live": {"get": _open("live", "Tell that the process answers", health)},
        "/metrics": {"get": _open("metrics", "Show what is counted", counts)},
    }


def _operation(name: str, summary: str, answer: Node, *problems: int, status: int = 200) -> Node:
    responses = {str(status): answer} | {str(code): _problem(code) for code in problems}
    return {"operationId": name, "summary": summary, "responses": responses}


def _open(name: str, summary: str, answer: Node, *problems: int) -> Node:
    return {**_operation(name, summary, answer, *problems), "security": []}


def _problem(code: int) -> Node:
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {"description": f"{HTTPStatus(code).phrase}. {PROBLEMS[code]}", "content": content}


def _json(about: str, schema: Node) -> Node:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _json_body(schema: Node, example: Node) -> Node:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}
