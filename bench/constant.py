"""A Flask route that returns a constant, for Gunicorn under the predictor's own settings."""

from flask import Flask

from serving.request_log import RequestLog
from serving.settings import PredictorSettings


def create_app() -> Flask:
    """Make the application; the extensions are what our Gunicorn worker asks for."""
    app = Flask(__name__)
    app.extensions |= {
        "settings": PredictorSettings.from_environment(),
        "request_log": RequestLog(),
        "refusal": lambda _: None,
    }
    app.add_url_rule("/predict", view_func=lambda: {"grade_class": "A"}, methods=["POST"], endpoint="predict")
    return app
