"""Whole pipelines on small generated cohorts, all on one Prefect server."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import pytest

from flows.deploy import main as deploy
from flows.pipeline import main
from tests.e2e.pipelines import Ended, Running, pipeline

COHORT = "cohort://400?seed=3"
Start = Callable[..., AbstractContextManager[Running]]
Run = Callable[..., Ended]
NUMBERS = count()


@pytest.fixture(scope="session")
def one_candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid that is searched in a second."""
    path = tmp_path_factory.mktemp("grid") / "one.yaml"
    path.write_text("families: [{max_depth: 1, learning_rate: 0.1, n_estimators: 60}]\n")
    return path


@pytest.fixture(scope="session")
def variables(prefect_api: str) -> dict[str, str]:
    """The environment of every run but for its state folder."""
    return {"PREFECT_API_URL": prefect_api, "GRADECAST_FOLDS": "3", "GRADECAST_JOBS": "1"}


@pytest.fixture(scope="session")
def start(variables: dict[str, str], one_candidate: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start a pipeline on a state folder."""
    outputs = tmp_path_factory.mktemp("outputs")

    def start(home: Path, *options: str, data: str | Path = COHORT) -> AbstractContextManager[Running]:
        arguments = ["--data", str(data), "--grid", str(one_candidate), *options]
        output = outputs / f"{next(NUMBERS)}.txt"
        return pipeline(arguments, variables | {"GRADECAST_HOME": str(home)}, output)

    return start


@pytest.fixture
def run(
    variables: dict[str, str],
    one_candidate: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Run a pipeline to its end, in this process."""

    def run(home: Path, *options: str, data: str | Path = COHORT) -> Ended:
        for name, value in (variables | {"GRADECAST_HOME": str(home)}).items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        code = main(["--data", str(data), "--grid", str(one_candidate), *options])
        return Ended(code, "".join(capfd.readouterr()))

    return run


@pytest.fixture(scope="session")
def deployed(prefect_api: str) -> str:
    """The session's Prefect server with the deployments registered; its address."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PREFECT_API_URL", prefect_api)
        assert deploy([]) == 0
    return prefect_api
