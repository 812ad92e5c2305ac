"""What many tests share: one small trained and registered model, and the real data where they are."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from data.contract.contract import Contract, load_contract
from data.durable import file_lock
from data.processes import end_recorded
from flows import process
from flows.evaluate import gather_evidence
from flows.process import process_records, write_report
from flows.processing.processed import Processed
from flows.registry import bundling, store
from flows.registry.bundling import Submission, make_bundle
from flows.registry.registration import Registered, register_submission
from flows.reports import figures
from flows.reports.evidence import Evidence
from flows.reports.plots import plots_of
from flows.runtime import server as prefect_process
from flows.runtime.server import local_url
from flows.runtime.workspace import finished_file
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid
from tests.dated_school import small_school, write_school

SHARED = Path(__file__).parents[2] / "shared" / "data"
SMALL_GRID = Grid.model_validate({"families": [{"max_depth": 1, "learning_rate": 0.1, "n_estimators": 150}]})


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
def submission(
    settings: Settings, grade_class: Contract, processed: Processed, place_of_all: Path
) -> Submission:
    """A small model trained on them, with its evidence and its bundle."""
    with done_once(settings.home, place_of_all):
        trained = train_model(processed, grade_class, SMALL_GRID, settings)
        evidence = gather_evidence(trained, processed, grade_class, settings)
        submission = Submission(trained, processed, "grade_class", evidence, settings)
        make_bundle(submission)
    return submission


@pytest.fixture(scope="session")
def place_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def done_once(home: Path, place_of_all: Path) -> Iterator[None]:
    """Let one process do the work of a state folder; the others find it done in theirs."""
    shared = place_of_all / "done-once"
    with file_lock(place_of_all / "done-once.lock"):
        if shared.exists():
            shutil.copytree(shared, home, dirs_exist_ok=True)
        yield
        if not shared.exists():
            shutil.copytree(home, shared, ignore=shutil.ignore_patterns(".drafts", "*.db*", "*.lock"))


@pytest.fixture(scope="session", autouse=True)
def registry_tables(place_of_all: Path) -> Iterator[None]:
    """Make the tables of an empty registry once, for they take seconds, and copy them from then on."""
    make, made = store._make_tables, place_of_all / "empty-registry.db"

    def copy(database: Path, settings: Settings) -> None:
        with file_lock(made.with_suffix(".lock")):
            if not made.exists():
                finished_file(made, lambda draft: make(draft, settings))
        shutil.copyfile(made, database)
        with closing(sqlite3.connect(database)) as registry, registry:
            place = (store.artifact_root(settings),)
            registry.execute("UPDATE experiments SET artifact_location = ? || '/' || experiment_id", place)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "_make_tables", copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_to_look_at() -> Iterator[None]:
    """Draw no plots, write no report of the data and resample less, for it takes seconds for each model.

    Their own tests make them, and so does every command that runs in a process of its own.
    """

    def name_plots(evidence: Evidence, folder: Path) -> None:
        for plot in plots_of(evidence):
            (folder / f"{plot.__name__}.png").touch()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bundling, "write_plots", name_plots)
        patched.setattr(process, "write_report", lambda folder, *_: (folder / process.REPORT).touch())
        patched.setattr(figures, "CURVE_REPEATS", 40)
        yield


@pytest.fixture(scope="module")
def reports() -> Iterator[None]:
    """Write the reports of the data all the same."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "write_report", write_report)
        yield


@pytest.fixture(scope="session")
def registered(submission: Submission) -> Registered:
    """The same model as the session registry's first champion."""
    return register_submission(submission)


@pytest.fixture(scope="session")
def small_dated(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Submission:
    """A model of a small school with dated tables, in days, with its bundle; registered as its champion."""
    folder = tmp_path_factory.mktemp("school")
    contract = small_school(folder)
    processed = process_records(str(write_school(folder / "tables")), contract, settings)
    trained = train_model(processed, contract, SMALL_GRID, settings)
    evidence = gather_evidence(trained, processed, contract, settings)
    submission = Submission(trained, processed, str(folder / "small_school.yaml"), evidence, settings)
    make_bundle(submission)
    assert register_submission(submission).promoted
    return submission


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server that all tests share, for it takes 10 s to start.

    What it is told it writes down each second, for there are tests that wait for it. (Of less than a second
    it makes none, and never rests.)
    """
    state = tmp_path_factory.mktemp("prefect")
    port = prefect_process.port_to_use(0)
    with pytest.MonkeyPatch.context() as patched:
        for service in ("EVENT_PERSISTER", "TASK_RUN_RECORDER"):
            patched.setenv(f"PREFECT_SERVER_SERVICES_{service}_FLUSH_INTERVAL", "1")
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
