"""Every setting of the pipeline, from the environment, in one place."""

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from data.errors import BadInput
from data.log.settings import keep_private
from data.rows.ids import OWN_KEY, PUBLIC_KEY, is_loopback

Approval = Literal["none", "after-alarm", "required"]
"""Which promotions a person must approve: none, those after a drift alarm, or each."""


class Settings(BaseSettings):
    """Settings of flows/; each is GRADECAST_ and the field's name, unless a standard name is given."""

    model_config = SettingsConfigDict(env_prefix="GRADECAST_", frozen=True, extra="ignore")

    home: Path = Field(Path("var"), description="Folder of all state")
    id_key: str = Field(PUBLIC_KEY, min_length=8, description="Key of the hash that ids are split by")
    tracking_uri: str = Field(
        "",
        validation_alias=AliasChoices("MLFLOW_TRACKING_URI"),
        description="Registry; SQLite in home if empty",
    )
    bad_row_limit: float = Field(0.15, ge=0, le=1, description="Share of bad rows that stops processing")
    test_share: float = Field(0.2, gt=0, lt=1, description="Share of students held out for the test split")
    folds: int = Field(5, ge=2, le=20, description="Folds of the cross-validation")
    seed: int = Field(7, ge=0, description="Seed of folds, boosters and bootstraps")
    budget: float | None = Field(
        None,
        gt=0,
        description="Seconds after which a search begins no further candidate; the grid's own if None",
    )
    jobs: int = Field(os.cpu_count() or 1, ge=1, description="Processes that train candidates")
    promotion_margin: float = Field(0.01, ge=0, description="Log loss by which a challenger may look worse")
    latency_ratio: float = Field(
        3, gt=0, description="Times the champion's time for one record that a challenger may take"
    )
    bundle_megabytes: float = Field(100, gt=0, description="Largest bundle that may be promoted")
    approval: Approval = Field("after-alarm", description="Which promotions a person must approve")
    mlflow_ui: str = Field(
        "", description="Address of MLflow's pages, for links; the registry's if empty and it has any"
    )
    notify: str = Field(
        "",
        repr=False,
        description="Who is told of failures and decisions: a webhook's address, or a block of Prefect's",
    )
    approval_hours: float = Field(24, gt=0, description="Hours that a person has to approve a promotion")
    predictor_url: str = Field(
        "http://127.0.0.1:9696", description="Predictor that is watched after a promotion; empty for none"
    )
    api_key: SecretStr | None = Field(None, description="Bearer token that the predictor wants")
    canary_seconds: float = Field(
        60, gt=0, description="Seconds that the predictor has to follow a promotion or a rollback"
    )
    cooldown_days: float = Field(7, ge=0, description="Days without another retraining after one")
    retrain_window: int = Field(2_400, ge=1, description="Newest rows that a retraining learns from")
    log_url: str = Field(
        "", repr=False, description="Database of log and history; predictions.db in home if empty"
    )

    def model_post_init(self, _context: Any) -> None:
        """Keep what is written private."""
        keep_private(self.home)

    def refuse_public_key(self) -> None:
        """Raise BadInput where a hash that anyone can repeat would name students on another machine."""
        hosts = [urlsplit(address).hostname for address in (self.tracking_uri, self.log_url)]
        elsewhere = next((host for host in hosts if host and not is_loopback(host)), None)
        if self.id_key == PUBLIC_KEY and elsewhere:
            raise BadInput(
                f"GRADECAST_ID_KEY is the public one: who sees what is stored at {elsewhere} could tell "
                "who the students are.",
                remedy=OWN_KEY,
            )

    @property
    def mlflow_uri(self) -> str:
        """Return the tracking URI of the registry."""
        return self.tracking_uri or f"sqlite:///{self.home.resolve() / 'mlflow.db'}"

    @property
    def mlflow_pages(self) -> str:
        """Return the address of MLflow's pages: where `make up` has them, unless the registry has its own."""
        served = self.tracking_uri if self.tracking_uri.startswith("http") else "http://127.0.0.1:5000"
        return (self.mlflow_ui or served).rstrip("/")

    @property
    def local_registry(self) -> bool:
        """Whether the registry is the SQLite file in home."""
        return not self.tracking_uri

    @property
    def database_url(self) -> str:
        """Return the URL of the database of the log, the measurements and the promotion history."""
        return self.log_url or f"sqlite:///{self.home.absolute() / 'predictions.db'}"
