"""The pipeline as a person runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from data.cohorts import grades as cohort
from flows.pipeline import main
from tests.e2e import state
from tests.e2e.conftest import COHORT, Run

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
NOISE = re.compile(
    r"warning|traceback|deprecat|error|INFO|DEBUG|alembic|telemetry|https?://(?!127)", re.IGNORECASE
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "home"


@pytest.fixture(scope="module")
def first(home: Path, variables: dict[str, str], one_candidate: Path) -> subprocess.CompletedProcess[str]:
    """The very first run, by the command itself."""
    command = [sys.executable, "-m", "flows.pipeline", "--data", COHORT, "--grid", str(one_candidate)]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = kept | variables | {"GRADECAST_HOME": str(home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_first_run_ends_with_a_champion(first: subprocess.CompletedProcess[str], home: Path) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    assert state.half_made(home) == []
    assert state.versions(home) == [(1,)]


@pytest.mark.parametrize(
    "line",
    [
        r"Records +cohort://400\?seed=3 +\(generated students, not real ones\)",
        r"Rows in +400; 400 clean: \d+ to train, \d+ to test",
        r"Quarantined +none",
        r"Drift +no reference",
        r"Gradecast +0\.\d{3} +0\.\d{3} +chosen",
        r"logistic regression +0\.\d{3}",
        r"Absences alone +0\.\d{3}",
        r"CatBoost, usual settings +0\.\d{3}",
        r"XGBoost softprob, usual settings +0\.\d{3}",
        r"majority +1\.\d{3}",
        r"Accuracy +0\.\d{3} +0\.\d{3} to 0\.\d{3} +0\.\d{3}",
        r"Log loss +0\.\d{3} +0\.\d{3} to \d\.\d{3} +0\.\d{3}",
        r"Model +grade-class, version 1: champion",
        r"Because +the first champion: log loss",
        r"Serve it +make serve",
        r"mlflow ui",
    ],
)
def test_the_last_screen_says(first: subprocess.CompletedProcess[str], line: str) -> None:
    assert re.search(line, first.stdout), first.stdout


def test_the_last_screen_fits_a_terminal(first: subprocess.CompletedProcess[str]) -> None:
    screen = first.stdout[first.stdout.index("Pipeline ─") :].splitlines()
    assert len(screen) <= 40
    assert max(map(len, screen)) <= 100


def test_the_stages_are_told_as_they_go(first: subprocess.CompletedProcess[str]) -> None:
    told = re.findall(r"^(process|drift gate|train|register): done", first.stdout, re.MULTILINE)
    assert told == ["process", "drift gate", "train", "register"]


def test_no_library_says_anything(first: subprocess.CompletedProcess[str]) -> None:
    assert first.stderr == ""
    told = first.stdout.replace("Calibration error", "")
    assert [line for line in told.splitlines() if NOISE.search(line)] == []


@pytest.mark.usefixtures("first")
def test_an_equal_run_reuses_everything_and_says_so(home: Path, run: Run) -> None:
    again = run(home)
    assert again.code == 0, again.told
    assert "Reused from an equal run: process, train, register." in again.told
    assert state.versions(home) == [(1,)]


@pytest.mark.usefixtures("first")
def test_drift_stops_the_run_with_exit_3_and_trains_nothing(home: Path, run: Run) -> None:
    stopped = run(home, data="cohort://400?seed=11&scenario=absences&strength=6")
    assert stopped.code == 3, stopped.told
    assert re.search(
        r"^Stopped: drift against champion 1: .*Absences.* Nothing was trained\.", stopped.told, re.M
    )
    assert "--on-drift retrain or warn" in stopped.told
    assert len(list((home / "candidates").glob("grade_class-*"))) == 1
    assert state.versions(home) == [(1,)]


@pytest.mark.usefixtures("first")
def test_too_many_bad_rows_stop_the_run_with_exit_3_and_their_reasons(
    home: Path, run: Run, tmp_path: Path
) -> None:
    frame = cohort.generate(200, seed=4)
    frame.loc[:99, "Ethnicity"] = 9
    frame.to_csv(tmp_path / "bad.csv", index=False)
    stopped = run(home, data=tmp_path / "bad.csv")
    assert stopped.code == 3, stopped.told
    assert "50.0% of the rows are bad, more than the 15% allowed: Ethnicity unknown code" in stopped.told
    (quarantine,) = re.findall(r"See (\S+quarantine\.csv)", stopped.told)
    assert len(pd.read_csv(quarantine)) == 100


@pytest.mark.usefixtures("first")
def test_after_drift_one_may_train_on_and_the_challenger_must_win(
    home: Path, run: Run, tmp_path: Path
) -> None:
    changed = cohort.generate(600, 2392, "grading-inflation", 0.4)
    changed.assign(Nickname="x").to_csv(tmp_path / "more.csv", index=False)
    trained = run(home, "--on-drift", "retrain", data=tmp_path / "more.csv")
    assert trained.code == 0, trained.told
    assert "Not in the contract, and not used: Nickname." in trained.told
    assert re.search(r"Drift +drift", trained.told)
    waits = r"version 2: challenger, waits for a person\s+Because +better: log loss"
    assert re.search(waits, trained.told), trained.told
    assert 'make approve VERSION=2 REASON="…"' in trained.told
    assert state.half_made(home) == []


def test_help_says_what_there_is_to_choose(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(
        option in told for option in ("--data", "--contract", "--grid", "--on-drift", "stop,retrain,warn")
    )
