"""GET /openapi.json, /docs and /model: what the API is and which model answers, for people and programs.

Swagger UI comes from a package of static files: no page asks another host for anything.
"""

from importlib.resources import as_file, files
from pathlib import Path

from flask import Blueprint, Response, current_app, send_from_directory

from data.manifest import CARD
from serving.api import json_response, ready_predictor
from serving.openapi import describe
from serving.predictor import Predictor
from serving.settings import Settings

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
<div id="docs"></div>
<script src="docs/{SCRIPT}"></script>
<script src="docs/start.js"></script>
</html>
"""
START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", validatorUrl: null});\n'

docs = Blueprint("docs", __name__)


@docs.get("/openapi.json")
def openapi() -> Response:
    """Show the API's OpenAPI document."""
    settings: Settings = current_app.extensions["settings"]
    return json_response(describe(_predictor(), settings))


@docs.get("/docs")
def page() -> Response:
    """Show the API in Swagger UI."""
    return Response(PAGE, mimetype="text/html", headers={"Content-Security-Policy": POLICY})


@docs.get("/docs/start.js")
def start() -> Response:
    """Start Swagger UI on our document; a file of its own, for the page runs no script inside it."""
    return Response(START, mimetype="text/javascript")


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
