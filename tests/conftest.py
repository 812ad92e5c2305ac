"""What many tests share: one small trained and registered model, and the real data where they are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.contract.contract import Contract, load_contract
from data.processes import end_recorded
from flows.evaluate import gather_evidence
from flows.process import process_records
from flows.processing.processed import Processed
from flows.registry.bundling import Submission
from flows.registry.registration import Registered, register_submission
from flows.runtime import server as prefect_process
from flows.runtime.server import local_url
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid

SHARED = Path(__file__).parents[2] / "shared" / "data"
STANDARD = (
    *("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_HOME"),
    *("PORT", "WEB_CONCURRENCY"),
)
SMALL_GRID = Grid.model_validate({"families": [{"max_depth": 1, "learning_rate": 0.1, "n_estimators": 150}]})


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.startswith("GRADECAST_") or name in STANDARD:
            monkeypatch.delenv(name)
    monkeypatch.setenv("GRADECAST_PREDICTOR_URL", "")  # whatever answers on the usual port is not ours


@pytest.fixture(scope="session")
def grade_class() -> Contract:
    """The default contract."""
    return load_contract("grade_class")


@pytest.fixture(scope="session")
def pass_fail() -> Contract:
    """The second contract: two classes, derived, text codes, no id."""
    return load_contract("pass_fail")


@pytest.fixture(scope="session")
def real_grades() -> Path:
    """The real A–F set."""
    return _shared("grade_class.csv")


@pytest.fixture(scope="session")
def real_courses() -> Path:
    """The real pass-or-fail set."""
    return _shared("uci_student_por.csv")


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the session's own state folder."""
    return Settings(home=tmp_path_factory.mktemp("home"), folds=3, jobs=1, tracking_uri="")


@pytest.fixture(scope="session")
def small_grid() -> Grid:
    """One candidate, enough for a sound model."""
    return SMALL_GRID


@pytest.fixture(scope="session")
def processed(settings: Settings, grade_class: Contract) -> Processed:
    """Six hundred generated students, processed."""
    return process_records("cohort://600", grade_class, settings)


@pytest.fixture(scope="session")
def submission(settings: Settings, grade_class: Contract, processed: Processed) -> Submission:
    """A small model trained on them, with its evidence."""
    trained = train_model(processed, grade_class, SMALL_GRID, settings)
    evidence = gather_evidence(trained, processed, grade_class, settings)
    return Submission(trained, processed, "grade_class", evidence, settings)


@pytest.fixture(scope="session")
def registered(submission: Submission) -> Registered:
    """The same model as the session registry's first champion."""
    return register_submission(submission)


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server that all tests share, for it takes 10 s to start."""
    state = tmp_path_factory.mktemp("prefect")
    port = prefect_process.port_to_use(0)
    prefect_process.launch(state, port)
    assert prefect_process.wait_until_healthy(state, port), prefect_process.log(state).read_text()
    yield local_url(port)
    end_recorded(prefect_process.record(state))


@pytest.fixture(scope="session")
def bundle_folder(registered: Registered, submission: Submission) -> Path:
    """The folder of its bundle; copy it before you change it."""
    return submission.bundle


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside this clone (../shared/data)")
    return path
