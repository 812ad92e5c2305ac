"""What holds for every test, and for the process that only hands tests out to others."""

import os
import sys
from pathlib import Path

import pytest

OWN_PATH = list(sys.path)
STANDARD = (
    *("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_HOME"),
    *("PORT", "WEB_CONCURRENCY"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, whose imports take seconds, where tests are run: not where they are handed out."""
    if not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with whole runs where processes share the tests: at the end, one would wait for the other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Take the code of registered models, which MLflow puts before ours, out of what new processes import."""
    sys.path[:] = [place for place in sys.path if place in OWN_PATH or Path(place).name != "code"]


pytest_runtest_call = pytest_runtest_setup


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.startswith("GRADECAST_") or name in STANDARD:
            monkeypatch.delenv(name)
    monkeypatch.setenv("GRADECAST_PREDICTOR_URL", "")  # whatever answers on the usual port is not ours
