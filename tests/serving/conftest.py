"""A predictor on the session's small model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from serving.settings import Settings
from serving.sync.bring import sync
from tests.contract.logged import STUDENT

Student = dict[str, Any]


@pytest.fixture
def student() -> Student:
    """A record that keeps the contract."""
    return {**STUDENT}


@pytest.fixture(scope="session")
def settings_for() -> Callable[..., Settings]:
    """Make the predictor's settings as if from these environment variables."""
    return lambda **variables: Settings.from_environment({k: str(v) for k, v in variables.items()})


@pytest.fixture(scope="session")
def synced(
    tmp_path_factory: pytest.TempPathFactory, bundle_folder: Path, settings_for: Callable[..., Settings]
) -> Settings:
    """Settings of a home whose current bundle is the session's model, by its folder or as the champion."""
    home = tmp_path_factory.mktemp("serving")
    settings = settings_for(GRADECAST_HOME=home, GRADECAST_MODEL_URI=bundle_folder)
    sync(settings)
    settings_for(GRADECAST_HOME=home).bundles.symlink_to(settings.bundles)
    return settings


@pytest.fixture
def client(synced: Settings) -> FlaskClient:
    """A client of a predictor that has a model."""
    return create_app(synced).test_client()


@pytest.fixture
def client_without_model(tmp_path: Path, settings_for: Callable[..., Settings]) -> FlaskClient:
    """A client of a predictor that has none yet."""
    return create_app(settings_for(GRADECAST_HOME=tmp_path)).test_client()
