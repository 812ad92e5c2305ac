"""Unattended: somebody wants a retraining, and a while later the predictor answers with a better model."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.cohorts import grades as cohort
from flows.registry.registration import Registered
from flows.runtime.server import prefect_server
from flows.settings import Settings
from tests.e2e import state
from tests.e2e.loop import CHANGED, Loop, copy_state, loop_of, use_grid

pytestmark = pytest.mark.e2e


@pytest.fixture
def loop(
    deployed: str,
    registered: Registered,
    settings: Settings,
    variables: dict[str, str],
    one_candidate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Loop]:
    """The loop around the session's model as champion."""
    assert registered.version == "1"
    copy_state(settings.home, tmp_path / "home")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GRADECAST_APPROVAL", "none")
    with prefect_server(tmp_path / "home"), loop_of(tmp_path / "home", deployed) as loop:
        use_grid(loop.client, one_candidate)
        yield loop


STUDENTS = 500


def test_a_wanted_retraining_ends_with_the_predictor_answering_with_the_new_version(loop: Loop) -> None:
    loop.wait_until(lambda: loop.predictor.version() == "1", "the first champion answers")
    loop.want_retraining(CHANGED)
    loop.wait_until(lambda: loop.predictor.version() == "2", "the new champion answers")
    assert loop.forecast() == "2"
    loop.wait_until(lambda: loop.states(CHANGED) == ["Completed"], "the run is completed")
    (run,) = loop.runs(CHANGED)
    assert (run.parameters["on_drift"], run.parameters["contract"]) == ("retrain", "grade_class")
    assert loop.unfinished() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_retrainings_wanted_at_once_end_with_one_champion(loop: Loop) -> None:
    other = CHANGED.replace("seed=9", "seed=10")
    for data in (CHANGED, other):
        loop.want_retraining(data)
    loop.wait_until(lambda: loop.states(CHANGED) == loop.states(other) == ["Completed"], "both are completed")
    assert state.versions(loop.home) == [(1,), (2,), (3,)]
    champions = state.rows(loop.home, "SELECT version FROM registered_model_aliases WHERE alias = 'champion'")
    assert len(champions) == 1
    loop.wait_until(lambda: loop.predictor.version() == str(champions[0][0]), "the predictor follows")
    assert loop.unfinished() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_monitor_notices_a_changed_relation_and_the_predictor_answers_with_what_was_learned_from_it(
    loop: Loop,
) -> None:
    loop.wait_until(lambda: loop.predictor.version() == "1", "the first champion answers")
    since = datetime.now(UTC)
    loop.ask_and_grade(cohort.generate(STUDENTS, 9, "grading-inflation", 1.0, first_id=700_001))
    loop.wait_until(lambda: loop.logged() == (STUDENTS, STUDENTS), "forecasts and grades are in the log")
    window = {"since": since.isoformat(), "until": datetime.now(UTC).isoformat()}
    loop.client.create_flow_run_from_deployment(loop.deployment("drift-monitor/daily"), parameters=window)
    loop.wait_until(lambda: loop.predictor.version() == "2", "the new champion answers")
    assert loop.forecast() == "2"
    loop.wait_until(lambda: loop.unfinished() == [], "nothing is left running")
