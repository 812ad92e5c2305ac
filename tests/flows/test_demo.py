"""The demonstration year: its students, its picture, and the year itself in a short form."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.cohorts.school_year import tables
from data.contract.contract import Contract, load_contract
from data.rows.records import record_adapter
from demo.__main__ import draw, table_of
from demo.months import SHORT, YEAR, Answers, Class, Month, students_of
from demo.plot import Figure90, Played, plot_year
from demo.weeks import FEW_WEEKS, YEARS, PlayedYear, plot_years, table_of_years, weeks_of
from demo.weeks import students_of as weekly_students
from flows.reports.style import styled

ROOT = Path(__file__).parents[2]


def test_no_two_months_share_a_student(grade_class: Contract) -> None:
    classes = [students_of(month, place, 50, grade_class, seed=1) for place, month in enumerate(YEAR)]
    assert grade_class.id is not None
    ids = [record[grade_class.id.name] for students in classes for record in students.records]
    assert len(ids) == len(set(ids)) == 50 * len(YEAR)


def test_a_months_students_are_records_of_the_contract(grade_class: Contract) -> None:
    adapter = record_adapter(grade_class)
    students = students_of(YEAR[3], 3, 200, grade_class, seed=1)
    assert len([adapter.validate_python(record) for record in students.records]) == 200
    assert len(students.grades) == len(students.scores) == 200


def test_the_programme_changes_what_follows_from_the_same_columns(grade_class: Contract) -> None:
    plain, changed = (
        students_of(month, 0, 3_000, grade_class, seed=1) for month in (Month("plain"), YEAR[5])
    )
    assert plain.records == changed.records
    assert np.mean(plain.scores < changed.scores) == pytest.approx(0.3, abs=0.05)


def test_the_year_has_what_the_loop_must_cope_with() -> None:
    assert len(YEAR) == 12
    assert {month.scenario for month in YEAR} == {None, "absences", "tutoring-void"}
    assert [any(getattr(month, trouble) for month in YEAR) for trouble in ("corrupted", "lost_column")] == [
        True,
        True,
    ]
    assert set(SHORT) <= set(YEAR)


def played() -> list[Played]:
    share = Figure90(0.81, 0.78, 0.84)
    return [
        Played("September", "quiet", "1", "1", "pass", share, share),
        Played("February", "a programme", "1", "2", "loss", share, Figure90(0.7, 0.67, 0.73), "2"),
        Played("June", "a column is missing", "2", "2", "", refused="Music: missing"),
        Played("July", "the programme ends", "1", "1", "pass", share, share, rolled_back=True),
    ]


def test_the_picture_names_versions_alarms_promotions_refusals_and_rollbacks(tmp_path: Path) -> None:
    with styled():
        figure = plot_year(played())
    said = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"version 1", "version 2", "loss", "v2 promoted", "file refused", "back to v1"} <= said
    draw(figure, tmp_path / "reports" / "year.png")
    assert (tmp_path / "reports" / "year.png").stat().st_size > 10_000


def test_the_table_has_a_line_for_each_month() -> None:
    table = table_of(played())
    assert table.row_count == 4
    assert list(table.columns[-1].cells) == [
        "",
        "version 2 promoted",
        "refused: Music: missing",
        "rolled back to version 1",
    ]


@pytest.fixture(scope="module")
def a_year() -> tuple[Class, np.ndarray]:
    return weekly_students(tables(200, 5, years=(2025,)), load_contract("school_year"), FEW_WEEKS)


def test_everybody_who_is_there_is_asked_about_every_week_as_of_its_day(
    a_year: tuple[Class, np.ndarray],
) -> None:
    students, days = a_year
    assert set(days) == set(FEW_WEEKS)
    assert [record["as_of"] for record in students.records] == days.tolist()
    adapter = record_adapter(load_contract("school_year"))
    assert all(adapter.validate_python(record) for record in students.records)
    who = [record["student_no"] for record, day in zip(students.records, days, strict=True) if day == 28]
    assert 190 < len(who) == len(set(who)) <= 200


def test_a_week_is_judged_by_who_was_found_and_what_was_right(a_year: tuple[Class, np.ndarray]) -> None:
    students, days = a_year
    labels = load_contract("school_year").target.labels
    ended = np.array(labels)[students.grades]
    risks = tuple(np.isin(ended, ["D", "F"]).astype(float))
    known = Answers([""] * len(days), "", risks, tuple(ended))
    blind = Answers([""] * len(days), "", tuple(np.zeros(len(days))), ("A",) * len(days))
    best, worst = (weeks_of(students, asked, days, load_contract("school_year")) for asked in (known, blind))
    assert [week.day for week in best] == list(FEW_WEEKS)
    assert all(week.right.share == 1 for week in best)
    assert all(one.found.share > other.found.share for one, other in zip(best, worst, strict=True))
    assert best[0].by_rule == worst[0].by_rule


def test_the_picture_of_the_weeks_says_who_answered_and_what_followed(
    a_year: tuple[Class, np.ndarray], tmp_path: Path
) -> None:
    students, days = a_year
    asked = Answers([""] * len(days), "", tuple(np.zeros(len(days))), ("A",) * len(days))
    weeks = tuple(weeks_of(students, asked, days, load_contract("school_year")))
    years = [
        PlayedYear(YEARS[0], "1", "1", "pass", "", weeks),
        PlayedYear(YEARS[1], "1", "2", "loss", "2", weeks),
        PlayedYear(YEARS[2], "2", "2", "loss", "3", weeks),
    ]
    with styled():
        figure = plot_years(years)
    said = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    assert "2026, version 1: from January tests are marked more kindly" in said
    assert "monitor: loss, version 2 promoted" in said
    assert list(table_of_years(years).columns[-1].cells) == ["", "version 2 promoted", "version 3 kept out"]
    draw(figure, tmp_path / "weeks.png")
    assert (tmp_path / "weeks.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(1_800)
def test_after_a_year_that_changed_in_its_middle_a_model_that_knows_it_answers(tmp_path: Path) -> None:
    environment = os.environ | {"GRADECAST_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "demo", "--dated", "--short"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1_500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    quiet, changed, _ = (done.stdout.index(f"{year.year}: ") for year in YEARS)
    assert "monitor: loss" not in done.stdout[quiet:changed]
    assert "was promoted" in done.stdout[changed:]
    assert (tmp_path / "reports" / "demo-weeks.png").exists()


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(1_800)
def test_the_short_year_promotes_what_the_programme_changed_and_keeps_mixed_up_grades_out(
    tmp_path: Path,
) -> None:
    environment = os.environ | {"GRADECAST_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "demo", "--short"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1_500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    quiet, programme, _, mixed = (said.index(f"{month.name}: ") for month in SHORT)
    assert "monitor: pass" in said[quiet:programme]
    assert "monitor: loss" in said[programme:mixed]
    assert "was promoted" in said[programme:mixed]
    assert "monitor: loss" in said[mixed:]
    assert "was promoted" not in said[mixed:]
    assert (tmp_path / "reports" / "demo-year.png").exists()
