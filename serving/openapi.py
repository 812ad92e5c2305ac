"""The OpenAPI 3.1 document, derived from the contract of the model that answers, and its pages."""

from http import HTTPStatus
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, send_from_directory

from data.bundle.card_text import SO_FAR_OR_WHOLE
from data.bundle.manifest import CARD
from data.bundle.reasons import LOG_ODDS, NOISE, RISK
from data.contract.columns import ELAPSED, FLOAT32_MAX, Target
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.rows.outcomes import outcome_fields
from serving.api import json_response, ready_predictor
from serving.batch import ASSUMED, BAD_ROWS, ROWS, WORKBOOK_TYPES
from serving.predictor import Predictor
from serving.scoring import added_columns
from serving.settings import PredictorSettings

Schema = dict[str, Any]

SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
PART: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
TEXT: Schema = {"type": "string"}
PREDICTION_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def all_schemas(contract: Contract, record: Schema, most: int) -> dict[str, Schema]:
    """Return every named schema of the API; `record` is the validator's own, `most` the longest list."""
    return {
        "Record": _record(contract, record),
        "Records": {"type": "array", "maxItems": most, "items": ref("Record")},
        "Forecast": _forecast(contract),
        "Forecasts": {"type": "array", "items": ref("Forecast")},
        "Outcome": _outcome(contract),
        "Outcomes": {"type": "array", "maxItems": most, "items": ref("Outcome")},
        "Model": _model(),
        "Health": _object(
            {
                "status": {"enum": ["ok", "degraded"]},
                "model": TEXT,
                "model_version": TEXT,
                "release": TEXT,
                "detail": TEXT,
            },
            ["status"],
        ),
        "Problem": _problem_schema(),
    }


def ref(name: str) -> Schema:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _record(contract: Contract, record: Schema) -> Schema:
    """Return the record's schema with each column's unit and, for codes, what they mean."""
    properties = {name: _ends_told(schema) for name, schema in record["properties"].items()}
    for name, schema in properties.items():
        if name not in contract.columns:  # how much of the period has passed says all of itself
            continue
        column = contract.columns[name]
        codes = ", ".join(f"{code} = {label}" for code, label in column.codes.items())
        counted = SO_FAR_OR_WHOLE if column in contract.accumulating else ""
        about = [
            column.help,
            counted,
            f"In {column.unit}." if column.unit else "",
            f"{codes}." if codes else "",
        ]
        schema["description"] = " ".join(filter(None, [*about, f"Role: {column.role}."]))
    return {**record, "title": contract.title, "properties": properties}


def _ends_told(schema: Schema) -> Schema:
    """Return a number's schema without the ends that the model's numbers have and the contract does not say.

    As whole numbers they are too long for most that read JSON.
    """
    kept = {
        name: value
        for name, value in schema.items()
        if name not in ("minimum", "maximum") or abs(value) < FLOAT32_MAX
    }
    return {**kept, "anyOf": list(map(_ends_told, kept["anyOf"]))} if "anyOf" in kept else kept


def _forecast(contract: Contract) -> Schema:
    labels = list(contract.target.labels)
    risk = ", ".join(contract.target.at_risk)
    fields: dict[str, Schema] = {
        "grade_class": {"enum": labels, "description": "The likeliest class."},
        "grade_class_index": {"type": "integer", "minimum": 0, "maximum": len(labels) - 1},
        "probabilities": _object(dict.fromkeys(labels, SHARE), labels),
        "at_risk": {**SHARE, "description": f"The probability of {risk}."},
        "grade_set": {
            "type": "array",
            "items": {"enum": labels},
            "description": "Holds the true class for at least 90 % of each class's students.",
        },
        "model_version": TEXT,
        "prediction_id": PREDICTION_ID,
    }
    reasons = {
        "type": "array",
        "items": _reason(contract),
        "description": "With explain=true: each feature's effect on the forecast, largest first.",
    }
    passed = {ELAPSED: {**PART, "description": "As it was asked; left out where it is all."}}
    if contract.dated is not None:
        whole = {"type": "integer", "description": "The day that the forecast is for, as it was asked."}
        fields[AS_OF] = whole
    taken = {"type": "object", "description": "What was taken in place of what the record lacks, by column."}
    more = {"reasons": reasons, **(passed if contract.accumulating else {})}
    more |= {"assumed": taken} if contract.fallbacks else {}
    return _object({**fields, **more}, list(fields))


def _reason(contract: Contract) -> Schema:
    """Return one reason's schema: what it is about, and in which unit."""
    target = contract.target
    fields: dict[str, Schema] = {
        "feature": TEXT,
        "value": {},
        "effect": {
            "type": "number",
            "description": "What the value changes against the average student, in `unit`: above 0 towards "
            "`toward`, below 0 away from it.",
        },
        "unit": {
            "type": "string",
            "description": f"{target.unit}, where there is a score; else {RISK}. Models of earlier releases "
            f"have {LOG_ODDS}, or {NOISE}.",
        },
        "toward": {"type": "array", "items": {"enum": list(target.labels)}, "description": _toward(target)},
    }
    return _object(fields, list(fields))


def _toward(target: Target) -> str:
    """Say what a positive effect speaks for."""
    if target.ordered:
        return f"The best class: the outcome is forecast to be better, {target.labels[0]} at the best."
    return (
        f"The classes at risk ({', '.join(target.at_risk)}): the classes have no order, so reasons are about "
        "`at_risk`, whichever class is the likeliest, and add up to its log odds."
    )


def _outcome(contract: Contract) -> Schema:
    """Return an outcome's schema: whose it is, and the class as a label or a code, or the score."""
    classes: Schema = {"enum": [*contract.target.labels, *contract.target.classes]}
    known: dict[str, Schema] = {
        "prediction_id": PREDICTION_ID,
        "grade_class": classes,
        contract.target.column: classes,
    }
    if contract.id is not None:
        known[contract.id.name] = {"type": ["integer", "string"]}
    if contract.score is not None:
        low, high = contract.score.limits
        known[contract.score.name] = {"type": "number", "minimum": low, "maximum": high}
    fields = {
        name: {**known.get(name, {}), "description": what} for name, what in outcome_fields(contract).items()
    }
    return _object(fields, [])


def _model() -> Schema:
    fields: dict[str, Schema] = {
        "name": TEXT,
        "version": TEXT,
        "created": {"type": "string", "format": "date-time"},
        "metrics": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
        "training": {"type": "object"},
        "contract": {"type": "object"},
        "card": {"type": "string", "description": "The model card, in Markdown."},
    }
    return _object(fields, list(fields))


def _problem_schema() -> Schema:
    place: Schema = {"type": "integer", "minimum": 0}
    fault = _object({"field": TEXT, "message": TEXT, "record": place, "row": place}, ["field", "message"])
    fields: dict[str, Schema] = {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "errors": {"type": "array", "items": fault},
    }
    return _object(fields, ["type", "title", "status", "detail"])


def _object(properties: dict[str, Schema], required: list[str]) -> Schema:
    whole: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**whole, "required": required} if required else whole


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
SENT = (400, 401, 403, 408, 413, 415, 422, 503)
"""What may be answered where a body is sent."""
EXAMPLE_ID = "0" * 32


def describe(predictor: Predictor, settings: PredictorSettings) -> Schema:
    """Return the document of what this predictor answers."""
    bundle = predictor.bundle
    locked = settings.api_key is not None
    record: Schema = bundle.shown[0]
    schemas = all_schemas(bundle.contract, bundle.record.json_schema(), settings.max_records)
    schemas["Record"]["examples"] = [record]
    schemas["Forecast"]["examples"] = [_example_answer(predictor, record)]
    components: Schema = {"schemas": schemas}
    if locked:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": f"Gradecast: {bundle.contract.title}",
            "version": predictor.version,
            "description": ABOUT,
        },
        "tags": [{"name": name} for name in dict.fromkeys([*GROUPS.values(), OTHERS])],
        "paths": {**_forecast_paths(predictor, record), **_other_paths(bundle.contract.target.labels[0])},
        "components": components,
    }
    return {**document, "security": [{"key": []}]} if locked else document


def _example_answer(predictor: Predictor, record: Schema) -> Schema:
    bundle = predictor.bundle
    matrix = bundle.matrix([bundle.record.validate_python(record)])
    answer = bundle.answers(bundle.probabilities(matrix))[0]
    day = {AS_OF: record[AS_OF]} if bundle.contract.dated else {}
    return {**answer, "model_version": predictor.version, "prediction_id": EXAMPLE_ID, **day}


def _forecast_paths(predictor: Predictor, record: Schema) -> Schema:
    explain = {
        "name": "explain",
        "in": "query",
        "schema": {"enum": ["true", "false"], "default": "false"},
        "description": "Whether to add the reasons.",
    }
    contract = predictor.bundle.contract
    asked = [_passed_parameter()] if contract.accumulating else []
    asked += [_day_parameter(contract)] if contract.dated else []
    answer = _json(
        "The forecast, or one for each record in order.", {"anyOf": [ref("Forecast"), ref("Forecasts")]}
    )
    one = _operation("predict", "Forecast one record, or each of a list", answer, *SENT)
    many = _operation(
        "predictBatch", "Forecast every row of a CSV or a sheet", _batch_answer(predictor), *SENT
    )
    about = {"description": predictor.counts_hint} if predictor.counts_hint else {}
    records = _json_body({"anyOf": [ref("Record"), ref("Records")]}, record)
    sheet = {"name": "sheet", "in": "query", "schema": TEXT, "description": "The sheet of a workbook."}
    file = {"required": True, "content": _files()}
    return {
        "/predict": {"post": {**one, **about, "parameters": [explain, *asked], "requestBody": records}},
        "/predict/batch": {"post": {**many, **about, "parameters": [sheet, *asked], "requestBody": file}},
    }


def _files() -> Schema:
    """Return the media types that a file is sent as."""
    binary = {**TEXT, "format": "binary"}
    form = {"type": "object", "properties": {"file": binary}, "required": ["file"]}
    files: Schema = {"text/csv": {"schema": TEXT}, "multipart/form-data": {"schema": form}}
    return files | {kind: {"schema": binary} for kind in WORKBOOK_TYPES}


def _day_parameter(contract: Contract) -> Schema:
    first, last = map(int, contract.columns[AS_OF].limits)
    return {
        "name": AS_OF,
        "in": "query",
        "schema": {"type": "integer", "minimum": first, "maximum": last},
        "description": "The day to forecast for, in days from the start, of records or rows that do not say "
        f"it themselves in {AS_OF}; one that says another is refused.",
    }


def _passed_parameter() -> Schema:
    return {
        "name": ELAPSED,
        "in": "query",
        "schema": {**PART, "default": 1},
        "description": "How much of the period has passed: counts are so far, and the forecast is the mean "
        "over what they may yet come to. For records, or rows, that do not say it themselves.",
    }


def _batch_answer(predictor: Predictor) -> Schema:
    added = ", ".join(added_columns(predictor.bundle.contract.target.labels))
    day = f", and {AS_OF} before them where the query says it" if predictor.bundle.contract.dated else ""
    counts = {ROWS: "Rows of the file.", BAD_ROWS: "Rows that have an error instead of a forecast."}
    whole: Schema = {"type": "integer"}
    return {
        "description": f"The same rows in the same order, with the columns {added}{day}. Cells that a "
        "spreadsheet would run as a formula begin with an apostrophe.",
        "headers": {
            **{name: {"schema": whole, "description": what} for name, what in counts.items()},
            ASSUMED: {
                "schema": TEXT,
                "description": "What was assumed of the file: a JSON list of sentences.",
            },
        },
        "content": {"text/csv": {"schema": TEXT}},
    }


def _other_paths(label: str) -> Schema:
    body = _json_body(
        {"anyOf": [ref("Outcome"), ref("Outcomes")]}, {"prediction_id": EXAMPLE_ID, "grade_class": label}
    )
    body["content"] |= _files()
    taken = _json("Taken.", {"type": "object", "properties": {"accepted": {"type": "integer"}}})
    outcomes = _operation("reportOutcomes", "Report grades that came later", taken, *SENT, status=202)
    told = _json("The model.", ref("Model"))
    model = _operation("model", "Show the model, its contract and its card", told, 401, 403, 503)
    health = _json("It answers.", ref("Health"))
    counts: Schema = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": TEXT}}}
    which = "Tell which model answers, and whether it is the one that is wanted"
    return {
        "/outcomes": {"post": {**outcomes, "requestBody": body}},
        "/model": {"get": model},
        "/health": {"get": _open("health", which, health, 503)},
        "/health/ready": {"get": _open("ready", which, health, 503)},
        "/health/live": {"get": _open("live", "Tell that the process answers", health)},
        "/metrics": {"get": _open("metrics", "Show what is counted", counts)},
    }


def _operation(name: str, summary: str, answer: Schema, *problems: int, status: int = 200) -> Schema:
    responses = {str(status): answer} | {str(code): _problem(code) for code in problems}
    tags = [GROUPS.get(name, OTHERS)]
    return {"operationId": name, "summary": summary, "tags": tags, "responses": responses}


def _open(name: str, summary: str, answer: Schema, *problems: int) -> Schema:
    return {**_operation(name, summary, answer, *problems), "security": []}


def _problem(code: int) -> Schema:
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {"description": f"{HTTPStatus(code).phrase}. {PROBLEMS[code]}", "content": content}


def _json(about: str, schema: Schema) -> Schema:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _json_body(schema: Schema, example: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


GROUPS = {
    "predict": "Forecasts",
    "predictBatch": "Forecasts",
    "reportOutcomes": "Outcomes",
    "model": "The model",
}
OTHERS = "Operations"
"""The groups of operations, those first that most people come for."""

PACKAGE = "flask_swagger_ui"
STYLE, SCRIPT, ICON = "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)
PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gradecast API</title>
<link rel="icon" href="docs/{ICON}">
<link rel="stylesheet" href="docs/{STYLE}">
<link rel="stylesheet" href="docs/contrast.css">
<div id="docs"></div>
<script src="docs/{SCRIPT}"></script>
<script src="docs/start.js"></script>
</html>
"""
START = """\
const mend = () => {
  const headings = document.querySelectorAll("#docs h3.opblock-tag, #docs .models h4");
  for (const heading of headings) heading.setAttribute("aria-level", "2");
  const about = document.querySelector("#docs .information-container");
  about?.setAttribute("role", "region");
  about?.setAttribute("aria-label", "About");
};
SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", validatorUrl: null, defaultModelsExpandDepth: 0,
  onComplete: mend});
"""
CONTRAST = """\
.swagger-ui .opblock .opblock-summary-method { color: #fff; text-shadow: none; }
.swagger-ui .opblock.opblock-post .opblock-summary-method { background: #1b6e45; }
.swagger-ui .opblock.opblock-get .opblock-summary-method { background: #1b5a8a; }
.swagger-ui .info .title small, .swagger-ui .info .title small.version-stamp { background: #4a5260; }
.swagger-ui a, .swagger-ui .info a, .swagger-ui .info .url { color: #1b5a8a; }
.swagger-ui [class*="json-schema"] button, .swagger-ui .opblock-tag small { color: #3b4151; }
"""
"""What Swagger UI's own colours lack for reading."""

docs = Blueprint("docs", __name__)


@docs.get("/openapi.json")
def openapi() -> Response:
    """Show the API's OpenAPI document."""
    settings: PredictorSettings = current_app.extensions["settings"]
    return json_response(describe(_predictor(), settings))


@docs.get("/docs")
def page() -> Response:
    """Show the API in Swagger UI."""
    return Response(PAGE, mimetype="text/html", headers={"Content-Security-Policy": POLICY})


@docs.get("/docs/start.js")
def start() -> Response:
    """Start Swagger UI on our document; a file of its own, for the page runs no script inside it."""
    return Response(START, mimetype="text/javascript")


@docs.get("/docs/contrast.css")
def contrast() -> Response:
    """Show the colours that can be read."""
    return Response(CONTRAST, mimetype="text/css")


def show_asset(name: str) -> Response:
    """Show one of Swagger UI's own files."""
    with as_file(files(PACKAGE) / "dist") as folder:
        return send_from_directory(Path(folder).absolute(), name, max_age=86_400)


for _name in (STYLE, SCRIPT, ICON):
    docs.add_url_rule(f"/docs/{_name}", _name.replace(".", "_"), show_asset, defaults={"name": _name})


@docs.get("/model")
def model() -> Response:
    """Show the model that answers: name, version, metrics, contract and card."""
    predictor = _predictor()
    bundle = predictor.bundle
    manifest = bundle.manifest
    return json_response(
        {
            "name": bundle.contract.model_name,
            "version": predictor.version,
            "created": manifest.created,
            "metrics": manifest.metrics,
            "training": manifest.training,
            "contract": bundle.contract.model_dump(mode="json"),
            "card": (bundle.folder / CARD).read_text(encoding="utf-8"),
        }
    )


def _predictor() -> Predictor:
    return ready_predictor(current_app.extensions["predictor"])
