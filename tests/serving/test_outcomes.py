"""POST /outcomes: grades that came later, all of a request or none."""

import io
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from data.log.database import drain, open_log
from data.log.reading import read_log
from data.log.spool import backlog
from serving.app import create_app
from serving.settings import PredictorSettings
from tests.contract.workbooks import write_xlsx
from tests.serving.running import wait_until
from tests.serving.spooling import Home

Student = dict[str, Any]
CSV = {"content_type": "text/csv"}


@pytest.fixture
def home(tmp_path: Path, synced: PredictorSettings) -> Home:
    """A state folder of the test's own, with the session's model."""
    (tmp_path / "bundle").symlink_to(synced.bundles.parent)
    return Home(tmp_path)


@pytest.fixture
def client(home: Home, settings_for: Callable[..., PredictorSettings]) -> FlaskClient:
    return create_app(settings_for(GRADECAST_HOME=home.path)).test_client()


def logged(home: Home) -> list[dict[str, Any]]:
    wait_until(lambda: is_drained(home), "all is drained")
    return list(read_log(home.log(), "grade_class"))


def is_drained(home: Home) -> bool:
    drain(home.log(), home.spool)
    return backlog(home.path).files == 0


def outcomes(home: Home) -> int:
    logged(home)
    with home.log().connect() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM outcomes")).scalar_one())


def test_a_forecast_and_its_outcome_meet_in_the_log(
    client: FlaskClient, home: Home, student: Student
) -> None:
    answer = client.post("/predict", json={"StudentID": 1001, "Gender": 1, **student}).get_json()
    reported = {"prediction_id": answer["prediction_id"], "grade_class": "D", "GPA": 2.25}
    response = client.post("/outcomes", json=reported)
    assert (response.status_code, response.get_json()) == (202, {"accepted": 1})
    (row,) = logged(home)
    assert (row["outcome"], row["outcome_index"], row["score"]) == ("D", 3, 2.25)
    assert {name: row[name] for name in answer if name in row} == answer
    assert row["record"] == {"Gender": 1, **student}


def test_a_list_settles_students_by_their_id(client: FlaskClient, home: Home, student: Student) -> None:
    client.post("/predict", json=[{"StudentID": number, **student} for number in (1, 2, 3)])
    reported = [{"StudentID": 1, "GradeClass": "A"}, {"StudentID": "3", "GradeClass": 4}]
    assert client.post("/outcomes", json=reported).get_json() == {"accepted": 2}
    assert sorted(map(str, (row["outcome"] for row in logged(home)))) == ["A", "F", "None"]


@pytest.mark.parametrize(
    "text",
    [
        "StudentID,Name,GradeClass\n1,Ada,A\n2,Bo,4\n",
        "\ufeffStudentID;GPA\r\n1;3.9\r\n\r\n2;0.5\r\n",
        '"StudentID"\t"grade_class"\n01\tA\n2.0\tF',
    ],
)
def test_a_csv_is_read_with_its_other_columns_left_out(
    client: FlaskClient, home: Home, student: Student, text: str
) -> None:
    client.post("/predict", json=[{"StudentID": number, **student} for number in (1, 2)])
    for sent in ({"data": text.encode(), **CSV}, {"data": {"file": (io.BytesIO(text.encode()), "a.csv")}}):
        response = client.post("/outcomes", **sent)
        assert (response.status_code, response.get_json()) == (202, {"accepted": 2})
    assert sorted(row["outcome"] for row in logged(home)) == ["A", "F"]
    assert outcomes(home) == 4


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-16", "StudentID;GradeClass;GPA\n1;D;2,25\n2;C;2,75\n"),
        ("cp1252", "Schüler: alle\n\nStudentID|GradeClass|Bemerkung\n1|D|für später\n2|C|\n"),
        ("utf-8", "StudentID\tGradeClass\tGPA\n1\t3\t2.25\n\n2\t2\t2.75\n"),
    ],
)
def test_whatever_program_wrote_the_outcomes_they_are_read_as_a_batch_is(
    client: FlaskClient, home: Home, student: Student, encoding: str, text: str
) -> None:
    client.post("/predict", json=[{"StudentID": n, **student} for n in (1, 2)])
    response = client.post("/outcomes", data=text.encode(encoding), **CSV)
    assert (response.status_code, response.get_json()) == (202, {"accepted": 2})
    assert sorted(row["outcome"] for row in logged(home)) == ["C", "D"]


def test_a_workbook_of_outcomes_is_taken(client: FlaskClient, home: Home, tmp_path: Path) -> None:
    book = write_xlsx(tmp_path / "grades.xlsx", {"Grades": [["StudentID", "GradeClass"], ["1", "D"]]})
    response = client.post("/outcomes", data={"file": (io.BytesIO(book.read_bytes()), "grades.xlsx")})
    assert (response.status_code, response.get_json()) == (202, {"accepted": 1})
    assert outcomes(home) == 1


def test_one_wrong_outcome_of_a_list_and_none_is_taken(client: FlaskClient, home: Home) -> None:
    reported = [{"StudentID": 1, "GradeClass": "A"}, {"StudentID": 2, "GradeClass": "E", "GPA": -1}]
    response = client.post("/outcomes", json=reported)
    assert response.status_code == 422
    assert {(error["record"], error["field"]) for error in response.get_json()["errors"]} == {
        (1, "GradeClass"),
        (1, "GPA"),
    }
    assert not home.spool.exists()


def test_a_wrong_row_of_a_csv_is_named_as_a_spreadsheet_counts(client: FlaskClient) -> None:
    response = client.post("/outcomes", data="StudentID,GradeClass\n1,A\n\n2,E\n,B\n", **CSV)
    assert response.status_code == 422
    assert [(error["row"], error["field"]) for error in response.get_json()["errors"]] == [
        (4, "GradeClass"),
        (5, "prediction_id"),
    ]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Name,GradeClass\n", ["prediction_id"]),
        ("StudentID,Name\n", ["GradeClass"]),
        ("", ["prediction_id", "GradeClass"]),
        ("StudentID,GPA,GPA\n", ["GPA"]),
    ],
)
def test_a_csv_without_the_columns_it_takes_is_422(client: FlaskClient, text: str, fields: list[str]) -> None:
    response = client.post("/outcomes", data=text, **CSV)
    assert response.status_code == 422
    assert [error["field"] for error in response.get_json()["errors"]] == fields


def test_an_empty_list_is_taken(client: FlaskClient) -> None:
    assert client.post("/outcomes", json=[]).get_json() == {"accepted": 0}


def test_without_a_model_there_is_no_contract_to_read_by(client_without_model: FlaskClient) -> None:
    response = client_without_model.post("/outcomes", json={"StudentID": 1, "GradeClass": "A"})
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE


def test_what_cannot_be_written_down_is_503(client: FlaskClient, home: Home, student: Student) -> None:
    home.spool.write_text("a file is where the folder should be")
    for response in (
        client.post("/predict", json=student),
        client.post("/outcomes", json={"StudentID": 1, "GradeClass": "A"}),
    ):
        assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert response.headers["Retry-After"]


def test_a_locked_database_delays_neither_forecasts_nor_outcomes(
    client: FlaskClient, home: Home, student: Student
) -> None:
    client.post("/predict", json={"StudentID": 1, **student})
    logged(home)
    with home.locked():
        for _ in range(20):
            assert client.post("/predict", json={"StudentID": 1, **student}).status_code == 200
        assert client.post("/outcomes", json={"StudentID": 1, "GradeClass": "B"}).status_code == 202
    assert [row["outcome"] for row in logged(home)] == ["B"] * 21


def test_ids_are_logged_by_the_hash_of_the_key(
    home: Home, student: Student, settings_for: Callable[..., PredictorSettings]
) -> None:
    settings = settings_for(GRADECAST_HOME=home.path, GRADECAST_ID_KEY="a school's own key")
    client = create_app(settings).test_client()
    client.post("/predict", json={"StudentID": 987654321, **student})
    client.post("/outcomes", json={"StudentID": 987654321, "GradeClass": "A"})
    assert [row["outcome"] for row in logged(home)] == ["A"]
    files = [path for path in (home.database, *home.spool.iterdir()) if path.is_file()]
    assert not [path for path in files if b"987654321" in path.read_bytes()]
    assert open_log(settings.database_url).url.database == str(home.database)
