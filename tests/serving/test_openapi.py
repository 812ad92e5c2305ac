"""GET /openapi.json, /docs and /model."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from data.bundle.manifest import CARD, EXAMPLES, read_manifest
from serving.app import create_app
from serving.settings import PredictorSettings

Student = dict[str, Any]


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    answer: dict[str, Any] = client.get("/openapi.json").get_json()
    return answer


def schema(document: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})


def test_the_document_is_sound_openapi_31(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    validate(document)


def test_it_describes_every_route_of_the_api(client: FlaskClient, document: dict[str, Any]) -> None:
    about_itself = {"/openapi.json"}
    routes = {
        rule.rule for rule in client.application.url_map.iter_rules() if not rule.rule.startswith("/docs")
    }
    for_people = client.application.extensions["page_paths"] | {"/static/<name>"}
    assert set(document["paths"]) == routes - about_itself - for_people


def test_its_record_is_the_contracts(document: dict[str, Any], student: Student) -> None:
    record = schema(document, "Record")
    assert record.is_valid(student)
    assert record.is_valid({**student, "ParentalSupport": "Moderate", "StudentID": 7})
    for broken in ({**student, "Age": 99}, {**student, "GPA": 3.0}, {}, {**student, "Tutoring": "maybe"}):
        assert not record.is_valid(broken)


def test_it_says_of_counts_what_to_give_before_the_periods_end(document: dict[str, Any]) -> None:
    columns = document["components"]["schemas"]["Record"]["properties"]
    so_far = [name for name, column in columns.items() if "So far, where it is said" in column["description"]]
    assert so_far == ["Absences"]
    assert columns["elapsed"]["exclusiveMinimum"] == 0
    assert "elapsed" not in document["components"]["schemas"]["Record"]["required"]
    for path in ("/predict", "/predict/batch"):
        about = document["paths"][path]["post"]
        assert "Absences: give the count so far" in about["description"]
        assert "elapsed" in [one["name"] for one in about["parameters"]]


def test_its_examples_are_answered_and_answers_fit_it(
    client: FlaskClient, document: dict[str, Any], student: Student
) -> None:
    schemas = document["components"]["schemas"]
    (record,) = schemas["Record"]["examples"]
    (example,) = schemas["Forecast"]["examples"]
    answer = client.post("/predict?explain=true", json=record).get_json()
    assert answer["probabilities"] == example["probabilities"]
    schema(document, "Forecast").validate(answer)
    schema(document, "Forecast").validate(example)
    schema(document, "Forecasts").validate(client.post("/predict", json=[student]).get_json())
    schema(document, "Model").validate(client.get("/model").get_json())
    schema(document, "Problem").validate(client.post("/predict", json=[{}]).get_json())
    schema(document, "Health").validate(client.get("/health").get_json())


def test_it_asks_for_the_key_where_one_is_set(
    synced: PredictorSettings, settings_for: Callable[..., PredictorSettings]
) -> None:
    locked = settings_for(GRADECAST_HOME=synced.home, GRADECAST_API_KEY="secret")
    bearer = {"Authorization": "Bearer secret"}
    document = create_app(locked).test_client().get("/openapi.json", headers=bearer).get_json()
    validate(document)
    assert document["security"] == [{"key": []}]
    assert document["paths"]["/metrics"]["get"]["security"] == []


def test_the_docs_page_asks_no_other_host_and_runs_no_script_inside_it(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.mimetype == "text/html"
    assert "://" not in page.text
    assert re.findall(r"<script(?![^>]*\bsrc=)", page.text) == []
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        with client.get(f"/{asset}") as answer:
            assert answer.status_code == 200
            assert answer.data


def test_the_model_tells_name_version_metrics_contract_and_card(
    client: FlaskClient, bundle_folder: Path
) -> None:
    told, manifest = client.get("/model").get_json(), read_manifest(bundle_folder)
    assert (told["name"], told["version"]) == ("grade-class", "local")
    assert told["metrics"] == manifest.metrics
    assert told["card"] == (bundle_folder / CARD).read_text(encoding="utf-8")
    assert list(told["contract"]["target"]["classes"].values()) == ["A", "B", "C", "D", "F"]
    assert told["contract"]["columns"]["Absences"]["max"] == 30


@pytest.mark.parametrize("path", ["/model", "/openapi.json"])
def test_without_a_model_they_say_what_to_do(client_without_model: FlaskClient, path: str) -> None:
    answer = client_without_model.get(path)
    assert answer.status_code == 503
    assert "make pipeline" in answer.get_json()["detail"]


def test_the_example_is_one_of_the_bundles(document: dict[str, Any], bundle_folder: Path) -> None:
    examples = json.loads((bundle_folder / EXAMPLES).read_bytes())
    assert document["components"]["schemas"]["Record"]["examples"] == [examples[0]["record"]]
    assert examples[0]["made_up"]
