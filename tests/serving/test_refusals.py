"""POST /predict: what is refused, and how it is said."""

import json
import tracemalloc
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from werkzeug.test import TestResponse

from data.contract.columns import repeated
from data.rows.outcomes import outcome_reader
from data.rows.records import record_adapter
from serving.settings import Settings
from tests.contract.tiny import STUDENT, YAML, contract_of

Student = dict[str, Any]
JSON = {"content_type": "application/json"}


def errors(answer: TestResponse) -> dict[str, str]:
    """The message of each broken field."""
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["status"] == answer.status_code
    return {error["field"]: error["message"] for error in answer.get_json().get("errors", [])}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"Age=17", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"Age": NaN}', "NaN is not a JSON number"),
        (b'{"Age": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"Age": 17, "Age": 15, "Sports": 1}', "'Age' given twice"),
        (b'[{"Age": {"a": 1, "a": 2}}]', "'a' given twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"9" * 5_000 + b"]", "not JSON"),
    ],
)
def test_a_body_that_is_not_json_is_400(client: FlaskClient, body: bytes, says: str) -> None:
    answer = client.post("/predict", data=body, **JSON)
    assert answer.status_code == 400
    assert errors(answer) == {}
    assert says in answer.get_json()["detail"]


@pytest.mark.parametrize("kind", ["text/csv", "application/x-www-form-urlencoded", "", "nonsense"])
def test_another_media_type_is_415(client: FlaskClient, student: Student, kind: str) -> None:
    answer = client.post("/predict", data=json.dumps(student), content_type=kind)
    assert answer.status_code == 415
    assert errors(answer) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Age", 99),
        ("Age", 17.5),
        ("Age", "17"),
        ("Age", True),
        ("Age", None),
        ("Age", [17]),
        ("Age", 10**400),
        ("StudyTimeWeekly", -0.1),
        ("StudyTimeWeekly", 1e308),
        ("StudyTimeWeekly", 10**400),
        ("Absences", {}),
        ("Tutoring", 2),
        ("ParentalSupport", "Some"),
        ("ParentalSupport", True),
        ("ParentalSupport", ["Low"]),
        ("ParentalSupport", "\ud800"),
        ("StudentID", "\ud800"),
    ],
)
def test_a_value_that_breaks_the_contract_is_422_naming_its_field(
    client: FlaskClient, student: Student, field: str, value: object
) -> None:
    answer = client.post("/predict", json={**student, field: value})
    assert answer.status_code == 422
    assert list(errors(answer)) == [field]


def test_every_broken_field_is_named_at_once(client: FlaskClient, student: Student) -> None:
    del student["Music"]
    answer = client.post("/predict", json={**student, "Age": 3, "GPA": 4.0, "Größe": 1})
    assert answer.status_code == 422
    assert errors(answer) == {
        "Age": "Input should be greater than or equal to 15",
        "Music": "is missing",
        "GPA": "is not a column of the contract",
        "Größe": "is not a column of the contract",
    }


def test_a_broken_record_of_a_list_is_named_by_its_place(client: FlaskClient, student: Student) -> None:
    answer = client.post("/predict", json=[student, {**student, "Absences": -1}, student, 5])
    assert answer.status_code == 422
    assert [(error["record"], error["field"]) for error in answer.get_json()["errors"]] == [
        (1, "Absences"),
        (3, ""),
    ]


@pytest.mark.parametrize("body", ['{"\\ud800": 1}', "5", "null", '"text"', "true", "{}", "[[]]", "[null]"])
def test_json_that_is_no_record_is_422(client: FlaskClient, body: str) -> None:
    answer = client.post("/predict", data=body, **JSON)
    assert answer.status_code == 422
    assert errors(answer)


def test_an_unreadable_question_for_reasons_is_422(client: FlaskClient, student: Student) -> None:
    answer = client.post("/predict?explain=perhaps", json=student)
    assert (answer.status_code, list(errors(answer))) == (422, ["explain"])


def test_too_many_records_and_too_large_a_body_are_413(
    client: FlaskClient, student: Student, synced: Settings
) -> None:
    many = client.post("/predict", json=[student] * (synced.max_records + 1))
    large = client.post("/predict", data=b" " * (synced.max_body_bytes + 1), **JSON)
    assert (many.status_code, large.status_code) == (413, 413)
    assert errors(many) == errors(large) == {}


def test_unknown_addresses_and_methods_are_problems_too(client: FlaskClient) -> None:
    nowhere, method = client.get("/nowhere"), client.get("/predict")
    assert (nowhere.status_code, method.status_code) == (404, 405)
    assert errors(nowhere) == errors(method) == {}
    assert "POST" in method.headers["Allow"]


FIELDS = ["Age", "StudyTimeWeekly", "ParentalSupport", "StudentID", "Gender"]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(["Age", "StudyTimeWeekly", "ParentalSupport", "StudentID", "Gender"]),
    value=ANY_JSON,
)
def test_no_value_of_any_field_is_a_server_error(
    client: FlaskClient, student: Student, field: str, value: object
) -> None:
    answer = client.post("/predict", data=json.dumps({**student, field: value}), **JSON)
    assert answer.status_code in {200, 400, 422}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary() | ANY_JSON.map(json.dumps).map(str.encode))
def test_no_body_is_a_server_error(client: FlaskClient, body: bytes) -> None:
    assert client.post("/predict", data=body, **JSON).status_code in {200, 400, 422}


MANY = 200_000  # fields or columns, in less than a body may have
NAMED = 100  # faults that an answer names


def flood(record: Student) -> bytes:
    return json.dumps({**record, **{f"column {number}": 1 for number in range(MANY)}}).encode()


@pytest.mark.parametrize(
    ("path", "body", "more"),
    [
        ("/predict", flood({}), MANY + 10 - NAMED),
        ("/predict", b"[" + flood({}) + b"," + b'{"Age":1},' * 900 + b"{}]", MANY + 902 * 10 - NAMED),
        ("/outcomes", flood({"StudentID": 1, "GradeClass": "A"}), MANY - NAMED),
        ("/outcomes", json.dumps([{"a": 1, "b": 2}] * 1_000).encode(), 4_000 - NAMED),
        ("/predict", b"{" + b",".join(b'"a%d":1,"a%d":2' % (n, n) for n in range(MANY // 2)) + b"}", 0),
    ],
    ids=["a record", "a list", "an outcome", "outcomes", "fields given twice"],
)
def test_of_a_flood_of_faults_a_hundred_are_named_and_the_rest_counted(
    client: FlaskClient, path: str, body: bytes, more: int
) -> None:
    tracemalloc.start()
    answer = client.post(path, data=body, **JSON)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == (422 if more else 400)
    assert len(answer.get_json().get("errors", [])) == (NAMED if more else 0)
    assert f"{more or MANY // 2 - NAMED:,} more" in answer.get_json()["detail"]
    assert len(answer.data) < 20_000
    assert peak < 40 * len(body)  # the parsed body alone takes half of it


def test_a_field_with_a_long_name_is_not_repeated_whole(client: FlaskClient, student: Student) -> None:
    name = "é" * 500_000
    unknown = client.post("/predict", json={**student, name: 1})
    twice = client.post("/predict", data=f'{{"{name}": 1, "{name}": 2}}'.encode(), **JSON)
    (field,) = errors(unknown)
    assert field.startswith("éé")
    assert field.endswith("…")
    assert len(unknown.data) + len(twice.data) < 5_000


@pytest.mark.parametrize(("path", "says"), [("/predict/batch", "column"), ("/outcomes", "two columns")])
def test_a_flood_of_columns_there_twice_is_told_by_a_hundred(
    client: FlaskClient, path: str, says: str
) -> None:
    names = [f"c{number}" for number in range(1_000)]
    answer = client.post(path, data=",".join(names * 2), content_type="text/csv")
    assert answer.status_code == 422
    assert len(answer.get_json()["errors"]) == NAMED
    assert says in answer.get_json()["errors"][-1]["message"]
    assert "more" in answer.get_json()["detail"]


class Counted(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return str.__eq__(self, other)


def test_names_there_twice_are_found_without_comparing_each_with_all() -> None:
    names = [Counted(f"name {number}") for number in range(500)] + [Counted("name 7"), Counted("name 3")]
    before = Counted.comparisons
    assert repeated(names) == ["name 3", "name 7"]
    assert Counted.comparisons - before < 10 * len(names)


@pytest.mark.parametrize("student", ["\ud800", "7\udfff"])
def test_an_id_that_is_no_text_is_refused_for_forecasts_and_outcomes(student: str) -> None:
    contract = contract_of(YAML.replace("role: id, kind: integer, min: 1", "role: id, kind: nominal"))
    with pytest.raises(ValidationError, match="give the id as text"):
        record_adapter(contract).validate_python({**STUDENT, "Student": student})
    faults = outcome_reader(contract)({"Student": student, "Grade": "A"})[1]
    assert [fault["field"] for fault in faults] == ["Student"]
