"""What all pages share: their door, their headers, their static files, and how they say what is wrong."""

import hashlib
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    make_response,
    render_template,
    request,
    send_from_directory,
)
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException, NotFound

from data.contract import Contract
from data.manifest import BundleError
from serving import charts
from serving.pages import words
from serving.pages.compression import compressed
from serving.pages.guard import csrf, let_through, may_see, protect, wanted_key
from serving.pages.sessions import keep_sessions, proof_of
from serving.predictor import Predictor
from serving.problems import Problem, problem_response
from serving.settings import Settings

STATIC = Path(__file__).parents[1] / "static"
YEAR = 31_536_000
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def page_blueprint(name: str) -> Blueprint:
    """Return a blueprint for pages: behind the door, forms checked, errors told to people.

    Its routes take no arguments in their paths, for the door goes by the whole path.
    """
    blueprint = Blueprint(name, __name__)
    blueprint.before_request(let_through)
    return _dressed(blueprint)


def open_blueprint(name: str) -> Blueprint:
    """Return a blueprint for pages that anyone may see."""
    return _dressed(Blueprint(name, __name__))


def _dressed(blueprint: Blueprint) -> Blueprint:
    blueprint.before_request(protect)
    blueprint.after_request(compressed)
    blueprint.after_request(_with_headers)
    blueprint.register_error_handler(Problem, _tell_problem)
    blueprint.register_error_handler(HTTPException, _tell_error)
    blueprint.register_error_handler(BundleError, _tell_unreadable)
    return blueprint


def install_pages(app: Flask, blueprints: tuple[Blueprint, ...]) -> None:
    """Add the pages to an application; raises OSError where home cannot be written."""
    keep_sessions(app, app.extensions["settings"])
    # Flask-WTF's own look at the origin knows no proxy that asks by another name: see guard.protect.
    app.config |= {
        "WTF_CSRF_CHECK_DEFAULT": False,
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_SSL_STRICT": False,
    }
    csrf.init_app(app)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.globals |= {"asset": asset, "charts": charts, "words": words, "proof_of": proof_of}
    app.jinja_env.filters |= words.FILTERS
    app.add_url_rule("/static/<name>", "static", show_static)
    app.register_error_handler(NotFound, _tell_nowhere)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    names = {blueprint.name for blueprint in blueprints}
    rules = (rule for rule in app.url_map.iter_rules() if rule.endpoint.split(".")[0] in names)
    app.extensions["page_paths"] = frozenset(rule.rule for rule in rules)


def render(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
    """Return a page; each knows the model that answers, if one does, and whether there is a door."""
    return make_response(render_template(template, **_about_model(), **values), status)


def asset(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    return f"/static/{name}?v={_digest(name)}"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]


def show_static(name: str) -> Response:
    """Show a static file, to be kept by the browser for as long as its address is the same."""
    response = send_from_directory(STATIC, name, max_age=YEAR if "v" in request.args else 0)
    response.direct_passthrough = response.status_code != HTTPStatus.OK  # a part stays as it is
    return compressed(response)


def _about_model() -> dict[str, Any]:
    """Return what the frame of every page says of the model; it is there without one, too."""
    settings: Settings = current_app.extensions["settings"]
    about = {"locked": wanted_key() is not None, "here": request.path, "settings": settings}
    try:
        predictor: Predictor = current_app.extensions["predictor"].get()
    except BundleError:
        return {**about, "model": None}
    return {**about, "model": Model(predictor) if may_see() else None}


class Model:
    """The model that answers, as the frame of a page names it."""

    def __init__(self, predictor: Predictor) -> None:
        self.contract: Contract = predictor.bundle.contract
        self.version = predictor.version
        manifest = predictor.bundle.manifest
        self.created = manifest.created[:10]
        self.generated = manifest.generated


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
    return _tell_problem(Problem(status, REMEDIES.get(status, error.description or status.description)))


def _tell_nowhere(error: NotFound) -> Response:
    """Tell people in a page, programs in a problem."""
    if request.accept_mimetypes.best != "text/html":
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
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Send fewer rows at a time.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "It is not your fault, and nothing that you sent was kept. Tell "
    "whoever runs Gradecast the time; they find the rest in its log.",
}
