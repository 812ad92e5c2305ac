"""What holds for every test, and for the process that only hands tests out to others."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

OWN_PATH = list(sys.path)
STANDARD = (
    *("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_HOME"),
    *("PORT", "WEB_CONCURRENCY"),
)
TOGETHER = {
    "a Prefect server and registries": (
        *("tests/e2e", "tests/flows/registry", "tests/flows/monitoring", "tests/flows/test_pipeline.py"),
        *("tests/flows/support/test_reconcile.py", "tests/flows/support/test_retries.py"),
        "tests/flows/support/test_notices.py",
        *("tests/flows/support/test_foreign_pages.py", "tests/flows/scoring/test_score_flow.py"),
    ),
    "a Dask cluster": ("tests/flows/test_dask.py", "tests/flows/scoring/test_score_on_dask.py"),
}
LONG = (
    "tests/flows/test_families.py",
    "tests/serving/pages/test_browser.py",
    "tests/flows/gates/test_gate.py",
    "tests/serving/reload/test_following.py",
    "tests/serving/test_spool.py",
    "tests/serving/test_worker.py",
    "tests/flows/support/test_prefect_server.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, whose imports take seconds, where tests are run: not where they are handed out."""
    if not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.fixtures")


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """Hands a group of files at a time to one of the processes that share the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Keep together what shares what is costly."""
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long where processes share the tests: at the end, one waits for the other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: place_of(item.nodeid.partition("::")[0]))


def group_of(file: str) -> str:
    """Return the group of files that one process runs: most files are alone in theirs."""
    return next((name for name, files in TOGETHER.items() if file.startswith(files)), file)


def place_of(file: str) -> int:
    """Return the place of a file's group among those that come first."""
    groups = [*TOGETHER, *LONG]
    group = group_of(file)
    return groups.index(group) if group in groups else len(groups)


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
