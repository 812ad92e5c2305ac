"""What every route refuses, and how it is said: by a table, by requests made at random, and in a flood."""

import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
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
from serving.app import create_app
from serving.settings import PredictorSettings
from tests.contract.logged import STUDENT
from tests.contract.tiny import STUDENT as TINY
from tests.contract.tiny import YAML, contract_of
from tests.serving.running import running, wait_until

Student = dict[str, Any]
Sent = dict[str, Any]
JSON, CSV, FORM = "application/json", "text/csv", "multipart/form-data"


def body(data: bytes | str, kind: str = JSON) -> Sent:
    return {"data": data, "content_type": kind}


def form(**fields: str | bytes) -> Sent:
    """A form of another site: it brings no token."""
    files = {k: (io.BytesIO(v), "class.csv") if isinstance(v, bytes) else v for k, v in fields.items()}
    return {"data": files, "content_type": FORM}


NOT_JSON = {
    b"": "not JSON",
    b"{": "not JSON",
    b"Age=17": "not JSON",
    b"\xff\xfe": "not JSON",
    b'{"Age": NaN}': "NaN is not a JSON number",
    b'{"Age": -Infinity}': "-Infinity is not a JSON number",
    b'{"Age": 17, "Age": 15, "Sports": 1}': "'Age' given twice",
    b'[{"Age": {"a": 1, "a": 2}}]': "'a' given twice",
    b"[" * 100_000: "nested too deeply",
    b"[" + b"9" * 5_000 + b"]": "not JSON",
}
OF_ANOTHER_TYPE = [CSV, "application/x-www-form-urlencoded", "", "nonsense"]
PAGES_FORMS = ["/", "/try", "/login", "/logout", "/overrides"]
PAGES_FORMS += ["/roster", "/roster/data", "/roster/row", "/roster/counts", "/roster/download"]
REFUSED: list[tuple[str, Sent, int, str]] = [
    *(("/predict", body(sent), 400, says) for sent, says in NOT_JSON.items()),
    *(("/predict", body(json.dumps(STUDENT), kind), 415, "application/json") for kind in OF_ANOTHER_TYPE),
    ("/predict", {"json": [STUDENT] * 1_001}, 413, "1,001 records in one request"),
    ("/predict", body(b" " * 4_000_001), 413, "exceeds"),
    ("/predict?explain=perhaps", {"json": STUDENT}, 422, "explain"),
    *(("/predict/batch", body(b"Age\n17", kind), 415, CSV) for kind in (JSON, *OF_ANOTHER_TYPE[1:])),
    ("/predict/batch", form(other="1"), 400, "no `file`"),
    ("/outcomes", body(b"{"), 400, "not JSON"),
    ("/outcomes", body(b"StudentID,GPA\n1,2,3\n", CSV), 400, "Row 2"),
    ("/outcomes", body(b'StudentID,GPA\n"1,2\n', CSV), 400, "cannot be read"),
    ("/outcomes", body(b"StudentID,GPA\n\xff,2\n", CSV), 422, "StudentID"),  # ÿ in Windows-1252: no number
    ("/outcomes", form(other="1"), 400, "no `file`"),
    ("/outcomes", body(b"A", "text/plain"), 415, JSON),
    ("/outcomes", {"json": [{}] * 1_001}, 413, "1001 outcomes"),
    ("/outcomes", {"json": "A"}, 422, "no outcome was taken"),
    *((path, form(file=b"Age\n17"), 400, "could not be read") for path in PAGES_FORMS),
    ("/nowhere", {}, 404, "not found"),
]


@pytest.mark.parametrize(("path", "sent", "status", "says"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_no_route_takes_is_refused_and_told(
    client: FlaskClient, path: str, sent: Sent, status: int, says: str
) -> None:
    answer = client.post(path, **sent)
    assert answer.status_code == status
    assert says in answer.text
    if path not in PAGES_FORMS:
        assert answer.mimetype == "application/problem+json"
        assert answer.get_json()["status"] == status


def test_a_method_that_is_none_is_refused_with_those_that_are(client: FlaskClient) -> None:
    answer = client.get("/predict")
    assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
    assert "POST" in answer.headers["Allow"]


def test_more_outcomes_than_are_held_in_memory_are_refused(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.outcomes.MOST_ROWS", 3)
    answer = client.post("/outcomes", **body(b"StudentID,GPA\n" + b"1,2\n" * 4, CSV))
    assert answer.status_code == 413
    assert "At most 3 outcomes" in answer.get_json()["detail"]


def errors(answer: TestResponse) -> dict[str, str]:
    """The message of each broken field."""
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    return {error["field"]: error["message"] for error in answer.get_json()["errors"]}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("Age", [99, 17.5, "17", True, None, [17], 10**400]),
        ("StudyTimeWeekly", [-0.1, 1e308, 10**400]),
        ("Absences", [{}]),
        ("Tutoring", [2]),
        ("ParentalSupport", ["Some", True, ["Low"], "\ud800"]),
        ("StudentID", ["\ud800"]),
    ],
)
def test_a_value_that_breaks_the_contract_is_422_naming_its_field(
    client: FlaskClient, student: Student, field: str, values: list[object]
) -> None:
    for value in values:
        assert list(errors(client.post("/predict", json={**student, field: value}))) == [field]


def test_every_broken_field_is_named_at_once(client: FlaskClient, student: Student) -> None:
    del student["Music"]
    assert errors(client.post("/predict", json={**student, "Age": 3, "GPA": 4.0, "Größe": 1})) == {
        "Age": "Input should be greater than or equal to 15",
        "Music": "is missing",
        "GPA": "is not a column of the contract",
        "Größe": "is not a column of the contract",
    }


def test_a_broken_record_of_a_list_is_named_by_its_place(client: FlaskClient, student: Student) -> None:
    answer = client.post("/predict", json=[student, {**student, "Absences": -1}, student, 5])
    told = [(error["record"], error["field"]) for error in answer.get_json()["errors"]]
    assert (answer.status_code, told) == (422, [(1, "Absences"), (3, "")])


@pytest.mark.parametrize("sent", ['{"\\ud800": 1}', "5", "null", '"text"', "true", "{}", "[[]]", "[null]"])
def test_json_that_is_no_record_is_422(client: FlaskClient, sent: str) -> None:
    assert errors(client.post("/predict", **body(sent)))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["Age", "StudyTimeWeekly", "ParentalSupport", "StudentID", "Gender"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.binary()
    | ANY_JSON.map(json.dumps).map(str.encode)
    | st.tuples(st.sampled_from(FIELDS), ANY_JSON).map(lambda one: json.dumps({**STUDENT, one[0]: one[1]}))
)
def test_no_body_and_no_value_of_any_field_is_a_server_error(client: FlaskClient, sent: bytes | str) -> None:
    assert client.post("/predict", **body(sent)).status_code in {200, 400, 422}


FEW, MANY_REQUESTS = 30, 10_000  # of each mode
USUAL = {"positive": {200, 202}, "negative": {400, 422}}


@pytest.mark.parametrize("mode", USUAL)
def test_no_request_that_the_document_suggests_is_a_server_error(
    synced: PredictorSettings, mode: str
) -> None:
    from tests.serving import suggested  # whose imports take seconds

    statuses = suggested.ask_many(suggested.openapi.from_wsgi("/openapi.json", create_app(synced)), mode, FEW)
    assert statuses <= {200, 202, 400, 405, 413, 415, 422}
    assert statuses & USUAL[mode]


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_twenty_thousand_bad_requests_kill_no_worker_and_none_is_a_server_error(
    tmp_path: Path, bundle_folder: Path
) -> None:
    from tests.serving import suggested

    with running(tmp_path / "home", GRADECAST_MODEL_URI=bundle_folder) as server:
        wait_until(lambda: server.ready()[0] == 200, "there is a model")
        workers = sorted(server.workers())
        document = suggested.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
        for mode in USUAL:
            assert max(suggested.ask_many(document, mode, MANY_REQUESTS)) < 500
        assert sorted(server.workers()) == workers


MANY = 200_000  # fields or columns, in less than a body may have
NAMED = 100  # faults that an answer names


def flood(record: Student) -> bytes:
    return json.dumps({**record, **{f"column {number}": 1 for number in range(MANY)}}).encode()


@pytest.mark.parametrize(
    ("path", "make", "more"),
    [
        ("/predict", lambda: flood({}), MANY + 10 - NAMED),
        ("/predict", lambda: b"[%s," % flood({}) + b'{"Age":1},' * 900 + b"{}]", MANY + 902 * 10 - NAMED),
        ("/outcomes", lambda: flood({"StudentID": 1, "GradeClass": "A"}), MANY - NAMED),
        ("/outcomes", lambda: json.dumps([{"a": 1, "b": 2}] * 1_000).encode(), 4_000 - NAMED),
        ("/predict", lambda: b"{%s}" % b",".join(b'"a%d":1,"a%d":2' % (n, n) for n in range(MANY // 2)), 0),
    ],
    ids=["a record", "a list", "an outcome", "outcomes", "fields given twice"],
)
def test_of_a_flood_of_faults_a_hundred_are_named_and_the_rest_counted(
    client: FlaskClient, path: str, make: Callable[[], bytes], more: int
) -> None:
    sent = make()
    tracemalloc.start()
    answer = client.post(path, **body(sent))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == (422 if more else 400)
    assert len(answer.get_json().get("errors", [])) == (NAMED if more else 0)
    assert f"{more or MANY // 2 - NAMED:,} more" in answer.get_json()["detail"]
    assert len(answer.data) < 20_000
    assert peak < 40 * len(sent)  # the parsed body alone takes half of it


def test_a_field_with_a_long_name_is_not_repeated_whole(client: FlaskClient, student: Student) -> None:
    name = "é" * 500_000
    unknown = client.post("/predict", json={**student, name: 1})
    twice = client.post("/predict", **body(f'{{"{name}": 1, "{name}": 2}}'.encode()))
    (field,) = errors(unknown)
    assert (field[:2], field[-1]) == ("éé", "…")
    assert len(unknown.data) + len(twice.data) < 5_000


@pytest.mark.parametrize(("path", "says"), [("/predict/batch", "column"), ("/outcomes", "two columns")])
def test_a_flood_of_columns_there_twice_is_told_by_a_hundred(
    client: FlaskClient, path: str, says: str
) -> None:
    names = [f"c{number}" for number in range(1_000)]
    answer = client.post(path, **body(",".join(names * 2), CSV))
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
        record_adapter(contract).validate_python({**TINY, "Student": student})
    faults = outcome_reader(contract)({"Student": student, "Grade": "A"})[1]
    assert [fault["field"] for fault in faults] == ["Student"]
