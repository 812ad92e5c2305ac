"""The pipeline and the batch score as commands, on a Dask cluster of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from data.cohorts import grades as cohort
from tests.e2e import state
from tests.e2e.conftest import COHORT

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


def test_a_pipeline_on_dask_ends_with_the_champion_of_this_machine(
    tmp_path: Path, variables: dict[str, str], one_candidate: Path
) -> None:
    boards = []
    for engine in ("local", "dask"):
        home = tmp_path / engine
        run("pipeline", "--data", COHORT, "--grid", one_candidate, engine=engine, home=home, given=variables)
        assert state.versions(home) == [(1,)]
        boards += [pd.read_parquet(path) for path in home.glob("candidates/*/leaderboard.parquet")]
    local, dask = (board.drop(columns="seconds") for board in boards)
    pd.testing.assert_frame_equal(local, dask)
    scored_alike(tmp_path, variables)


def scored_alike(place: Path, variables: dict[str, str]) -> None:
    """Score a roster by either engine with the local model; the files must be equal."""
    roster = place / "roster.csv"
    cohort.generate(500, seed=8).to_csv(roster, index=False)
    for engine in ("local", "dask"):
        out = place / f"{engine}.csv"
        run("score", "--data", roster, "--out", out, engine=engine, home=place / "local", given=variables)
    assert (place / "local.csv").read_bytes() == (place / "dask.csv").read_bytes()


def run(command: str, *arguments: object, engine: str, home: Path, given: dict[str, str]) -> None:
    """Run a command as a person does; it must end well."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    line = [sys.executable, "-m", f"flows.{command}", *map(str, arguments), "--engine", engine]
    environment = kept | given | {"GRADECAST_HOME": str(home)}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
