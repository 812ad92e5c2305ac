"""The prediction log's settings, which the predictor and the commands that read the log share."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from data.rows.ids import PUBLIC_KEY

PRIVATE = 0o700
OURS = ("predictions.db", "mlflow.db", "bundle", "processed", "spool")
"""What makes a folder a state folder, whatever else is in it."""


def keep_private(home: Path) -> None:
    """Keep what this process writes from now on, and the state folder, from other users of the machine.

    Whoever reads the settings calls it: what any command writes is about students.
    """
    os.umask(~PRIVATE & 0o777)
    if not any((home / name).exists() for name in OURS):
        return
    state = home.stat()
    if state.st_uid == os.geteuid() and state.st_mode & ~PRIVATE & 0o777:  # made by an earlier release
        home.chmod(PRIVATE)


class LogSettings(BaseModel):
    """Settings of the log; each field's alias is the environment variable it comes from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    home: Path = Field(Path("var"), alias="GRADECAST_HOME", description="Folder of all state")
    log_url: str = Field(
        "",
        alias="GRADECAST_LOG_URL",
        repr=False,
        description="Database of the prediction log, SQLite or PostgreSQL; `predictions.db` in home if empty",
    )
    id_key: str = Field(
        PUBLIC_KEY,
        alias="GRADECAST_ID_KEY",
        min_length=8,
        repr=False,
        description="Key of the hash that ids are split and logged by",
    )
    retention_days: int = Field(
        730,
        alias="GRADECAST_RETENTION_DAYS",
        ge=0,
        description="Days that predictions and outcomes are kept in the log; 0 keeps them for ever",
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings, and keep what is written private; an empty variable counts as not set.

        Raises pydantic's ValidationError.
        """
        settings = cls.model_validate({name: value for name, value in environment.items() if value})
        keep_private(settings.home)
        return settings

    @property
    def spool(self) -> Path:
        """Folder of what the database does not have yet."""
        return self.home / "spool"

    @property
    def database_url(self) -> str:
        """URL of the log's database."""
        return self.log_url or f"sqlite:///{self.home.absolute() / 'predictions.db'}"


def netloc(host: str, port: int) -> str:
    """Return a host and a port as they stand in an address: that of IPv6 in brackets."""
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
