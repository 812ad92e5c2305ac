"""What the follower says of itself: var/bundle/status.json, written by it alone, read by the workers."""

import re
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
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
        return "degraded" if self.error else "ok"


def read_status(home: Path) -> Status:
    """Return what the follower of a home wrote last; an empty status where there is nothing readable."""
    try:
        return Status.model_validate_json(_file(home).read_bytes())
    except (OSError, ValidationError):
        return Status()


def write_status(home: Path, status: Status) -> None:
    """Put a status in the place of the last one, in one step."""
    file = _file(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(status.model_dump_json(indent=1), encoding="utf-8")
    draft.replace(file)


def told(error: BaseException) -> str:
    """Return an error as one line that may be shown: without the credentials of an address."""
    line = " ".join(str(error).split()) or type(error).__name__
    return CREDENTIALS.sub("", line)[:LONGEST]


def _file(home: Path) -> Path:
    return home / "bundle" / "status.json"
