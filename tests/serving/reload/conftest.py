"""A registry that tests may move the champion of, and bundles that answer otherwise."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.registry.registration import Registered
from flows.settings import Settings
from serving.settings import PredictorSettings
from serving.sync.bring import sync
from tests.serving.running import PYTHON
from tests.serving.variants import Shelf, copy_registry, write_variant


@pytest.fixture(autouse=True)
def serving_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that are started run in the environment that `make serve` runs in."""
    monkeypatch.setattr(sys, "executable", PYTHON)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, settings: Settings, registered: Registered) -> Shelf:
    """A registry with the session's model as its version 1."""
    return copy_registry(settings.home / "mlflow.db", tmp_path_factory.mktemp("registry"))


@pytest.fixture
def shelf(library: Shelf) -> Shelf:
    """The registry, with version 1 as its champion."""
    library.seat("1")
    return library


@pytest.fixture(scope="session")
def variant(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """Make a bundle, once each, that asks for so many grade points more than the session's."""
    made: dict[float, Path] = {}

    def make(points: float) -> Path:
        if points not in made:
            folder = tmp_path_factory.mktemp("variants") / "bundle"
            made[points] = write_variant(bundle_folder, folder, points)
        return made[points]

    return make


@pytest.fixture
def milder(variant: Callable[[float], Path]) -> Path:
    """A bundle that asks for 0.1 grade points less."""
    return variant(-0.1)


@pytest.fixture
def stricter(variant: Callable[[float], Path]) -> Path:
    """A bundle that asks for 0.1 grade points more."""
    return variant(0.1)


@pytest.fixture
def wanted(tmp_path: Path, shelf: Shelf) -> PredictorSettings:
    """Settings of an empty home that follows the champion."""
    return settings_of(tmp_path / "home", shelf.uri)


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory, library: Shelf) -> Path:
    """A home in which version 1 is current."""
    library.seat("1")
    return sync(settings_of(tmp_path_factory.mktemp("home"), library.uri)).parents[2]


@pytest.fixture
def serving_first(first_home: Path, wanted: PredictorSettings) -> PredictorSettings:
    """The same settings, with version 1 current already."""
    shutil.copytree(first_home, wanted.home, symlinks=True)
    return wanted


def settings_of(home: Path, registry: str) -> PredictorSettings:
    """Return the settings of a home that follows the champion of a registry, closely."""
    variables = {"GRADECAST_HOME": str(home), "MLFLOW_TRACKING_URI": registry}
    return PredictorSettings.from_environment({**variables, "GRADECAST_SYNC_SECONDS": "0.1"})
