"""Forecasts as of a day: every door takes it, in the record or beside it, answers it and logs it."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from data.bundle.bundle import Bundle
from data.log.spool import ACTIVE, spooled, whole_lines
from flows.registry.bundling import Submission
from serving.app import create_app
from serving.pages.steps import steps_of
from serving.settings import PredictorSettings
from serving.suggestions import suggest
from serving.sync.bring import sync
from tests.serving.pages.rosters import token_of

RECORD = {"prior_attainment": 55, "absences": 4, "mean_mark": 61.5}
HEADER = "student_no,prior_attainment,absences,mean_mark"
ROWS = ["S-1,55,4,61.5", "S-2,,12,"]
CSV = {"content_type": "text/csv"}


@pytest.fixture(scope="module")
def dated_settings(
    small_dated: Submission,
    settings_for: Callable[..., PredictorSettings],
    tmp_path_factory: pytest.TempPathFactory,
) -> PredictorSettings:
    home = tmp_path_factory.mktemp("dated-serving")
    settings = settings_for(GRADECAST_HOME=home, GRADECAST_MODEL_URI=small_dated.bundle)
    sync(settings)
    return settings


@pytest.fixture(scope="module")
def dated(dated_settings: PredictorSettings) -> FlaskClient:
    """A client of a predictor whose model has days."""
    return create_app(dated_settings).test_client()


def table(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def answered(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200, response.text
    return list(csv.DictReader(io.StringIO(response.text)))


def faults(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 422, response.text
    return list(response.get_json()["errors"])


def test_a_record_says_its_day_and_the_answer_says_it_again(dated: FlaskClient) -> None:
    early, late = (dated.post("/predict", json={**RECORD, "as_of": day}).get_json() for day in (30, 210))
    assert (early["as_of"], late["as_of"]) == (30, 210)
    assert early["probabilities"] != late["probabilities"]


def test_the_day_may_stand_in_the_query_for_records_without_it(dated: FlaskClient) -> None:
    inside = dated.post("/predict", json={**RECORD, "as_of": 90}).get_json()
    beside = dated.post("/predict?as_of=90", json=RECORD).get_json()
    listed = dated.post("/predict?as_of=90", json=[RECORD, {**RECORD, "as_of": 90}]).get_json()
    for answer in (beside, *listed):
        assert answer["as_of"] == 90
        assert answer["probabilities"] == inside["probabilities"]


def test_a_record_that_says_another_day_than_the_query_is_refused(dated: FlaskClient) -> None:
    said = faults(dated.post("/predict?as_of=90", json=[RECORD, {**RECORD, "as_of": 60}]))
    message = "the query says 90: leave it out of the query, or say the same day in both"
    assert said == [{"record": 1, "field": "as_of", "message": message}]
    assert "record" not in faults(dated.post("/predict?as_of=90", json={**RECORD, "as_of": 60}))[0]


@pytest.mark.parametrize("day", ["29", "211", "soon", "", "60.5", "2026-01-01", "nan", "1e999"])
def test_a_day_that_there_is_no_forecast_for_is_refused_at_every_door(dated: FlaskClient, day: str) -> None:
    wanted = [{"field": "as_of", "message": "give a whole number of days from 30 to 210"}]
    assert faults(dated.post(f"/predict?as_of={day}", json=RECORD)) == wanted
    assert faults(dated.post(f"/predict/batch?as_of={day}", data=table(*ROWS), **CSV)) == wanted


def test_a_record_without_a_day_is_no_record(dated: FlaskClient) -> None:
    assert faults(dated.post("/predict", json=RECORD)) == [{"field": "as_of", "message": "is missing"}]
    said = faults(dated.post("/predict/batch", data=table(*ROWS), **CSV))
    assert said == [{"field": "as_of", "message": "the file has no such column"}]


def test_a_file_has_the_day_in_a_column_or_gets_one(dated: FlaskClient) -> None:
    own = answered(
        dated.post(
            "/predict/batch",
            data=table(*(f"{row},90" for row in ROWS), header=f"{HEADER},as_of"),
            **CSV,
        )
    )
    told = answered(dated.post("/predict/batch?as_of=90", data=table(*ROWS, "S-3,many,1,2"), **CSV))
    assert list(told[0])[4:6] == ["as_of", "grade_class"]
    assert [row["as_of"] for row in told] == ["90", "90", ""]
    assert [row["at_risk"] for row in own] == [row["at_risk"] for row in told[:2]]
    assert told[2]["error"] == "prior_attainment: not a number"
    assert list(own[0]).count("as_of") == 1


def test_a_file_that_says_another_day_than_the_query_is_refused(dated: FlaskClient) -> None:
    rows = table(f"{ROWS[0]},90", f"{ROWS[1]},60", header=f"{HEADER},as_of")
    (said,) = faults(dated.post("/predict/batch?as_of=90", data=rows, **CSV))
    assert said["message"].startswith("the query says 90, a row 60: leave it out")
    same = table(f"{ROWS[0]},90", f"{ROWS[1]},", header=f"{HEADER},as_of")
    found = answered(dated.post("/predict/batch?as_of=90", data=same, **CSV))
    assert [row["error"] for row in found] == ["", "as_of: missing"]


def test_a_model_without_days_refuses_one(client: FlaskClient, student: dict[str, Any]) -> None:
    message = {"field": "as_of", "message": "the model is for no day: leave it out"}
    assert faults(client.post("/predict?as_of=60", json=student)) == [message]
    assert "as_of" not in client.post("/predict", json=student).get_json()


def test_the_log_holds_the_day_of_each_forecast(
    dated: FlaskClient, dated_settings: PredictorSettings
) -> None:
    dated.post("/predict?as_of=77", json=RECORD)
    dated.post("/predict/batch?as_of=78", data=table(*ROWS), **CSV)
    days = [entry["record"]["as_of"] for entry in entries_of(dated_settings.home / "spool")]
    assert days.count(77) == 1
    assert days.count(78) == 2


def entries_of(spool: Path) -> list[Any]:
    return [json.loads(line) for path in spooled(spool, ACTIVE) for line in whole_lines(path)]


def test_the_document_tells_of_the_day(dated: FlaskClient) -> None:
    document = dated.get("/openapi.json").get_json()
    for path in ("/predict", "/predict/batch"):
        parameters = {one["name"]: one for one in document["paths"][path]["post"]["parameters"]}
        assert parameters["as_of"]["schema"] == {"type": "integer", "minimum": 30, "maximum": 210}
    schemas = document["components"]["schemas"]
    assert "as_of" in schemas["Forecast"]["required"]
    assert "as_of" in schemas["Record"]["required"]
    assert "as_of" in schemas["Forecast"]["examples"][0]
    assert "Only what was known by the end of this day is used." in str(schemas["Record"])


def test_the_form_asks_for_the_day_with_its_range_and_says_what_it_means(dated: FlaskClient) -> None:
    page = dated.get("/").text
    (field,) = [line for line in page.splitlines() if 'name="as_of"' in line]
    assert 'type="number"' in field
    assert 'min="30" max="210"' in field
    assert "required" in field
    assert "From the start, 30 to 210. Only what was known by the end of this day is used." in page
    assert "whole" not in page.split("</form>", maxsplit=1)[0]


def test_what_was_counted_until_a_day_is_never_taken_back(dated: FlaskClient) -> None:
    asked = {"as_of": "120", "prior_attainment": "45", "absences": "25", "mean_mark": "48"}
    asked["csrf_token"] = token_of(dated)
    page = dated.post("/", data=asked).text
    (lever,) = [line for line in page.splitlines() if line.strip().startswith('<input id="try-field-4"')]
    assert 'name="try.absences"' in lever
    assert 'min="25"' in lever
    fewer, more = (
        dated.post("/try", data={**asked, "try.absences": days, "try.mean_mark": "48"}).status_code
        for days in ("3", "30")
    )
    assert (fewer, more) == (422, 200)


def test_suggestions_and_steps_of_a_class_leave_counts_as_they_are(dated_settings: PredictorSettings) -> None:
    bundle = Bundle.load(dated_settings.current_bundle.resolve())
    record = {"as_of": 120, "prior_attainment": 45.0, "absences": 25, "mean_mark": 48.0}
    assert all(set(found.changes) == {"mean_mark"} for found in suggest(bundle, record))
    assert {step.column.name for step in steps_of(bundle.contract)} == {"mean_mark"}


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ((90, 90), "2 students forecast as of day 90"),
        ((60, 90), "2 students forecast as of their days, 60 to 90"),
    ],
)
def test_a_class_says_for_which_day_it_is(dated: FlaskClient, days: tuple[int, int], said: str) -> None:
    rows = [f"{row},{day}" for row, day in zip(ROWS, days, strict=True)]
    file = (io.BytesIO(table(*rows, header=f"{HEADER},as_of").encode()), "class.csv")
    form = {"file": file, "csrf_token": token_of(dated)}
    page = dated.post("/roster", data=form, content_type="multipart/form-data").text
    assert said in " ".join(page.split())
    assert "as_of" in dated.get("/roster/template.csv").text.splitlines()[0]
