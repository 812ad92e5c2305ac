"""The plainest of all requests, a forecast for JSON, without Flask's routing, contexts and sessions.

Those take nearly as long as all that a forecast needs. Whatever else is asked is Flask's, and an error that
nobody foresaw is told by it: the answers are those of `serving.api` either way.
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask

from serving.api import CANARY, JSON, forecast
from serving.problems import Problem, problem_response
from serving.settings import Settings

PATH = "/predict"
CANARY_KEY = f"HTTP_{CANARY.upper().replace('-', '_')}"
DIGITS = 12  # of a length that is worth reading


class Shortcut:
    """A WSGI application in front of Flask's."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._flask: WSGIApplication = app.wsgi_app
        self._extensions = app.extensions
        settings: Settings = app.extensions["settings"]
        self._most = settings.max_body_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"] != PATH or not (length := self._length(environ)):
            return self._flask(environ, start_response)
        body = environ["wsgi.input"].read(length)
        try:
            answer = forecast(self._extensions, body)
        except Problem as problem:
            return problem_response(problem)(environ, start_response)
        except Exception as error:  # noqa: BLE001  Flask logs it, and tells it as one of its own
            with self._app.request_context(environ):
                return self._app.handle_exception(error)(environ, start_response)
        start_response("200 OK", [("Content-Type", JSON), ("Content-Length", str(len(answer)))])
        return [answer]

    def _length(self, environ: WSGIEnvironment) -> int:
        """Return how long the body of a plain request is; 0 where the request is another one."""
        length = environ.get("CONTENT_LENGTH", "")
        plain = (
            environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == JSON
            and not environ["QUERY_STRING"]
            and CANARY_KEY not in environ
            and length.isdecimal()
            and len(length) < DIGITS
        )
        return int(length) if plain and int(length) <= self._most else 0
