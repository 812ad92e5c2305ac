"""Killed at any moment, a pipeline leaves nothing half-made, and the next one completes."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import state
from tests.e2e.conftest import Run, Start

Reached = Callable[[Path], bool]
pytestmark = pytest.mark.e2e


def drafting(place: str, what: str = "*/draft") -> Reached:
    return lambda home: any((home / place / ".drafts").glob(what))


def done(place: str) -> Reached:
    return lambda home: any((home / place).glob("[!.]*"))


def recorded(query: str) -> Reached:
    return lambda home: bool(state.rows(home, query))


POINTS: dict[str, Reached] = {
    "at once": lambda home: True,
    "while it processes": drafting("processed"),
    "when the records are processed": done("processed"),
    "while the registry is made": drafting(".", "mlflow.db*"),
    "when the registry is made": lambda home: (home / "mlflow.db").exists(),
    "while the drift report is written": drafting("reports", "*/*.html"),
    "when the drift report is written": done("reports"),
    "while it trains": drafting("candidates"),
    "while the candidate is written": drafting("candidates", "*/draft/booster.ubj"),
    "when the candidate is trained": done("candidates"),
    "while the bundle is written": drafting("bundles", "*/draft/bundle/model.onnx"),
    "while the plots are drawn": drafting("bundles", "*/draft/plots"),
    "when the bundle is verified": done("bundles"),
    "while the run is logged": recorded("SELECT 1 FROM runs WHERE status = 'RUNNING'"),
    "while the model is logged": lambda home: any((home / "mlartifacts").glob("models/*")),
    "when the version is registered": recorded("SELECT 1 FROM model_versions"),
    "when the champion moves": recorded("SELECT 1 FROM registered_model_aliases WHERE alias = 'champion'"),
    "while the verdict is written": recorded("SELECT 1 FROM model_version_tags WHERE key = 'promoted'"),
}
SOME = ("while it processes", "while it trains", "while the model is logged")


def assert_sound(home: Path) -> None:
    """The state after a run that completed."""
    assert state.half_made(home) == []
    assert state.drafts(home) == []
    assert state.running(home) == []
    assert state.versions(home) == [(1,)]
    assert np.allclose(state.forecasts(home).sum(axis=1), 1, atol=1e-5)


def test_killed_again_and_again_and_then_started_twice_at_once_it_ends_well_with_one_champion(
    tmp_path: Path, start: Start
) -> None:
    home = tmp_path / "home"
    for point in SOME:
        with start(home) as running:
            assert running.kill_when(partial(POINTS[point], home)), f"it ended before: {point}"
        assert state.half_made(home) == [], point
    with start(home) as first, start(home) as second:
        ends = first.end(), second.end()
    for end in ends:
        assert end.code == 0, end.told
        assert "Reused from an equal run: process, train" in end.told
    assert_sound(home)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_the_next_pipeline_completes(
    tmp_path: Path, start: Start, run: Run, point: str
) -> None:
    home = tmp_path / "home"
    with start(home) as running:
        running.kill_when(partial(POINTS[point], home))
    assert state.half_made(home) == []
    following = run(home)
    assert following.code == 0, following.told
    assert_sound(home)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(5))
def test_killed_at_random_moments_the_pipeline_completes_in_the_end(
    tmp_path: Path, start: Start, run: Run, attempt: int
) -> None:
    home, draw = tmp_path / "home", random.Random(attempt)
    for _ in range(4):
        with start(home) as running:
            running.process.join(draw.uniform(0, 8))
            running.kill()
        assert state.half_made(home) == []
    last = run(home)
    assert last.code == 0, last.told
    assert_sound(home)


@pytest.mark.slow
def test_two_pipelines_started_at_once_both_end_well_with_one_champion(tmp_path: Path, start: Start) -> None:
    home = tmp_path / "home"
    with start(home) as first, start(home) as second:
        ends = first.end(), second.end()
    assert [end.code for end in ends] == [0, 0], "\n".join(end.told for end in ends)
    assert_sound(home)
