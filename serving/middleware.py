"""What surrounds every request: who may ask, shedding, counts, the log line, every answer's headers."""

import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from werkzeug.wsgi import ClosingIterator

from serving.api import Shortcut
from serving.metrics import Metrics
from serving.problems import Problem, problem_response, unavailable
from serving.request_log import RequestIds, RequestLog
from serving.security import (
    HARMLESS,
    HEADERS,
    HEALTH,
    OPEN,
    ApiKey,
    Names,
    bearer_of,
    believe_proxies,
    is_foreign,
)
from serving.settings import PredictorSettings

OTHER = "other"
STATIC = "/static/"
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
UNKNOWN_NAME = (
    "The predictor is not to be asked by this name. If it is one of yours, add it to GRADECAST_ALLOWED_HOSTS."
)
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="gradecast"'}
FOREIGN = "A page of another site may send nothing here."


class Middleware:
    """A WSGI application around Flask's, so that a refused request costs next to nothing."""

    def __init__(self, app: Flask, settings: PredictorSettings, metrics: Metrics) -> None:
        self._app: WSGIApplication = Shortcut(app)
        self._extensions, self._metrics, self._ids = app.extensions, metrics, RequestIds()
        self._log: RequestLog = app.extensions["request_log"]
        self._api_key: ApiKey | None = app.extensions["api_key"]
        self._names, self._proxies = Names(settings), settings.proxies
        self._most = settings.max_in_flight
        self._page_paths: frozenset[str] = app.extensions["page_paths"]
        self._routes = frozenset(rule.rule for rule in app.url_map.iter_rules() if not rule.arguments)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        begun = time.perf_counter()
        client = believe_proxies(environ, self._proxies)
        path = environ["PATH_INFO"]
        route = path if path in self._routes else OTHER
        method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in METHODS else OTHER
        request_id = self._ids.of(environ.get("HTTP_X_REQUEST_ID"))
        environ["gradecast.request_id"] = request_id
        said: list[str] = []

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
            present = {name for name, _ in headers}
            said[:] = status[:3], "streamed" if "Content-Length" not in present else ""
            headers += [header for header in HEADERS if header[0] not in present]
            headers.append(("X-Request-ID", request_id))
            return start_response(status, headers, *more)

        def over() -> None:
            seconds = time.perf_counter() - begun
            self._metrics.answered(route, said[0], seconds)
            self._log.add(request_id, client, method, route, said[0], seconds)

        problem = self._withheld(environ, path) or self.refusal(environ)
        body = (problem_response(problem) if problem else self._app)(environ, start)
        if said[1]:
            return ClosingIterator(body, over)  # it is made while it is sent
        over()
        return body

    def refusal(self, environ: WSGIEnvironment) -> Problem | None:
        """Return why a request is not answered, whatever it brings; None where it is."""
        path, client = environ["PATH_INFO"], believe_proxies(environ, self._proxies)
        if path not in HEALTH and not self._names.admit(environ.get("HTTP_HOST", "")):
            return Problem(HTTPStatus.FORBIDDEN, UNKNOWN_NAME)
        if path in OPEN:
            return None
        if not self._is_page(path) and (problem := self._locked_out(environ, client)):
            return problem
        if self._extensions["in_flight"]() > self._most:
            return unavailable("The predictor has more to do than it can; ask again in a second.", 1)
        return None

    def _locked_out(self, environ: WSGIEnvironment, client: str) -> Problem | None:
        """Return why a request may not come in: no key, or where none is wanted, another site's page."""
        if self._api_key is None:
            foreign = environ["REQUEST_METHOD"] not in HARMLESS and is_foreign(environ)
            return Problem(HTTPStatus.FORBIDDEN, FOREIGN) if foreign else None
        key = bearer_of(environ.get("HTTP_AUTHORIZATION", ""))
        try:
            if key is not None and self._api_key.accepts(key, client):
                return None
        except Problem as problem:
            return problem
        return Problem(HTTPStatus.UNAUTHORIZED, "Bring the key: Authorization: Bearer …", (), CHALLENGE)

    def _withheld(self, environ: WSGIEnvironment, path: str) -> Problem | None:
        """Return why a body is not to be had, as the worker found it; pages tell it in their own way."""
        problem: Problem | None = getattr(environ["wsgi.input"], "problem", None)
        return None if problem is None or self._is_page(path) else problem

    def _is_page(self, path: str) -> bool:
        return path in self._page_paths or path.startswith(STATIC)  # see serving.pages
