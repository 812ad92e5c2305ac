"""The JSON schemas of the API, derived from the contract of the model that answers."""

from typing import Any

from data.card_words import WHOLE_COUNT
from data.contract import Contract
from data.outcomes import outcome_fields
from data.reasons import LOG_ODDS, NOISE
from data.target import Target

Schema = dict[str, Any]

SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
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
        "Problem": _problem(),
    }


def ref(name: str) -> Schema:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _record(contract: Contract, record: Schema) -> Schema:
    """Return the record's schema with each column's unit and, for codes, what they mean."""
    properties = {name: dict(schema) for name, schema in record["properties"].items()}
    for name, schema in properties.items():
        column = contract.columns[name]
        codes = ", ".join(f"{code} = {label}" for code, label in column.codes.items())
        counted = WHOLE_COUNT if column in contract.counted else ""
        about = [
            column.help,
            counted,
            f"In {column.unit}." if column.unit else "",
            f"{codes}." if codes else "",
        ]
        schema["description"] = " ".join(filter(None, [*about, f"Role: {column.role}."]))
    return {**record, "title": contract.title, "properties": properties}


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
    return _object({**fields, "reasons": reasons}, list(fields))


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
            "description": f"{target.unit}, where the model learned a score; else the model's own: "
            f"{LOG_ODDS}, or {NOISE}.",
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


def _problem() -> Schema:
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
