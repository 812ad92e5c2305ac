"""Snapshots on a date: each student is taken on a day of their own, counted from their start."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from data.errors import BadInput
from data.snapshots.snapshots import open_snapshots
from tests.dated_school import STARTS, small_school, write_school

ON = date(2025, 12, 1)


def rows_on(folder: Path, contract: object, days: object) -> pd.DataFrame:
    with open_snapshots(str(folder), contract, days, labelled=False) as found:  # type: ignore[arg-type]
        return pd.concat(found.read(), ignore_index=True)


def test_on_a_date_each_student_is_seen_on_the_day_that_it_is_for_them(tmp_path: Path) -> None:
    contract = small_school(tmp_path, dates=True)
    folder = write_school(tmp_path / "school", 60, dates=True)
    course = pd.read_csv(folder / "students.csv").set_index("student_no")["course"]
    found = rows_on(folder, contract, ON)
    days = {name: (ON - start).days for name, start in STARTS.items()}
    assert set(found["as_of"]) == set(days.values()) == {77, 91}
    assert (found["as_of"] == found["student_no"].map(course).map(days)).all()
    for day in set(days.values()):  # the same as when that day is asked for by its number
        on_day = rows_on(folder, contract, (day,))
        same = found[found["as_of"] == day].reset_index(drop=True)
        own = on_day[on_day["student_no"].isin(same["student_no"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(same, own)


def test_a_date_on_which_nobody_is_there_is_refused(tmp_path: Path) -> None:
    contract = small_school(tmp_path, dates=True)
    folder = write_school(tmp_path / "school", 20, dates=True)
    with pytest.raises(BadInput, match="no student is there on 2025-08-01"):
        rows_on(folder, contract, date(2025, 8, 1))


def test_a_date_says_nothing_where_days_are_counted(tmp_path: Path) -> None:
    contract = small_school(tmp_path)
    folder = write_school(tmp_path / "school", 20)
    with pytest.raises(BadInput, match=r"counts days, and has no dates\. Give a day from 30 to 210"):
        rows_on(folder, contract, ON)


def test_no_snapshot_is_of_a_day_that_has_not_come(tmp_path: Path) -> None:
    contract = small_school(tmp_path, dates=True)
    folder = write_school(tmp_path / "school", 60, dates=True)

    def taken(until: object) -> tuple[pd.DataFrame, str]:
        with open_snapshots(str(folder), contract, until=until) as found:  # type: ignore[arg-type]
            return pd.concat(found.read(), ignore_index=True), found.sha256

    (whole, digest), (some, other) = taken(None), taken(ON)
    days = {course: (ON - start).days for course, start in STARTS.items()}
    course = pd.read_csv(folder / "students.csv").set_index("student_no")["course"]
    passed = some["student_no"].map(course).map(days)
    assert (some["as_of"] <= passed).all()
    assert set(some["as_of"]) == {30, 90}
    assert (digest == taken(date(2027, 1, 1))[1], digest == other) == (True, False)
    assert len(taken(60)[0]) == (whole["as_of"] <= 60).sum()
    with pytest.raises(BadInput, match="no student is there"):
        taken(date(2025, 9, 2))
