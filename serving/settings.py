"""Every setting of the predictor, from the environment, in one place."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Settings of serving/; each field's alias is the environment variable it comes from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    home: Path = Field(Path("var"), alias="GRADECAST_HOME", description="Folder of all state")
    model_uri: str = Field(
        "models:/grade-class@champion",
        alias="GRADECAST_MODEL_URI",
        description="Model to serve: an alias, a version or `latest` of the registry, or a bundle's folder",
    )
    tracking_uri: str = Field(
        "", alias="MLFLOW_TRACKING_URI", description="Registry; the SQLite file in home if empty"
    )
    host: str = Field("127.0.0.1", alias="GRADECAST_HOST", description="Address that the predictor binds to")
    port: int = Field(9696, alias="PORT", ge=0, le=65535, description="Port that the predictor binds to")
    workers: int = Field(2, alias="WEB_CONCURRENCY", ge=1, description="Processes that answer requests")
    max_records: int = Field(
        1_000, alias="GRADECAST_MAX_RECORDS", ge=1, description="Most records of one request"
    )
    max_body_bytes: int = Field(
        4_000_000, alias="GRADECAST_MAX_BODY_BYTES", ge=1, description="Largest body of one request"
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; an empty variable counts as not set. Raises pydantic's ValidationError."""
        return cls.model_validate({name: value for name, value in environment.items() if value})

    @property
    def bundles(self) -> Path:
        """Folder of the synced bundles."""
        return self.home / "bundle"

    @property
    def current_bundle(self) -> Path:
        """Link to the bundle that is served."""
        return self.bundles / "current"

    @property
    def registry_file(self) -> Path:
        """The local registry's SQLite file."""
        return self.home.absolute() / "mlflow.db"

    @property
    def registry_uri(self) -> str:
        """The registry's tracking URI."""
        return self.tracking_uri or f"sqlite:///{self.registry_file}"
