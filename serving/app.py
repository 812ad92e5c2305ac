"""The application: `create_app` is what Gunicorn calls in each of its workers."""

from contextlib import suppress

from flask import Flask

from data.bundle import BundleError
from serving.api import api
from serving.predictor import CurrentPredictor
from serving.problems import register_problems
from serving.settings import Settings


def create_app(config: Settings | None = None) -> Flask:
    """Make the application; with no model yet it starts all the same and says so."""
    settings = config or Settings.from_environment()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions["settings"] = settings
    app.extensions["predictor"] = CurrentPredictor(settings.current_bundle)
    app.register_blueprint(api)
    register_problems(app)
    with suppress(BundleError):  # said by /health/ready and by every answer
        app.extensions["predictor"].get()
    return app
