"""Batch scoring and the grid search on the workers of a Dask cluster, and after the death of one."""

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohorts.grades import generate
from data.contract.contract import Contract
from data.rows.frames import parse
from flows.runtime.engine import Engine, dask_client
from flows.runtime.progress import OnDone
from flows.scoring.parts import Parts, PartScorer
from flows.scoring.rosters import open_roster
from flows.scoring.sinks import write_sink
from flows.training.data import stratified_folds
from flows.training.fit import SearchResult, search
from flows.training.grid import Grid
from flows.training.rows import training_data

GRID = Grid.model_validate(
    {"families": [{"max_depth": [1, 2], "learning_rate": [0.1, 0.2], "n_estimators": [20, 40]}]}
)


@pytest.fixture
def roster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("flows.scoring.rosters.ROWS", 200)
    path = tmp_path / "class.csv"
    generate(2_000, seed=4).to_csv(path, index=False)
    return path


def nothing_shown(done: int, total: int, best_log_loss: float | None = None) -> None:
    """Show nothing of what is done."""


def killing(engine: Engine) -> OnDone:
    """Return what kills a worker when the first piece of work is done."""
    with dask_client(engine) as client:
        client.wait_for_workers(2)  # the one that a test before killed is started again
        victim = min(client.run(os.getpid, on_error="ignore").values())

    def on_done(done: int, total: int, best_log_loss: float | None = None) -> None:
        if done == 1:
            os.kill(victim, signal.SIGKILL)

    return on_done


def scored(
    roster: Path, contract: Contract, bundle: Path, engine: Engine, shown: OnDone = nothing_shown
) -> tuple[bytes, list[str]]:
    """Return the written file, and the names of the parts."""
    folder = roster.parent / engine.kind / "parts"
    found = open_roster(str(roster), contract)
    parts = Parts(found, folder, PartScorer(bundle, "7", "a school's own key"), engine)
    write_sink(str(folder.parent / "out.csv"), parts.tables(shown))
    names = sorted(path.name for path in folder.glob("*.arrow"))
    return (folder.parent / "out.csv").read_bytes(), names


def searched(engine: Engine, contract: Contract, shown: OnDone = nothing_shown) -> SearchResult:
    data = training_data(parse(generate(400, seed=2), contract), contract)
    folds = stratified_folds(data, 3, seed=7)
    return search(data, GRID, folds, seed=7, jobs=1, engine=engine, on_done=shown, baselines=False)


@pytest.mark.parametrize("dies", [False, True])
def test_the_scores_are_the_same_bytes_as_on_this_machine(
    roster: Path, grade_class: Contract, bundle_folder: Path, engine: Engine, *, dies: bool
) -> None:
    shown = killing(engine) if dies else nothing_shown
    here = scored(roster, grade_class, bundle_folder, Engine.local())
    there = scored(roster, grade_class, bundle_folder, engine, shown)
    assert there == here
    assert len(there[1]) == 10


@pytest.mark.parametrize("dies", [False, True])
def test_the_search_finds_the_same_to_the_last_digit(
    grade_class: Contract, engine: Engine, *, dies: bool
) -> None:
    there = searched(engine, grade_class, killing(engine) if dies else nothing_shown)
    here = searched(Engine.local(), grade_class)
    ours, theirs = (found.leaderboard.drop(columns="seconds") for found in (here, there))
    pd.testing.assert_frame_equal(theirs, ours, check_exact=True)
    assert there.members[0].params == here.members[0].params
    np.testing.assert_array_equal(there.probabilities, here.probabilities)
