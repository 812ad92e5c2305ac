"""Where a key is wanted, the pages want it typed once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from serving.pages.layout import kept_secret
from serving.security import GUESSES_OF_ALL, GUESSES_OF_ONE, Remembered
from serving.settings import Settings

KEY = "kéy of the school"
PAGES = ["/", "/model/card"]

Token = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path, synced: Settings) -> Path:
    """A state folder of the test's own, with the session's model."""
    (tmp_path / "bundle").symlink_to(synced.bundles.parent)
    return tmp_path


@pytest.fixture
def locked(home: Path, settings_for: Callable[..., Settings]) -> FlaskClient:
    """A client of a predictor that wants a key."""
    return create_app(settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY=KEY)).test_client()


def log_in(client: FlaskClient, token: Token, key: str = KEY, to: str = "/model/card") -> int:
    form = {"key": key, "next": to, "csrf_token": token(client, "/login")}
    return client.post("/login", data=form).status_code


@pytest.mark.parametrize("path", PAGES)
def test_who_has_not_logged_in_is_sent_to_the_door(locked: FlaskClient, path: str) -> None:
    answer = locked.get(path)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login?next=")
    assert "Most likely" not in answer.text


def test_every_page_is_behind_the_door_but_the_door_and_its_style(locked: FlaskClient) -> None:
    paths = locked.application.extensions["page_paths"]
    assert {"/", "/try", "/model/card", "/login", "/logout"} <= paths
    for path in paths - {"/login", "/logout"}:
        assert locked.get(path).status_code in (303, 405), path
        assert locked.post(path).status_code in (401, 405), path
    assert locked.get("/login").status_code == 200
    assert locked.get("/static/style.css", buffered=True).status_code == 200


def test_the_key_opens_the_pages_and_leads_on_to_the_one_that_was_asked_for(
    locked: FlaskClient, token: Token
) -> None:
    form = {"key": f" {KEY} ", "next": "/model/card", "csrf_token": token(locked, "/login")}
    answer = locked.post("/login", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/model/card")
    assert all(locked.get(path).status_code == 200 for path in PAGES)
    assert locked.get("/login").headers["Location"] == "/"
    assert locked.get("/model").status_code == 401, "programs bring the key themselves"


def test_a_wrong_key_opens_nothing_and_is_told_so(locked: FlaskClient, token: Token) -> None:
    assert log_in(locked, token, "wrong") == 401
    assert locked.get("/").status_code == 303


@pytest.mark.parametrize(("site", "status"), [("same-origin", 303), ("cross-site", 400)])
def test_forms_are_taken_behind_a_proxy_that_asks_by_another_name_and_from_no_other_site(
    locked: FlaskClient, token: Token, site: str, status: int
) -> None:
    page = locked.get("/login", base_url="https://127.0.0.1:9696").text
    form = {"key": KEY, "csrf_token": page.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]}
    ours = "https://grades.example"
    headers = {"Origin": ours, "Referer": f"{ours}/login", "Sec-Fetch-Site": site}
    answer = locked.post("/login", base_url="https://127.0.0.1:9696", data=form, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    "to", ["https://example.org/", "//example.org", "//model/card", "/nowhere", "/try", ""]
)
def test_the_door_leads_to_our_own_pages_alone(locked: FlaskClient, token: Token, to: str) -> None:
    form = {"key": KEY, "next": to, "csrf_token": token(locked, "/login")}
    assert locked.post("/login", data=form).headers["Location"] == "/"


def test_logging_out_closes_the_door(locked: FlaskClient, token: Token) -> None:
    log_in(locked, token)
    assert locked.post("/logout", data={"csrf_token": token(locked)}).headers["Location"] == "/login"
    assert locked.get("/").status_code == 303


def test_a_cookie_that_was_kept_is_worth_nothing_after_logging_out(
    locked: FlaskClient, token: Token, home: Path, settings_for: Callable[..., Settings]
) -> None:
    log_in(locked, token)
    cookie = locked.get_cookie("gradecast")
    assert cookie is not None
    locked.post("/logout", data={"csrf_token": token(locked)})
    other = create_app(settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY=KEY)).test_client()
    for client in (locked, other):
        client.set_cookie("gradecast", cookie.value)
        assert client.get("/").status_code == 303
    log_in(locked, token)
    assert locked.get("/").status_code == 200


def test_who_guesses_at_the_door_waits_and_others_do_not(locked: FlaskClient, token: Token) -> None:
    tried = [log_in(locked, token, f"guess {number}") for number in range(GUESSES_OF_ONE + 1)]
    assert tried == [401] * GUESSES_OF_ONE + [429]
    answer = locked.post("/login", data={"key": KEY, "csrf_token": token(locked, "/login")})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert "Wait a minute" in answer.text
    locked.environ_base["REMOTE_ADDR"] = "198.51.100.1"
    assert log_in(locked, token) == 303


def test_once_many_guess_together_nobody_types_a_key_for_a_minute(
    locked: FlaskClient, token: Token, home: Path
) -> None:
    log_in(locked, token)
    for number in range(GUESSES_OF_ALL):
        Remembered(home / "wrong-keys.json", 60).add(f"192.0.2.{number}")
    newcomer = locked.application.test_client()
    assert log_in(newcomer, token) == 429
    assert locked.get("/").status_code == 200, "who is inside stays inside"
    bearer = {"Authorization": f"Bearer {KEY.encode().decode('latin-1')}"}
    assert newcomer.get("/model", headers=bearer).status_code == 200, "programs with the key go on"


@pytest.mark.parametrize(("remote", "secure"), [("10.1.2.3", True), ("203.0.113.1", False)])
def test_behind_a_proxy_of_ours_with_tls_the_cookie_is_for_https_alone(
    home: Path, settings_for: Callable[..., Settings], remote: str, secure: bool
) -> None:
    settings = settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY=KEY, GRADECAST_PROXIES="10.1.0.0/16")
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.9"}
    client = create_app(settings).test_client()
    answer = client.get("/login", headers=headers, environ_base={"REMOTE_ADDR": remote})
    assert ("Secure" in answer.headers["Set-Cookie"]) == secure


def test_another_key_ends_every_session(
    locked: FlaskClient, token: Token, home: Path, settings_for: Callable[..., Settings]
) -> None:
    log_in(locked, token)
    cookie = locked.get_cookie("gradecast")
    assert cookie is not None
    other = create_app(settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY="another one")).test_client()
    other.set_cookie("gradecast", cookie.value)
    assert other.get("/").status_code == 303
    same = create_app(settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY=KEY)).test_client()
    same.set_cookie("gradecast", cookie.value)
    assert same.get("/").status_code == 200, "workers share the secret"


def test_the_bearer_key_opens_the_pages_too(locked: FlaskClient) -> None:
    bearer = {"Authorization": f"Bearer {KEY.encode().decode('latin-1')}"}
    assert locked.get("/", headers=bearer).status_code == 200


def test_without_a_key_there_is_no_door(client: FlaskClient) -> None:
    assert client.get("/login").headers["Location"] == "/"
    assert "Log out" not in client.get("/").text


def test_the_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    first = kept_secret(tmp_path / "home" / "cookies.key")
    assert len(first) == 32
    assert kept_secret(tmp_path / "home" / "cookies.key") == first
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["cookies.key"]


@pytest.mark.parametrize("left", [b"", b"half of a key"])
def test_a_secret_that_was_cut_short_is_made_anew(
    tmp_path: Path, settings_for: Callable[..., Settings], left: bytes
) -> None:
    (tmp_path / "cookies.key").write_bytes(left)
    app = create_app(settings_for(GRADECAST_HOME=tmp_path))
    assert app.test_client().get("/login").status_code < 500
    assert (tmp_path / "cookies.key").read_bytes() == app.secret_key
    assert len(kept_secret(tmp_path / "cookies.key")) == 32
    assert (tmp_path / "cookies.key").stat().st_mode & 0o077 == 0


def test_a_secret_of_ones_own_is_used(tmp_path: Path, settings_for: Callable[..., Settings]) -> None:
    app = create_app(settings_for(GRADECAST_HOME=tmp_path, GRADECAST_SECRET_KEY="ours alone, and long"))
    assert app.secret_key == "ours alone, and long"
    assert not (tmp_path / "cookies.key").exists()


def test_the_door_says_nothing_of_what_is_behind_it(locked: FlaskClient, client: FlaskClient) -> None:
    title = "Final grade class, A to F"
    assert title in client.get("/").text
    assert title not in locked.get("/login").text
    assert title not in locked.post("/login", data={}).text


def test_who_is_lost_is_told_in_a_page_and_a_program_in_a_problem(client: FlaskClient) -> None:
    lost = client.get("/nowhere", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (lost.status_code, lost.mimetype) == (404, "text/html")
    assert "There is no page here" in lost.text
    assert "script-src 'self'" in lost.headers["Content-Security-Policy"]
    assert client.get("/nowhere").mimetype == "application/problem+json"
