"""When a retraining is wanted, and when it is not."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from data.log.reading import Measurement, write_measurements
from flows.monitoring.retraining import WANTED, Run, confirmed, is_of_set, last_trigger, reason_not_to_retrain
from flows.monitoring.watch import Watched, earlier_relation
from flows.monitoring.window import Window
from flows.registry.store import Champion
from tests.flows.monitoring.school import School, month, students

SETS = Path("/var/retraining")


@pytest.fixture(scope="module")
def watched(champion: Champion, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A month that drifted clearly, with forty grades, watched but not measured."""
    school = School(f"sqlite:///{tmp_path_factory.mktemp('watched') / 'predictions.db'}", champion)
    school.ask(students(40, 80), month(0))
    window, log = Window(month(0), month(1)), school.log(month(1))
    judgement = replace(school.judge(), verdict="drift", reasons=("Absences: changed.",), clear=True)
    return Watched(school.contract, window, school.champion.version, log, log, log, judgement, ())


def reason(
    watched: Watched, school: School, last: datetime | None = None, *runs: Run, sure: bool = True
) -> str | None:
    return reason_not_to_retrain(watched, school.champion, last, runs, 7, sure=sure)


def note(engine: sa.Engine, watched: Watched, number: int, name: str, about: str, verdict: str) -> None:
    frame = watched.frame._replace(since=month(number), until=month(number + 1))
    write_measurements(engine, frame, [Measurement(name, 0.5, 40, about=about, verdict=verdict)])


def test_a_clear_alarm_with_new_grades_wants_one(watched: Watched, school: School) -> None:
    assert reason(watched, school) is None


@pytest.mark.parametrize("verdict", ["pass", "too few rows", "no reference"])
def test_without_an_alarm_none_is_wanted(watched: Watched, school: School, verdict: str) -> None:
    quiet = replace(watched, judgement=replace(watched.judgement, verdict=verdict))
    assert reason(quiet, school) == f"the verdict is {verdict}"


def test_an_unclear_alarm_waits_for_the_next_window(watched: Watched, school: School) -> None:
    assert "not clear enough" in (reason(watched, school, sure=False) or "")
    assert not confirmed(school.engine, watched)
    note(school.engine, watched, -1, "drift_share", "", "loss")
    assert confirmed(school.engine, watched)


def test_an_alarm_of_a_window_that_overlaps_confirms_nothing(watched: Watched, school: School) -> None:
    overlapping = watched.frame._replace(since=month(-1), until=month(0) + (month(1) - month(0)) / 2)
    write_measurements(school.engine, overlapping, [Measurement("drift_share", 0.5, 40, verdict="drift")])
    assert not confirmed(school.engine, watched)


def test_grades_that_cannot_be_right_are_to_be_reported_again_and_not_learned_from(
    watched: Watched, school: School
) -> None:
    raw = students(300, 81)
    classes = raw["GradeClass"].map({0: 0, 1: 4, 2: 2, 3: 3, 4: 1}).astype(float)
    school.ask(raw.assign(GradeClass=classes, GPA=np.nan), month(0))
    told = reason(replace(watched, judgement=school.judge()), school) or ""
    assert told.startswith("the grades cannot be right: classes look exchanged")
    assert told.endswith("mend them at their source and report them again")


def test_none_is_wanted_while_one_is_under_way(watched: Watched, school: School) -> None:
    run = Run(str(SETS / "grade_class-1.parquet"), under_way=True, broken=False)
    assert reason(watched, school, None, run) == "one is under way"


def test_the_cool_down_counts_from_the_end_of_the_last_ones_window(watched: Watched, school: School) -> None:
    almost = watched.window.until - 0.2 * (month(1) - month(0))
    assert "less than 7 days ago" in (reason(watched, school, almost) or "")
    assert reason(watched, school, month(0)) is None


def test_none_is_wanted_without_grades_newer_than_the_last_one(watched: Watched, school: School) -> None:
    later = replace(watched, window=Window(month(2), month(3)))
    told = reason(later, school, month(1))
    assert told == "too few grades to learn from: 0 since 2026-12-01, of 30 needed"


def test_the_last_one_is_the_newest_that_was_wanted(watched: Watched, school: School) -> None:
    assert last_trigger(school.engine, watched, []) is None
    for number in (-3, -2):
        note(school.engine, watched, number, WANTED, f"grade_class-{number}", "wanted")
    assert last_trigger(school.engine, watched, []) == month(-1)


def test_one_that_crashed_or_failed_counts_as_never_wanted_until_it_was_run_again(
    watched: Watched, school: School
) -> None:
    note(school.engine, watched, -2, WANTED, "grade_class-a", "wanted")
    failed, done = (
        Run(str(SETS / "grade_class-a.parquet"), under_way=False, broken=b) for b in (True, False)
    )
    assert last_trigger(school.engine, watched, [failed]) is None
    assert last_trigger(school.engine, watched, [done, failed]) == month(-1)
    assert last_trigger(school.engine, watched, [failed, done]) is None


def test_a_run_on_other_records_is_no_retraining() -> None:
    assert is_of_set(str(SETS / "grade_class-0123.parquet"), "grade_class")
    assert not is_of_set(str(SETS / "pass_fail-0123.parquet"), "grade_class")
    assert not is_of_set("/tmp/grade_class-0123.parquet", "grade_class")
    assert not is_of_set("cohort://2392", "grade_class")


def test_the_relation_found_last_is_that_of_the_same_champion(watched: Watched, school: School) -> None:
    champion = school.champion.version
    note(school.engine, watched, -3, "relation", "loss", "drift")
    note(school.engine, watched, -2, "relation", "loss", "no labels")
    found = [earlier_relation(school.engine, school.contract, v, month(0)) for v in (champion, "another")]
    assert found == ["loss", None]
    note(school.engine, watched, -2, "relation", "loss", "pass")
    assert earlier_relation(school.engine, school.contract, champion, month(0)) == "pass"
