"""What all pages share: log-in, sessions, protection of forms, templates, headers, errors."""

import gzip
import hashlib
import logging
import secrets
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import (
    Blueprint,
    Flask,
    Request,
    Response,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    send_from_directory,
    session,
)
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response as AnyResponse

from data.bundle.manifest import BundleError
from data.durable import file_lock, write_whole
from serving.api import ready_predictor
from serving.predictor import Predictor
from serving.problems import Problem, problem_response
from serving.security import HARMLESS, ApiKey, Remembered, bearer_of, is_foreign
from serving.settings import PredictorSettings

WORTH_IT = 1_400  # bytes: less fits into one packet anyway
EFFORT = 6


def compressed(response: Response) -> Response:
    """Compress an answer for browsers that take it so, unless it is compressed already.

    A secret beside a stranger's text could be guessed from the length; here both come from the one who
    asks, for a page repeats nothing but what came in a form with a token.
    """
    if response.direct_passthrough or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return response
    body = response.get_data()
    if len(body) > WORTH_IT:
        response.set_data(gzip.compress(body, EFFORT, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response


COOKIE = "gradecast"
HOURS = 12
SECRET = "cookies.key"  # noqa: S105  the file's name
BYTES = 32
INSIDE, NUMBER = "inside", "number"

log = logging.getLogger("gradecast.sessions")


class Sessions(SecureCookieSessionInterface):
    """Flask's own signed sessions; programs, which bring no cookie, cost nothing."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Read the session of a request."""
        if "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        """Keep the cookie to HTTPS where that is how it was asked for."""
        return request.is_secure or super().get_cookie_secure(app)


def keep_sessions(app: Flask, settings: PredictorSettings) -> None:
    """Give an application its sessions."""
    given = settings.secret_key.get_secret_value() if settings.secret_key else None
    try:
        app.secret_key = given or kept_secret(settings.home / SECRET)
    except OSError as error:  # a full disk must not keep a worker from starting
        log.warning("no secret can be kept in %s, so log-ins hold with one worker alone: %s", SECRET, error)
        app.secret_key = secrets.token_bytes(BYTES)
    app.session_interface = Sessions()
    app.extensions["ended_sessions"] = Remembered(settings.home / "ended-sessions.json", HOURS * 3_600)
    app.config |= {
        "SESSION_COOKIE_NAME": COOKIE,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "PERMANENT_SESSION_LIFETIME": timedelta(hours=HOURS),
    }


def kept_secret(path: Path) -> bytes:
    """Return the secret that all workers of one home share; made by the first to ask; anew if cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path.parent, create=False):  # never over another worker's
        if not path.exists() or path.stat().st_size < BYTES:
            write_whole(path, secrets.token_bytes(BYTES), mode=0o600)
        return path.read_bytes()


def is_inside() -> bool:
    """Tell whether no key is wanted, or the session's owner brought that one and has not logged out."""
    key = wanted_key()
    if key is None:
        return True
    if not is_ours(key, str(session.get(INSIDE, ""))):
        return False
    ended: Remembered = current_app.extensions["ended_sessions"]
    return NUMBER in session and session[NUMBER] not in ended.all()


def is_ours(text: str, proof: str) -> bool:
    """Tell whether a proof is that of a text, and so was made here."""
    return secrets.compare_digest(proof.encode(), proof_of(text).encode())


def proof_of(text: str) -> str:
    """Return what only who has the secret can say of a text: a key, or the id of a forecast."""
    secret = current_app.secret_key
    bytes_of_secret = secret if isinstance(secret, bytes) else str(secret).encode()
    return hashlib.blake2b(text.encode(), key=hashlib.sha256(bytes_of_secret).digest()).hexdigest()[:32]


csrf = CSRFProtect()


def wanted_key() -> str | None:
    """Return the key that must be brought, if one must."""
    settings: PredictorSettings = current_app.extensions["settings"]
    return settings.api_key.get_secret_value() if settings.api_key else None


def may_see() -> bool:
    """Tell whether no key is wanted, or whoever asks has brought it, now or when logging in."""
    brought = bearer_of(request.environ.get("HTTP_AUTHORIZATION", ""))
    return is_inside() or (brought is not None and is_key(brought))


def is_key(given: bytes, *, typed: bool = False) -> bool:
    """Tell whether this is the key that must be brought; raises Problem 429 for who guesses."""
    api_key: ApiKey = current_app.extensions["api_key"]
    return api_key.accepts(given, request.environ.get("REMOTE_ADDR", ""), typed=typed)


def require_login() -> AnyResponse | None:
    """Send who has not been let in to the log-in; raises Problem 401 where something was being sent."""
    if may_see():
        return None
    if request.method in ("GET", "HEAD"):
        return redirect(f"/login?{urlencode({'next': request.path})}", HTTPStatus.SEE_OTHER)
    raise Problem(HTTPStatus.UNAUTHORIZED, "You have been logged out. Nothing that you sent was kept.")


def let_into_documents() -> AnyResponse | None:
    """Let in to the API's documents who brings the key or has logged in; raises Problem 401 for programs."""
    if request.path not in current_app.extensions["documents"] or may_see():
        return None
    if request.accept_mimetypes["text/html"] > request.accept_mimetypes["application/problem+json"]:
        return require_login()
    headers = {"WWW-Authenticate": 'Bearer realm="gradecast"'}
    raise Problem(HTTPStatus.UNAUTHORIZED, "Bring the key: Authorization: Bearer …", (), headers)


def protect() -> None:
    """Refuse a form that did not come from one of our own pages; raises CSRFError, which is a 400.

    Under HTTPS, where every browser says which site a request is sent for, that is looked at as well: a
    cookie may have been planted by whoever can write on a plain connection.
    """
    csrf.protect()
    if request.is_secure and request.method not in HARMLESS and is_foreign(request.environ):
        raise CSRFError("A page of another site may send nothing here.")


STATIC = Path(__file__).parents[1] / "static"
YEAR = 31_536_000
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def page_blueprint(name: str, *, for_anyone: bool = False) -> Blueprint:
    """Return a blueprint for pages: behind the log-in, forms checked, errors told to people.

    Its routes take no arguments in their paths, for the log-in goes by the whole path.
    """
    blueprint = Blueprint(name, __name__)
    if not for_anyone:
        blueprint.before_request(require_login)
    blueprint.before_request(protect)
    blueprint.after_request(compressed)
    blueprint.after_request(_with_headers)
    blueprint.register_error_handler(Problem, _tell_problem)
    blueprint.register_error_handler(HTTPException, _tell_error)
    blueprint.register_error_handler(BundleError, _tell_unreadable)
    return blueprint


def predictor_now() -> Predictor:
    """Return the predictor that answers this request; raises Problem 503 while there is none."""
    return ready_predictor(current_app.extensions["predictor"])


def render(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
    """Return a page; each knows the model that answers, if one does, and whether there is a log-in."""
    return make_response(render_template(template, **_about_model(), **values), status)


@cache
def asset(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]}"


def show_static(name: str) -> Response:
    """Show a static file, to be kept by the browser for as long as its address is the same."""
    response = send_from_directory(STATIC, name, max_age=YEAR if "v" in request.args else 0)
    response.direct_passthrough = response.status_code != HTTPStatus.OK  # a part stays as it is
    return compressed(response)


def _about_model() -> dict[str, Any]:
    """Return what the frame of every page says of the model; it is there without one, too."""
    settings: PredictorSettings = current_app.extensions["settings"]
    about = {"locked": wanted_key() is not None, "here": request.path, "settings": settings}
    try:
        predictor: Predictor = current_app.extensions["predictor"].get()
    except BundleError:
        return {**about, "model": None}
    contract, manifest = predictor.bundle.contract, predictor.bundle.manifest
    model = {"contract": contract, "version": predictor.version, "generated": manifest.generated}
    return {**about, "model": {**model, "created": manifest.created[:10]} if may_see() else None}


def _with_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _tell_problem(problem: Problem) -> Response:
    response = render("problem.html", problem.status, problem=problem, title=TITLES.get(problem.status))
    response.headers.extend(problem.headers)
    return response


def _tell_error(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        settings: PredictorSettings = current_app.extensions["settings"]
        most = f"{settings.max_body_bytes / 1e6:.0f}\N{NO-BREAK SPACE}MB"
        return _tell_problem(
            Problem(status, f"A file may have {most} at most. Bring fewer students at a time.")
        )
    return _tell_problem(Problem(status, REMEDIES.get(status, error.description or status.description)))


def tell_nowhere(error: NotFound) -> Response:
    """Tell people in a page, programs in a problem."""
    wanted = request.accept_mimetypes
    if wanted["text/html"] <= wanted["application/problem+json"]:  # of browsers */* is less
        return problem_response(Problem(HTTPStatus.NOT_FOUND, error.description or ""))
    return _with_headers(_tell_error(error))


def _tell_unreadable(error: BundleError) -> Response:
    return _tell_problem(
        Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"A part of the model cannot be used: {error}.")
    )


TITLES = {
    HTTPStatus.BAD_REQUEST: "That form could not be read",
    HTTPStatus.UNAUTHORIZED: "Please log in again",
    HTTPStatus.NOT_FOUND: "There is no page here",
    HTTPStatus.REQUEST_TIMEOUT: "It took too long to send",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "That is more than can be read at once",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many wrong keys",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Some of it could not be read",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong here",
    HTTPStatus.SERVICE_UNAVAILABLE: "No forecast can be given now",
}
REMEDIES = {
    HTTPStatus.NOT_FOUND: "The address may have been mistyped, or belong to an older version.",
    HTTPStatus.BAD_REQUEST: "The page had probably been open since before you logged in, or cookies are "
    "switched off. Go back, reload the page and send it again. Nothing was kept.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "It is not your fault, and nothing that you sent was kept. Tell "
    "whoever runs Gradecast the time; they find the rest in its log.",
}


HOME = "/"

login = page_blueprint("login", for_anyone=True)


@login.get("/login")
def ask_key() -> AnyResponse:
    """Ask for the key; who is inside already goes on."""
    if is_inside():
        return redirect(_next(), HTTPStatus.SEE_OTHER)
    return _ask(wrong=False)


@login.post("/login")
def take_key() -> AnyResponse:
    """Let in who brings the right key, and go on to the page that was asked for."""
    key = wanted_key()
    if key is not None:
        if not is_key(request.form.get("key", "").strip().encode(), typed=True):
            return _ask(wrong=True)
        session.clear()
        session.permanent = True
        session[INSIDE], session[NUMBER] = proof_of(key), secrets.token_hex(BYTES)
    return redirect(_next(), HTTPStatus.SEE_OTHER)


@login.post("/logout")
def leave() -> AnyResponse:
    """End the session for all its copies: whoever kept its cookie is let in no more."""
    key = wanted_key()
    try:
        if key is not None and is_inside():
            current_app.extensions["ended_sessions"].add(session[NUMBER])
    except OSError as error:
        detail = "You cannot be logged out now: the disk is full. Close the browser."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error
    session.clear()
    return redirect("/login" if key else HOME, HTTPStatus.SEE_OTHER)


def _ask(*, wrong: bool) -> Response:
    status = HTTPStatus.UNAUTHORIZED if wrong else HTTPStatus.OK
    return render("login.html", status, next=_next(), wrong=wrong)


def _next() -> str:
    """Return the page to go on to: one of ours that can be read, never another site's."""
    wanted = request.values.get("next", HOME)
    known = wanted in current_app.extensions["page_paths"]
    return wanted if known and current_app.url_map.bind("").test(wanted, "GET") else HOME
