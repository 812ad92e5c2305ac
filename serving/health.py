"""Whether the predictor answers, and with what: /health, /health/ready, /health/live."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import orjson
from flask import Blueprint, Response, current_app

from data.manifest import BundleError
from serving.predictor import CurrentPredictor
from serving.problems import Problem
from serving.settings import Settings
from serving.status import Status, read_status

REMEDY = "Train one with `make pipeline`: it is served as soon as it is registered."
SILENCE = timedelta(minutes=3)  # the longest download and trial take less

health = Blueprint("health", __name__)


@health.get("/health")
@health.get("/health/ready")
def ready() -> Response:
    """Tell which model answers, and why it is not the one that is wanted; 503 when there is none."""
    current: CurrentPredictor = current_app.extensions["predictor"]
    settings: Settings = current_app.extensions["settings"]
    status = read_status(settings.bundles)
    try:
        predictor = current.get()
    except BundleError as error:
        known = _shown([str(error), *([status.error] if status.error else [])], settings.home)
        detail = f"There is no model to answer with: {known.rstrip('.')}. {REMEDY}"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error
    troubles = find_troubles(status, current.problem, settings.sync_seconds, datetime.now(UTC))
    body: dict[str, str | None] = {
        "status": "degraded" if troubles else "ok",
        "model": predictor.bundle.contract.model_name,
        "model_version": predictor.version,
    }
    if settings.release:
        body["release"] = settings.release
    if troubles:
        body |= {"wanted_version": status.wanted, "detail": _shown(troubles, settings.home)}
    elif status.wanted not in (None, predictor.version):  # not refused yet, as `wanted_version` would say
        body |= {"status": "degraded", "detail": f"version {status.wanted} is being fetched"}
    return _json(body)


@health.get("/health/live")
def live() -> Response:
    """Tell that this process answers."""
    return _json({"status": "ok"})


def find_troubles(status: Status, problem: str | None, sync_seconds: float, now: datetime) -> list[str]:
    """Return why the model that answers may not be the one that is wanted.

    `problem` is the worker's own; where no follower has ever written, as after a lone sync, none is missed.
    """
    troubles = [trouble for trouble in (status.error, problem) if trouble]
    if status.checked and now - status.checked > SILENCE + timedelta(seconds=10 * sync_seconds):
        troubles.append(f"the follower has been silent since {status.checked.isoformat(timespec='seconds')}")
    return troubles


def _shown(troubles: list[str], home: Path) -> str:
    """Return troubles as one text, without the place of the state on this machine."""
    return "; ".join(troubles).replace(f"{home.absolute()}/", "")


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), mimetype="application/json")
