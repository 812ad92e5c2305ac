"""The application: `create_app` is what Gunicorn calls in each of its workers."""

import threading
from typing import IO, Any

from flask import Flask, Request, current_app, request

from data.log.spool import Spool
from serving.api import api
from serving.batch import batch
from serving.health import health
from serving.metrics import Metrics, exposition
from serving.middleware import Middleware
from serving.openapi import docs
from serving.outcomes import outcomes
from serving.pages import install_pages
from serving.predictor import CurrentPredictor
from serving.problems import register_problems
from serving.receiving import UploadFile
from serving.request_log import ExcInfo, RequestLog, log_error
from serving.security import ApiKey
from serving.settings import PredictorSettings


class UploadRequest(Request):
    """A request whose long files are put where all long bodies are."""

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return UploadFile(current_app.extensions["settings"].uploads)


class Application(Flask):
    """Flask that keeps what an unforeseen error was about, which may be a student, out of the log."""

    request_class = UploadRequest

    def log_exception(self, exc_info: ExcInfo) -> None:
        """Log the error's type and place."""
        if exc_info[1] is not None:
            log_error(exc_info[1], exc_info[2], request.environ.get("gradecast.request_id", ""))


def create_app(config: PredictorSettings | None = None) -> Flask:
    """Make the application; with no model yet it starts all the same and says so."""
    settings = config or PredictorSettings.from_environment()
    app = Application(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions |= {
        "settings": settings,
        "predictor": CurrentPredictor(settings.current_bundle),
        "metrics": Metrics(),
        "spool": Spool(settings.spool),
        "request_log": RequestLog(),
        "api_key": ApiKey(settings.api_key.get_secret_value(), settings.home) if settings.api_key else None,
        "batches": threading.BoundedSemaphore(settings.threads // 2),
        "in_flight": lambda: 0,  # Gunicorn's worker puts its own count here
    }
    for routes in (api, batch, health, exposition, outcomes, docs):
        app.register_blueprint(routes)
    install_pages(app)
    register_problems(app)
    app.wsgi_app = middleware = Middleware(app, settings, app.extensions["metrics"])  # type: ignore[method-assign]
    app.extensions["refusal"] = middleware.refusal
    return app
