"""A registry of one's own, and submissions good and bad to put into it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from flows.evaluate import gather_evidence
from flows.process import process_records
from flows.registry.bundling import Submission
from flows.registry.store import open_registry, point_mlflow_at
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid
from tests.flows.registry.desk import Desk


def prepare(source: str, grid: Grid, contract: Contract, settings: Settings) -> Submission:
    """Do all that comes before registration."""
    processed = process_records(source, contract, settings)
    trained = train_model(processed, contract, grid, settings)
    evidence = gather_evidence(trained, processed, contract, settings)
    return Submission(trained, processed, contract.name, evidence, settings)


@pytest.fixture(scope="session")
def weak(settings: Settings, grade_class: Contract) -> Submission:
    """The same students as the session's model, learned from in eight rounds alone."""
    grid = Grid.model_validate({"families": [{"max_depth": 1, "learning_rate": 0.1, "n_estimators": 8}]})
    return prepare("cohort://600", grid, grade_class, settings)


@pytest.fixture(scope="session")
def of_more_students(settings: Settings, grade_class: Contract, small_grid: Grid) -> Submission:
    """As many students as the session's model learned from, and seven hundred more."""
    return prepare("cohort://1300", small_grid, grade_class, settings)


@pytest.fixture(scope="session")
def of_random_grades(
    settings: Settings, grade_class: Contract, small_grid: Grid, tmp_path_factory: pytest.TempPathFactory
) -> Submission:
    """Six hundred students with one another's grades."""
    frame = cohort.generate(600, seed=9)
    graded = frame[["GPA", "GradeClass"]].sample(frac=1, random_state=9).to_numpy()
    path = tmp_path_factory.mktemp("random") / "random.csv"
    frame.assign(GPA=graded[:, 0], GradeClass=graded[:, 1]).to_csv(path, index=False)
    return prepare(str(path), small_grid, grade_class, settings)


@pytest.fixture(scope="session")
def of_exchanged_grades(
    settings: Settings, grade_class: Contract, small_grid: Grid, tmp_path_factory: pytest.TempPathFactory
) -> Submission:
    """Nine hundred other students, of whom those with a C are said to have a D, and the other way round."""
    frame = cohort.generate(900, seed=12, first_id=30_001)
    wrong = frame["GradeClass"].map({2: 3.0, 3: 2.0})
    scores = wrong.map({2: 2.7, 3: 2.2}).fillna(frame["GPA"])
    path = tmp_path_factory.mktemp("exchanged") / "exchanged.csv"
    frame.assign(GPA=scores, GradeClass=wrong.fillna(frame["GradeClass"])).to_csv(path, index=False)
    return prepare(str(path), small_grid, grade_class, settings)


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Path:
    """The tables of a registry, which take seconds to make: copied for each that a test needs."""
    home = tmp_path_factory.mktemp("empty")
    open_registry(_settings_at(home, settings))
    return home / "mlflow.db"


def _settings_at(home: Path, settings: Settings) -> Settings:
    return Settings(**{**settings.model_dump(exclude={"tracking_uri"}), "home": home})


def desk_at(place: Path, empty_registry: Path, settings: Settings) -> Desk:
    """Return a registry of one's own in a folder."""
    shutil.copy(empty_registry, place)
    return Desk(_settings_at(place, settings))


@pytest.fixture(scope="session")
def shared_desk(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path, settings: Settings) -> Desk:
    """One registry for all tests, so that each model is logged once."""
    return desk_at(tmp_path_factory.mktemp("desk"), empty_registry, settings)


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    """A registry without any version."""
    shared_desk.clear()
    return shared_desk


@pytest.fixture
def two(desk: Desk, weak: Submission, submission: Submission) -> Desk:
    """A registry whose second version has replaced the first."""
    desk.seat(weak)
    desk.seat(submission)
    return desk


@pytest.fixture
def at_home(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The environment of a person with that registry, and nothing where the predictor should be."""
    monkeypatch.setenv("GRADECAST_HOME", str(desk.settings.home))
    monkeypatch.setenv("GRADECAST_PREDICTOR_URL", "http://127.0.0.1:9")
    return desk


@pytest.fixture(autouse=True)
def registry_of_the_session_again(settings: Settings) -> Iterator[None]:
    """Point MLflow back at the session's registry after a test had another."""
    yield
    point_mlflow_at(settings.mlflow_uri)


@pytest.fixture
def session_registry(registered: object, settings: Settings) -> MlflowClient:
    """The session's registry, whose champion is the session's model: for looking only."""
    assert registered
    return open_registry(settings)
