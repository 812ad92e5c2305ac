"""GET /health: which model answers, whether it is the wanted one, and what the follower says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from data.bundle.manifest import BundleError
from data.durable import write_whole
from serving.api import json_response
from serving.predictor import CurrentPredictor
from serving.problems import no_model
from serving.settings import CREDENTIALS, PredictorSettings

FILE = "status.json"
NOT_LOOKED = "since the start nobody has looked yet which version is wanted"
LONGEST = 500  # characters of a reason


class Status(BaseModel):
    """How the following goes. Times are in UTC; the counters go on through restarts."""

    model_config = ConfigDict(frozen=True)

    wanted: str | None = None
    """The version that was found last where the wanted model is."""
    version: str | None = None
    """The version that was made current last."""
    since: datetime | None = None
    checked: datetime | None = None
    """When the wanted model was last asked for."""
    error: str | None = None
    """Why the model that is wanted is not the one that is current."""
    ok: int = 0
    """Switches to another bundle."""
    refused: int = 0
    """Bundles that were not made current."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def state(self) -> Literal["ok", "degraded", "no model"]:
        """`degraded`: what is served is not what is wanted."""
        if self.version is None:
            return "no model"
        return "degraded" if self.error or self.wanted not in (None, self.version) else "ok"


def read_status(bundles: Path) -> Status:
    """Return what the follower of a model wrote last; an empty status where there is nothing readable."""
    try:
        return Status.model_validate_json((bundles / FILE).read_bytes())
    except (OSError, ValidationError):
        return Status()


def write_status(bundles: Path, status: Status) -> None:
    """Put a status in the place of the last one, in one step."""
    bundles.mkdir(parents=True, exist_ok=True)
    write_whole(bundles / FILE, status.model_dump_json(indent=1).encode())


def begin_status(bundles: Path) -> None:
    """Say that what is current is what was wanted when it was last looked, until a follower looks again."""
    status = read_status(bundles)
    if status.version is not None:
        write_status(bundles, status.model_copy(update={"error": NOT_LOOKED, "wanted": None}))


def describe_error(error: BaseException) -> str:
    """Return an error as one line that may be shown: without the credentials of an address."""
    line = " ".join(str(error).split()) or type(error).__name__
    return CREDENTIALS.sub("", line)[:LONGEST]


SILENCE = timedelta(minutes=3)  # the longest download and trial take less

health = Blueprint("health", __name__)


@health.get("/health")
@health.get("/health/ready")
def ready() -> Response:
    """Tell which model answers, and why it is not the one that is wanted; 503 when there is none."""
    current: CurrentPredictor = current_app.extensions["predictor"]
    settings: PredictorSettings = current_app.extensions["settings"]
    status = read_status(settings.bundles)
    try:
        predictor = current.get()
    except BundleError as error:
        known = [str(error), *([status.error] if status.error else [])]
        raise no_model(_shown(known, settings.home)) from error
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
    return json_response(body)


@health.get("/health/live")
def live() -> Response:
    """Tell that this process answers."""
    return json_response({"status": "ok"})


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
