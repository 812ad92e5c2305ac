"""Keys, names, headers, logs, and shedding."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from data.rows.ids import is_loopback
from serving.app import create_app
from serving.request_log import RequestIds
from serving.security import GUESSES_OF_ONE, Remembered, require_api_key
from serving.settings import PredictorSettings
from tests.serving.conftest import KEY

Student = dict[str, Any]
OPEN = ["/health", "/health/live", "/health/ready", "/metrics"]


def bearer(key: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {key.encode().decode('latin-1')}"}


def test_the_key_opens_every_route(locked: FlaskClient, student: Student) -> None:
    for scheme in ("Bearer", "bearer"):
        assert locked.post("/predict", json=student, headers=bearer(KEY, scheme)).status_code == 200
    assert locked.get("/model", headers=bearer(KEY)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/predict", "/predict/batch", "/outcomes", "/model", "/docs", "/openapi.json", "/nowhere"]
)
def test_without_it_every_route_is_401(locked: FlaskClient, path: str) -> None:
    bare = {"Authorization": KEY.encode().decode("latin-1")}
    for headers in ({}, bearer("wrong"), bearer(""), bearer(KEY, "Basic"), bare):
        answer = locked.post(path, json={}, headers=headers)
        assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert KEY not in answer.text


def test_health_and_metrics_want_no_key_and_the_settings_do_not_show_it(locked: FlaskClient) -> None:
    assert [locked.get(path).status_code for path in OPEN] == [200] * len(OPEN)
    assert KEY not in repr(locked.application.extensions["settings"])


MAKE_A_KEY, ID_KEY = "openssl rand -hex 24", "GRADECAST_ID_KEY to a secret of your own"
OWN_IDS = {"GRADECAST_ID_KEY": "the school's own"}
LOCKED, ALLOWED = {"GRADECAST_API_KEY": KEY}, {"GRADECAST_ALLOW_NO_KEY": "true"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "GRADECAST_API_KEY"),
        (LOCKED, ID_KEY),
        (ALLOWED, ID_KEY),
        ({"GRADECAST_API_KEY": "a" * 15}, MAKE_A_KEY),
        ({**OWN_IDS, **LOCKED}, None),
        ({**OWN_IDS, **ALLOWED}, None),
    ],
)
def test_what_others_reach_is_refused_unless_it_is_locked_or_allowed_by_name(
    settings_for: Callable[..., PredictorSettings], host: str, variables: dict[str, str], says: str | None
) -> None:
    asked = settings_for(**variables).model_copy(update={"host": host})
    with pytest.raises(SystemExit, match=says) if says else nullcontext():
        require_api_key(asked)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_key_but_one_that_is_soon_guessed_is_refused(
    settings_for: Callable[..., PredictorSettings], host: str
) -> None:
    assert is_loopback(host)
    for variables in ({}, LOCKED, ALLOWED):
        require_api_key(settings_for(GRADECAST_HOST=host, **variables))
    with pytest.raises(SystemExit, match=MAKE_A_KEY):
        require_api_key(settings_for(GRADECAST_HOST=host, GRADECAST_API_KEY="a" * 15))


def test_who_guesses_keys_waits_at_every_worker_and_others_do_not(
    home: Path, settings_for: Callable[..., PredictorSettings]
) -> None:
    settings = settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY=KEY)
    first, second = create_app(settings).test_client(), create_app(settings).test_client()
    here, there = {"REMOTE_ADDR": "192.0.2.7"}, {"REMOTE_ADDR": "192.0.2.8"}
    for number in range(GUESSES_OF_ONE):
        client = (first, second)[number % 2]
        assert client.get("/model", headers=bearer(f"guess {number}"), environ_base=here).status_code == 401
    for client in (first, second):
        waiting = client.get("/model", headers=bearer(KEY), environ_base=here)
        assert (waiting.status_code, waiting.headers["Retry-After"]) == (429, "60")
        assert client.get("/model", headers=bearer(KEY), environ_base=there).status_code == 200
    assert first.get("/health", environ_base=here).status_code == 200


def test_a_program_that_brought_the_key_is_let_in_whatever_others_at_its_address_guess(
    locked: FlaskClient,
) -> None:
    assert locked.get("/model", headers=bearer(KEY)).status_code == 200
    guessed = [locked.get("/model", headers=bearer("wrong")).status_code for _ in range(GUESSES_OF_ONE + 3)]
    assert guessed == [401] * GUESSES_OF_ONE + [429] * 3
    assert locked.get("/model", headers=bearer(KEY)).status_code == 200


def test_the_addresses_of_one_household_are_one_client(locked: FlaskClient) -> None:
    answers = [
        locked.get("/model", headers=bearer("no"), environ_base={"REMOTE_ADDR": f"2001:db8::{number:x}"})
        for number in range(GUESSES_OF_ONE + 1)
    ]
    assert [answer.status_code for answer in answers[-2:]] == [401, 429]


def test_guesses_are_forgotten_in_time(tmp_path: Path) -> None:
    wrong = Remembered(tmp_path / "wrong.json", 60)
    wrong.add("192.0.2.7")
    assert list(wrong.all()) == ["192.0.2.7"]
    assert list(Remembered(tmp_path / "wrong.json", 0).all()) == []
    (tmp_path / "wrong.json").write_bytes(b'{"half')
    assert list(wrong.all()) == []


@pytest.mark.parametrize(
    ("remote", "forwarded", "client"),
    [
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "6.6.6.6, 203.0.113.9, 10.1.9.9", "203.0.113.9"),
        ("10.1.2.3", "no address", "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("203.0.113.1", "6.6.6.6", "203.0.113.1"),
    ],
)
def test_the_client_in_the_log_is_who_asked_our_proxies(
    home: Path,
    settings_for: Callable[..., PredictorSettings],
    capfd: pytest.CaptureFixture[str],
    remote: str,
    forwarded: str,
    client: str,
) -> None:
    settings = settings_for(GRADECAST_HOME=home, GRADECAST_PROXIES="10.1.0.0/16, ::1")
    headers = {"X-Forwarded-For": forwarded}
    create_app(settings).test_client().get("/health", headers=headers, environ_base={"REMOTE_ADDR": remote})
    assert json.loads(capfd.readouterr().err)["client"] == client


NAMES = ["localhost:9696", "127.0.0.1", "[::1]:9696", "10.0.0.7:9696", "predictor:9696", "a.localhost", ""]


def asked_by(client: FlaskClient, name: str, path: str = "/model") -> int:
    return client.get(path, headers={"Host": name}).status_code


def test_names_that_a_stranger_can_have_are_refused_where_no_key_is_wanted(client: FlaskClient) -> None:
    assert {asked_by(client, name) for name in NAMES} == {200}
    for name in ("evil.example", "evil.example:9696", "127.0.0.1.evil.example", "localhost.evil.example"):
        assert {asked_by(client, name, path) for path in ("/model", "/", "/nowhere", "/metrics")} == {403}
        assert asked_by(client, name, "/health/live") == 200
    answer = client.get("/model", headers={"Host": "evil.example"})
    assert answer.mimetype == "application/problem+json"
    assert "GRADECAST_ALLOWED_HOSTS" in answer.get_json()["detail"]


def test_names_that_are_listed_are_taken_and_with_a_key_any_is_unless_some_are_listed(
    synced: PredictorSettings, locked: FlaskClient
) -> None:
    def listing(names: tuple[str, ...]) -> FlaskClient:
        return create_app(synced.model_copy(update={"allowed_hosts": names})).test_client()

    ours = listing(("grades.example",))
    assert [asked_by(ours, name) for name in ("Grades.Example:443", "evil.example")] == [200, 403]
    assert asked_by(listing(("*",)), "evil.example") == 200
    assert asked_by(locked, "grades.example", "/login") == 200


def test_allowed_names_are_given_with_commas(settings_for: Callable[..., PredictorSettings]) -> None:
    given = settings_for(GRADECAST_ALLOWED_HOSTS="grades.example, Forecast.example,")
    assert given.allowed_hosts == ("grades.example", "forecast.example")


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:8080"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://other.school.example", "Sec-Fetch-Site": "same-site"},
]
OWN = [
    {},
    {"Origin": "http://localhost"},
    {"Origin": "https://LOCALHOST", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://grades.example", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://grades.example", "X-Forwarded-Host": "grades.example"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize(("headers", "status"), [(h, 403) for h in FOREIGN] + [(h, 200) for h in OWN])
def test_without_a_key_a_page_of_another_site_sends_nothing_and_ours_and_programs_do(
    client: FlaskClient, student: Student, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/predict", json=student, headers=headers)
    assert answer.status_code == status
    assert client.post("/outcomes", json=[], headers=headers).status_code == (403 if status == 403 else 202)
    assert client.get("/model", headers=headers).status_code == 200


def test_who_brings_the_key_may_ask_from_anywhere(locked: FlaskClient, student: Student) -> None:
    headers = {**bearer(KEY), **FOREIGN[0]}
    assert locked.post("/predict", json=student, headers=headers).status_code == 200


def test_every_answer_has_secure_headers_and_its_id(client: FlaskClient, student: Student) -> None:
    answers = [
        client.post("/predict", json=student),
        client.post("/predict", json={}),
        client.get("/nowhere"),
    ]
    for answer in [*answers, client.get("/docs"), client.get("/metrics")]:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"]
        assert len(answer.headers.getlist("Content-Security-Policy")) == 1
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == len(answers)


def test_an_id_that_the_caller_brings_is_used_if_it_is_plain(client: FlaskClient) -> None:
    assert client.get("/health", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    ids = RequestIds()
    assert all(ids.of(given) != given for given in ("", "a b", "x" * 65, 'a"b', "a\nb", "ä"))


def test_a_request_is_one_json_line_that_names_no_student(
    client: FlaskClient, student: Student, capfd: pytest.CaptureFixture[str]
) -> None:
    client.post(
        "/predict?explain=true", json={**student, "StudentID": 987654}, headers={"X-Request-ID": "r-1"}
    )
    client.get("/students/Ann?name=Ann")
    first, second = map(json.loads, capfd.readouterr().err.splitlines())
    assert (first["request_id"], first["route"], first["status"]) == ("r-1", "/predict", 200)
    assert first["method"] == "POST"
    assert first["ms"] > 0
    assert (second["route"], second["status"]) == ("other", 404)
    assert "987654" not in str(first)
    assert "Ann" not in str(second)


def test_an_unforeseen_error_is_a_plain_500_and_its_message_stays_out_of_the_log(
    client: FlaskClient, student: Student, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("Ann, born 2009")

    monkeypatch.setattr(client.application.extensions["predictor"].get(), "predict", fail)
    answer = client.post("/predict", json=student, headers={"X-Request-ID": "r-2"})
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "Ann" not in answer.text
    assert "Traceback" not in answer.text
    said = capfd.readouterr().err
    error = json.loads(said.splitlines()[0])
    assert (error["error"], error["request_id"]) == ("ValueError", "r-2")
    assert "Ann" not in said


def test_requests_past_what_can_be_served_are_shed_and_the_operators_are_not(
    client: FlaskClient, student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    extensions = client.application.extensions
    most = extensions["settings"].max_in_flight
    monkeypatch.setitem(extensions, "in_flight", lambda: most + 1)
    answer = client.post("/predict", json=student)
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) >= 1
    assert all(client.get(path).status_code == 200 for path in OPEN)
    monkeypatch.setitem(extensions, "in_flight", lambda: most)
    assert client.post("/predict", json=student).status_code == 200


def test_a_forecast_that_cannot_be_written_down_is_not_given(
    client: FlaskClient, student: Student, full_disk: None
) -> None:
    lines = "\n".join([",".join(student), ",".join(map(str, student.values()))])
    for answer in (
        client.post("/predict", json=student),
        client.post("/predict/batch", data=lines, content_type="text/csv"),
    ):
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
