"""What the follower says of itself: status.json beside the bundles of its model, read by the workers."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from data.durable import write_whole
from serving.settings import CREDENTIALS

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


def told(error: BaseException) -> str:
    """Return an error as one line that may be shown: without the credentials of an address."""
    line = " ".join(str(error).split()) or type(error).__name__
    return CREDENTIALS.sub("", line)[:LONGEST]
