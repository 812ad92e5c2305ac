"""Where a key is wanted, the pages want it typed once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from serving.app import create_app
from serving.pages.layout import kept_secret
from serving.security import GUESSES_OF_ALL, GUESSES_OF_ONE, Remembered
from serving.settings import PredictorSettings
from tests.serving.conftest import KEY
from tests.serving.pages.rosters import field, token_of

PAGES = ["/", "/roster", "/model/card"]
BEARER = {"Authorization": f"Bearer {KEY.encode().decode('latin-1')}"}


def log_in(client: FlaskClient, key: str = KEY, to: str = "/model/card") -> TestResponse:
    return client.post("/login", data={"key": key, "next": to, "csrf_token": token_of(client, "/login")})


def test_every_page_is_behind_the_log_in_but_itself_and_its_style(locked: FlaskClient) -> None:
    paths = locked.application.extensions["page_paths"]
    assert {*PAGES, "/try", "/login", "/logout"} <= paths
    for path in paths - {"/login", "/logout"} - locked.application.extensions["documents"]:
        assert locked.get(path).status_code in (303, 405), path
        assert locked.post(path).status_code in (401, 405), path
    assert locked.get("/roster").location == "/login?next=%2Froster"
    assert locked.get("/login").status_code == 200
    assert locked.get("/static/style.css", buffered=True).status_code == 200


def test_the_key_opens_the_pages_and_leads_on_to_the_one_that_was_asked_for(locked: FlaskClient) -> None:
    assert log_in(locked, "wrong").status_code == 401
    assert locked.get("/").status_code == 303
    answer = log_in(locked, f" {KEY} ")
    assert (answer.status_code, answer.location) == (303, "/model/card")
    assert all(locked.get(path).status_code == 200 for path in PAGES)
    assert locked.get("/login").location == "/"
    assert locked.get("/model").status_code == 401, "programs bring the key themselves"


@pytest.mark.parametrize(("site", "status"), [("same-origin", 303), ("cross-site", 400)])
def test_forms_are_taken_behind_a_proxy_that_asks_by_another_name_and_from_no_other_site(
    locked: FlaskClient, site: str, status: int
) -> None:
    page = locked.get("/login", base_url="https://127.0.0.1:9696").text
    form = {"key": KEY, "csrf_token": field(page, "csrf_token")}
    ours = "https://grades.example"
    headers = {"Origin": ours, "Referer": f"{ours}/login", "Sec-Fetch-Site": site}
    answer = locked.post("/login", base_url="https://127.0.0.1:9696", data=form, headers=headers)
    assert answer.status_code == status


def test_the_log_in_leads_to_our_own_pages_alone(locked: FlaskClient) -> None:
    for to in ("https://example.org/", "//example.org", "//model/card", "/nowhere", "/try", ""):
        newcomer = locked.application.test_client()
        assert log_in(newcomer, to=to).location == "/"


def test_a_cookie_that_was_kept_is_worth_nothing_after_logging_out(
    locked: FlaskClient, home: Path, settings_for: Callable[..., PredictorSettings]
) -> None:
    log_in(locked)
    cookie = locked.get_cookie("gradecast")
    assert cookie is not None
    assert locked.post("/logout", data={"csrf_token": token_of(locked)}).location == "/login"
    assert locked.get("/").status_code == 303
    other = create_app(settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY=KEY)).test_client()
    for client in (locked, other):
        client.set_cookie("gradecast", cookie.value)
        assert client.get("/").status_code == 303
    log_in(locked)
    assert locked.get("/").status_code == 200


def test_who_guesses_keys_waits_and_others_do_not(locked: FlaskClient) -> None:
    tried = [log_in(locked, f"guess {number}") for number in range(GUESSES_OF_ONE)]
    assert {answer.status_code for answer in tried} == {401}
    answer = log_in(locked)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert "Wait a minute" in answer.text
    locked.environ_base["REMOTE_ADDR"] = "198.51.100.1"
    assert log_in(locked).status_code == 303


def test_once_many_guess_together_nobody_types_a_key_for_a_minute(locked: FlaskClient, home: Path) -> None:
    log_in(locked)
    for number in range(GUESSES_OF_ALL):
        Remembered(home / "wrong-keys.json", 60).add(f"192.0.2.{number}")
    newcomer = locked.application.test_client()
    assert log_in(newcomer).status_code == 429
    assert locked.get("/").status_code == 200, "who is inside stays inside"
    assert newcomer.get("/model", headers=BEARER).status_code == 200, "programs with the key go on"
    assert newcomer.get("/", headers=BEARER).status_code == 200, "on pages, too"


@pytest.mark.parametrize(("remote", "secure"), [("10.1.2.3", True), ("203.0.113.1", False)])
def test_behind_a_proxy_of_ours_with_tls_the_cookie_is_for_https_alone(
    home: Path, settings_for: Callable[..., PredictorSettings], remote: str, secure: bool
) -> None:
    settings = settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY=KEY, GRADECAST_PROXIES="10.1.0.0/16")
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.9"}
    client = create_app(settings).test_client()
    answer = client.get("/login", headers=headers, environ_base={"REMOTE_ADDR": remote})
    assert ("Secure" in answer.headers["Set-Cookie"]) == secure


def test_another_key_ends_every_session_and_the_same_one_holds_with_every_worker(
    locked: FlaskClient, home: Path, settings_for: Callable[..., PredictorSettings]
) -> None:
    log_in(locked)
    cookie = locked.get_cookie("gradecast")
    assert cookie is not None
    for key, status in (("another one", 303), (KEY, 200)):
        other = create_app(settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY=key)).test_client()
        other.set_cookie("gradecast", cookie.value)
        assert other.get("/").status_code == status


def test_who_has_logged_in_reads_the_apis_documents_and_nobody_else(locked: FlaskClient) -> None:
    browser = {"Accept": "text/html,*/*;q=0.8"}
    for path in ("/docs", "/openapi.json", "/docs/start.js"):
        assert locked.get(path).status_code == 401, "to a program"
        assert locked.get(path, headers=browser).location.startswith("/login?next=")
    log_in(locked)
    for path in ("/docs", "/openapi.json", "/docs/start.js"):
        assert locked.get(path, buffered=True).status_code == 200
    stranger = locked.application.test_client()
    assert stranger.get("/openapi.json", headers=BEARER).status_code == 200


def test_without_a_key_there_is_no_log_in(client: FlaskClient) -> None:
    assert client.get("/login").location == "/"
    assert "Log out" not in client.get("/").text


def test_the_log_in_says_nothing_of_what_is_behind_it(locked: FlaskClient, client: FlaskClient) -> None:
    title = "Final grade class, A to F"
    assert title in client.get("/").text
    assert title not in locked.get("/login").text
    assert title not in locked.post("/login", data={}).text


@pytest.mark.parametrize("left", [None, b"", b"half of a key"])
def test_the_secret_is_made_once_and_anew_where_it_was_cut_short(
    tmp_path: Path, settings_for: Callable[..., PredictorSettings], left: bytes | None
) -> None:
    secret = tmp_path / "home" / "cookies.key"
    if left is not None:
        secret.parent.mkdir()
        secret.write_bytes(left)
    app = create_app(settings_for(GRADECAST_HOME=secret.parent))
    assert len(secret.read_bytes()) == 32
    assert app.secret_key == kept_secret(secret) == secret.read_bytes()
    assert secret.stat().st_mode & 0o077 == 0
    own = create_app(settings_for(GRADECAST_HOME=tmp_path, GRADECAST_SECRET_KEY="ours alone, and long"))
    assert own.secret_key == "ours alone, and long"
    assert not (tmp_path / "cookies.key").exists()


def test_who_is_lost_is_told_in_a_page_and_a_program_in_a_problem(client: FlaskClient) -> None:
    chrome = (
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
    )
    chrome += ",application/signed-exchange;v=b3;q=0.7"
    for accepted in ("text/html,application/xhtml+xml,*/*;q=0.8", chrome):
        lost = client.get("/nowhere", headers={"Accept": accepted})
        assert (lost.status_code, lost.mimetype) == (404, "text/html")
    assert "There is no page here" in lost.text
    assert "script-src 'self'" in lost.headers["Content-Security-Policy"]
    for asked in (None, "*/*", "application/json"):
        headers = {"Accept": asked} if asked else {}
        assert client.get("/nowhere", headers=headers).mimetype == "application/problem+json"
