"""A predictor on the session's small model."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from data.bundle.manifest import MANIFEST
from data.durable import digest
from data.log.spool import SpoolError
from serving.app import create_app
from serving.settings import PredictorSettings
from serving.sync.bring import sync
from tests.contract.logged import STUDENT

Student = dict[str, Any]
KEY = "kéy of the school"


def put_in_place(bundle: Path, settings: PredictorSettings) -> PredictorSettings:
    """Make a bundle's folder the one that is current, as a sync would, without trying it."""
    synced = settings.bundles / f"1-{digest(bundle / MANIFEST)[:12]}"
    settings.bundles.mkdir(parents=True)
    bundle.rename(synced)
    settings.current_bundle.symlink_to(synced.name)
    return settings


@pytest.fixture
def student() -> Student:
    """A record that keeps the contract."""
    return {**STUDENT}


@pytest.fixture(scope="session")
def settings_for() -> Callable[..., PredictorSettings]:
    """Make the predictor's settings as if from these environment variables."""
    return lambda **variables: PredictorSettings.from_environment({k: str(v) for k, v in variables.items()})


@pytest.fixture(scope="session")
def synced(
    tmp_path_factory: pytest.TempPathFactory,
    bundle_folder: Path,
    settings_for: Callable[..., PredictorSettings],
) -> PredictorSettings:
    """Settings of a home whose current bundle is the session's model, by its folder or as the champion."""
    home = tmp_path_factory.mktemp("serving")
    settings = settings_for(GRADECAST_HOME=home, GRADECAST_MODEL_URI=bundle_folder)
    sync(settings)
    settings_for(GRADECAST_HOME=home).bundles.symlink_to(settings.bundles)
    return settings


@pytest.fixture(scope="session")
def app(synced: PredictorSettings) -> Flask:
    """A predictor that has a model; put back what you change of it."""
    return create_app(synced)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of it."""
    return app.test_client()


@pytest.fixture
def client_without_model(tmp_path: Path, settings_for: Callable[..., PredictorSettings]) -> FlaskClient:
    """A client of a predictor that has none yet."""
    return create_app(settings_for(GRADECAST_HOME=tmp_path)).test_client()


@pytest.fixture
def home(tmp_path: Path, synced: PredictorSettings) -> Path:
    """A state folder of the test's own, with the session's model."""
    (tmp_path / "bundle").symlink_to(synced.bundles.parent)
    return tmp_path


@pytest.fixture
def locked(home: Path, settings_for: Callable[..., PredictorSettings]) -> FlaskClient:
    """A client of a predictor that wants a key."""
    return create_app(settings_for(GRADECAST_HOME=home, GRADECAST_API_KEY=KEY)).test_client()


@pytest.fixture
def own(synced: PredictorSettings, tmp_path: Path) -> PredictorSettings:
    """Settings of a home that has the session's model, and a follower's status of its own."""
    own, served = synced.model_copy(update={"home": tmp_path}), synced.current_bundle.resolve()
    own.bundles.mkdir(parents=True)
    (own.bundles / served.name).symlink_to(served)
    own.current_bundle.symlink_to(served.name)
    return own


@pytest.fixture
def full_disk(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client's predictor have no room to write anything down."""

    def refuse(entries: object) -> None:
        raise SpoolError("no space left")

    monkeypatch.setattr(client.application.extensions["spool"], "append", refuse)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes: a bundle, the log and the counters, and little else."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
