"""Part of the way through: every door takes how much has passed, and gives the same mean forecast."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from data.bundle.bundle import Bundle
from data.bundle.manifest import CONTRACT, MANIFEST, POPULATION
from data.bundle.population import Accumulation
from serving.app import create_app
from serving.settings import PredictorSettings
from tests.contract.tampering import rewrite, seal
from tests.serving.conftest import put_in_place

Student = dict[str, Any]
AS_CSV = {"content_type": "text/csv"}
BAD = [0, -0.5, 1.5, "half", "0.5", True, None, [0.5]]
BAD_TEXTS = ["0", "-0.5", "1.5", "half", "NaN", "inf", "1e999", "0,5", "", "50 %"]


@pytest.fixture
def autumn(student: Student) -> Student:
    """A student as known in autumn: six days missed."""
    return {**student, "Absences": 6}


def mixture(bundle: Bundle, record: Student, elapsed: float) -> np.ndarray:
    """The mean over the posterior, written down as a sum."""
    accumulation = Accumulation(bundle.population.totals, bundle.contract)
    points = accumulation.points(bundle.matrix([record]), np.array([elapsed]))
    return (points.weights[:, None] * bundle.probabilities(points.matrix)).sum(axis=0)


@pytest.mark.parametrize("elapsed", [0.25, 0.9])
def test_a_record_may_say_it_or_the_query_and_the_answer_is_the_mean(
    client: FlaskClient, autumn: Student, bundle_folder: Path, elapsed: float
) -> None:
    inside = client.post("/predict", json={**autumn, "elapsed": elapsed}).get_json()
    outside = client.post(f"/predict?elapsed={elapsed}", json=autumn).get_json()
    wanted = mixture(Bundle.load(bundle_folder), autumn, elapsed)
    assert list(inside["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=1e-6)
    assert inside["elapsed"] == outside["elapsed"] == elapsed
    assert inside["probabilities"] == outside["probabilities"]
    assert inside["grade_set"] == outside["grade_set"]
    assert inside["at_risk"] == pytest.approx(wanted[3:].sum(), abs=1e-6)


def test_a_record_that_says_it_is_believed_before_the_query(client: FlaskClient, autumn: Student) -> None:
    records = [{**autumn, "elapsed": 0.5}, autumn, {**autumn, "elapsed": 1}]
    answers = client.post("/predict?elapsed=0.25", json=records).get_json()
    assert [answer.get("elapsed") for answer in answers] == [0.5, 0.25, None]


@pytest.mark.parametrize("said", [{"elapsed": 1}, {"elapsed": 1.0}, {}])
def test_all_of_the_period_is_answered_as_if_nothing_were_said(
    client: FlaskClient, autumn: Student, said: Student
) -> None:
    plain = client.post("/predict?explain=true", json=autumn).get_json()
    asked = client.post("/predict?explain=true&elapsed=1", json={**autumn, **said}).get_json()
    for answer in (plain, asked):
        del answer["prediction_id"]
    assert asked == plain


def test_six_days_by_november_are_worse_than_six_days_in_all(client: FlaskClient, autumn: Student) -> None:
    risks = [
        client.post("/predict", json={**autumn, "elapsed": elapsed}).get_json()["at_risk"]
        for elapsed in (0.25, 0.5, 0.75, 1)
    ]
    assert risks == sorted(risks, reverse=True)
    assert risks[0] > risks[-1] + 0.2


def test_reasons_are_the_mean_of_those_of_the_totals(
    client: FlaskClient, autumn: Student, bundle_folder: Path
) -> None:
    bundle = Bundle.load(bundle_folder)
    answer = client.post("/predict?explain=true&elapsed=0.25", json=autumn).get_json()
    told = {reason["feature"]: reason for reason in answer["reasons"]}
    points = bundle.accumulation.points(bundle.matrix([autumn]), np.array([0.25]))
    wanted = (points.weights[:, None] * bundle.explain(points.matrix)).sum(axis=0)
    names = bundle.space.columns
    assert [told[name]["effect"] for name in names] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert told["Absences"]["value"] == 6


def logged(client: FlaskClient, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the client's predictor has written down of answers: the record of each."""
    spool = client.application.extensions["settings"].home / "spool"
    lines = [line for path in spool.glob("*.jsonl") for line in path.read_text().splitlines()]
    entries = [entry for entry in map(json.loads, lines) if "record" in entry]
    records = {entry["prediction_id"]: entry["record"] for entry in entries}
    return [records[answer["prediction_id"]] for answer in answers]


def test_it_is_written_down_with_the_record_and_the_whole_period_is_not(
    client: FlaskClient, autumn: Student
) -> None:
    answers = client.post("/predict?elapsed=0.25", json=[autumn, {**autumn, "elapsed": 1}]).get_json()
    first, second = logged(client, answers)
    assert first == {**second, "elapsed": 0.25}
    assert "elapsed" not in second


@pytest.mark.parametrize("bad", BAD)
def test_a_record_with_another_part_is_refused(client: FlaskClient, autumn: Student, bad: object) -> None:
    answer = client.post("/predict", json={**autumn, "elapsed": bad})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.get_json()["errors"]] == ["elapsed"]


@pytest.mark.parametrize("bad", BAD_TEXTS)
@pytest.mark.parametrize("route", ["/predict", "/predict/batch"])
def test_a_query_with_another_part_is_refused(
    client: FlaskClient, autumn: Student, bad: str, route: str
) -> None:
    answer = client.post(route, json=autumn, query_string={"elapsed": bad})
    if route == "/predict/batch":
        answer = client.post(
            route, data=csv_of([autumn]), content_type="text/csv", query_string={"elapsed": bad}
        )
    assert answer.status_code == 422
    (fault,) = answer.get_json()["errors"]
    assert fault == {
        "field": "elapsed",
        "message": "give a part of the period above 0 and up to 1, such as 0.5",
    }


def csv_of(records: list[Student]) -> bytes:
    """Records as a CSV; what one of them does not say is empty."""
    names = list(dict.fromkeys(name for record in records for name in record))
    lines = [",".join(str(record.get(name, "")) for name in names) for record in records]
    return "\n".join([",".join(names), *lines, ""]).encode()


def batch(client: FlaskClient, records: list[Student], **query: str) -> list[dict[str, str]]:
    answer = client.post("/predict/batch", data=csv_of(records), content_type="text/csv", query_string=query)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_a_csv_says_it_in_a_column_or_in_the_query_and_its_rows_are_answered_like_records(
    client: FlaskClient, autumn: Student
) -> None:
    records = [{**autumn, "elapsed": 0.25}, autumn, {**autumn, "elapsed": 1}]
    answers = client.post("/predict?elapsed=0.5", json=records).get_json()
    rows = batch(client, records, elapsed="0.5")
    assert [float(row["at_risk"]) for row in rows] == pytest.approx([a["at_risk"] for a in answers], abs=1e-6)
    assert [row["grade_set"].split("|") for row in rows] == [answer["grade_set"] for answer in answers]
    for told in (answers, rows):
        assert [record.get("elapsed") for record in logged(client, told)] == [0.25, 0.5, None]


def test_a_form_may_say_it_beside_the_file(client: FlaskClient, autumn: Student) -> None:
    form = {"file": (io.BytesIO(csv_of([autumn])), "class.csv"), "elapsed": "0.25"}
    (row,) = csv.DictReader(io.StringIO(client.post("/predict/batch", data=form).text, newline=""))
    answer = client.post("/predict?elapsed=0.25", json=autumn).get_json()
    assert float(row["at_risk"]) == pytest.approx(answer["at_risk"], abs=1e-6)


def test_a_bad_cell_is_the_error_of_its_row_and_the_others_are_answered(
    client: FlaskClient, autumn: Student
) -> None:
    said = ["0.25", "0", "1.2", "half", "-1", "1"]
    rows = batch(client, [{**autumn, "elapsed": text} for text in said])
    assert [row["error"] for row in rows] == [
        "",
        "elapsed: out of range",
        "elapsed: out of range",
        "elapsed: not a number",
        "elapsed: out of range",
        "",
    ]


@pytest.fixture
def client_of(
    bundle_folder: Path, tmp_path: Path, settings_for: Callable[..., PredictorSettings]
) -> Callable[..., FlaskClient]:
    """Make a client of a predictor whose bundle is an edited one."""

    def make(edit: Callable[[Path], object]) -> FlaskClient:
        shutil.copytree(bundle_folder, tmp_path / "draft")
        edit(tmp_path / "draft")
        settings = settings_for(GRADECAST_HOME=tmp_path / "home")
        return create_app(put_in_place(tmp_path / "draft", settings)).test_client()

    return make


def without_accumulation(folder: Path) -> None:
    text = (folder / CONTRACT).read_text(encoding="utf-8")
    (folder / CONTRACT).write_text(text.replace("    accumulates: true\n", ""), encoding="utf-8")
    seal(folder, CONTRACT)


def of_an_earlier_release(folder: Path) -> None:
    without_accumulation(folder)
    (folder / POPULATION).unlink()
    rewrite(folder, MANIFEST, lambda manifest: manifest["files"].pop(POPULATION))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (without_accumulation, "no column of this contract accumulates"),
        (of_an_earlier_release, "register it anew"),
    ],
)
def test_what_cannot_be_told_it_says_so_and_answers_as_ever(
    client_of: Callable[..., FlaskClient], client: FlaskClient, autumn: Student, edit: Any, says: str
) -> None:
    other = client_of(edit)
    refused = [
        other.post("/predict", json={**autumn, "elapsed": 0.5}),
        other.post("/predict", json=[{**autumn, "elapsed": 1}]),
        other.post("/predict?elapsed=0.5", json=autumn),
        other.post("/predict/batch?elapsed=0.5", data=csv_of([autumn]), content_type="text/csv"),
    ]
    for answer in refused:
        assert answer.status_code == 422
        (fault,) = answer.get_json()["errors"]
        assert fault["field"] == "elapsed"
        assert says in fault["message"]
    mine, theirs = (one.post("/predict", json=autumn).get_json() for one in (client, other))
    assert mine["probabilities"] == theirs["probabilities"]
    assert mine["grade_set"] == theirs["grade_set"]
    document = other.get("/openapi.json").get_json()
    assert "elapsed" not in document["components"]["schemas"]["Record"]["properties"]


def test_a_column_of_a_csv_is_not_passed_over_by_a_model_of_an_earlier_release(
    client_of: Callable[..., FlaskClient], autumn: Student
) -> None:
    other = client_of(of_an_earlier_release)
    answer = other.post("/predict/batch", data=csv_of([{**autumn, "elapsed": 0.5}]), content_type="text/csv")
    assert answer.status_code == 422
    assert "register it anew" in answer.get_json()["errors"][0]["message"]
