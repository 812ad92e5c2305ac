"""Every setting of the predictor, from the environment, in one place."""

import hashlib
import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from data.log.settings import LogSettings

MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+|latest))")
CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
CURRENT = "current"
SHORT = 8
"""Hex digits that tell one registry, or one folder, from another."""
BATCH = "/predict/batch"
"""The route that takes files."""


def _names(given: str | Sequence[str]) -> Sequence[str]:
    """Return the names of a list with commas."""
    names = given.split(",") if isinstance(given, str) else given
    return [name.strip().lower() for name in names if name.strip()]


Network = IPv4Network | IPv6Network


class PredictorSettings(LogSettings):
    """Settings of serving/; each field's alias is the environment variable it comes from."""

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
    threads: int = Field(
        4, alias="GRADECAST_THREADS", ge=2, description="Requests that a worker runs at once"
    )
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (),
        alias="GRADECAST_ALLOWED_HOSTS",
        description="Names that the predictor is asked by, beside those of a local network; `*` for any",
    )
    api_key: SecretStr | None = Field(
        None, alias="GRADECAST_API_KEY", description="Bearer token that requests must bring"
    )
    allow_no_key: bool = Field(
        False, alias="GRADECAST_ALLOW_NO_KEY", description="Bind to other than loopback without a key"
    )
    secret_key: SecretStr | None = Field(
        None,
        alias="GRADECAST_SECRET_KEY",
        description="Secret that the pages' cookies are signed with; `cookies.key` in home if empty",
    )
    proxies: Annotated[tuple[Network, ...], BeforeValidator(_names)] = Field(
        (),
        alias="GRADECAST_PROXIES",
        description="Addresses or networks of proxies in front, with commas: what they forward is believed",
    )
    release: str = Field(
        "", alias="GRADECAST_RELEASE", description="Name of what is running, told by /health/ready"
    )
    log_rosters: bool = Field(
        False,
        alias="GRADECAST_LOG_ROSTERS",
        description="Keep the forecasts of classes uploaded on the page; otherwise nothing of them is kept",
    )
    sync_seconds: float = Field(
        2, alias="GRADECAST_SYNC_SECONDS", gt=0, description="Seconds between two looks at the registry"
    )
    max_in_flight: int = Field(
        100,
        alias="GRADECAST_MAX_IN_FLIGHT",
        ge=1,
        description="Requests of a worker, waiting ones too; more are shed",
    )
    request_seconds: float = Field(
        30,
        alias="GRADECAST_REQUEST_SECONDS",
        gt=0,
        description="Seconds in which a request must have come in; a long body has more, by its length",
    )
    max_records: int = Field(
        1_000, alias="GRADECAST_MAX_RECORDS", ge=1, description="Most records of one request"
    )
    max_body_bytes: int = Field(
        4_000_000, alias="GRADECAST_MAX_BODY_BYTES", ge=1, description="Largest body of one request"
    )
    max_batch_bytes: int = Field(
        1_000_000_000, alias="GRADECAST_MAX_BATCH_BYTES", ge=1, description="Largest CSV of one batch"
    )

    def body_limit(self, path: str) -> int:
        """Return how many bytes the body of a request may have."""
        return self.max_batch_bytes if path == BATCH else self.max_body_bytes

    @property
    def uploads(self) -> Path:
        """Folder of long bodies while they come in and are worked on; their files have no names."""
        return self.home / "uploads"

    @property
    def bundles(self) -> Path:
        """Folder of the synced bundles of this model, and of what is known of it.

        Each model has one: predictors of several may share a home, and what was served before another
        was asked for is not what is served now. Named after the model, and after its registry where that is
        not the home's own, or after the place of a bundle's folder.
        """
        named = MODEL_URI.fullmatch(self.model_uri)
        if named is None:
            place = Path(self.model_uri.removeprefix("file://")).absolute()
            return self.home / "bundle" / f"local@{_short(str(place))}"
        number = named["version"]
        folder = f"{named['name']}@{named['alias'] or (number if number == 'latest' else f'v{number}')}"
        if self.registry_uri != self._home_registry:
            folder += f"-{_short(CREDENTIALS.sub('', self.registry_uri))}"
        return self.home / "bundle" / folder

    @property
    def current_bundle(self) -> Path:
        """Link to the bundle that is served."""
        return self.bundles / CURRENT

    @property
    def metrics_folder(self) -> Path:
        """Folder in which the counters of one predictor's workers meet."""
        return self.home / "metrics" / str(self.port)

    @property
    def registry_file(self) -> Path:
        """The local registry's SQLite file."""
        return self.home.absolute() / "mlflow.db"

    @property
    def registry_uri(self) -> str:
        """The registry's tracking URI."""
        return self.tracking_uri or self._home_registry

    @property
    def _home_registry(self) -> str:
        return f"sqlite:///{self.registry_file}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]
