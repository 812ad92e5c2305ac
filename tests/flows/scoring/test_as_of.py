"""Scoring as of a day: the tables of a school in, one line for each student who is there on it out."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from data.bundle.bundle import Bundle
from data.contract.contract import Contract
from data.errors import BadInput
from data.log.database import open_log
from data.log.reading import read_log
from data.snapshots.snapshots import open_snapshots
from flows.registry.bundling import Submission
from flows.runtime.engine import Engine
from flows.score import ScoreSummary, default_out, score_markdown
from flows.scoring.parts import Parts, PartScorer, ScoreTally, make_log
from flows.scoring.rosters import RosterSource, day_asked, open_roster, opened_roster
from flows.settings import Settings
from tests.dated_school import STARTS, small_school, write_school

DAY, KEY = 120, "a school's own key"


@pytest.fixture(scope="module")
def school(small_dated: Submission) -> Path:
    """The tables that the model was trained on."""
    return Path(small_dated.contract_name).parent / "tables"


def scored(roster: RosterSource, submission: Submission, folder: Path) -> Any:
    make_log(url := f"sqlite:///{folder / 'log.db'}")
    scorer = PartScorer(submission.bundle, "1", KEY, url)
    parts = Parts(roster, folder / "parts", scorer, Engine.local())
    return pa.concat_tables(parts.tables(lambda *_, **__: None)).to_pandas()


def test_who_is_there_on_a_day_is_forecast_from_what_was_known_by_then(
    school: Path, small_dated: Submission, tmp_path: Path
) -> None:
    contract = small_dated.contract
    with opened_roster(str(school), contract, DAY) as roster:
        rows = scored(roster, small_dated, tmp_path)
    students = pd.read_csv(school / "students.csv")
    there = (students["enrolled"] <= DAY) & ~(students["left"] <= DAY)
    assert rows["student_no"].tolist() == sorted(students["student_no"][there])
    assert list(rows)[:2] == ["student_no", "as_of"]
    assert set(rows["as_of"]) == {DAY}
    assert not {"person", "split", "final_grade"} & set(rows)
    known = pd.read_csv(school / "attendance.csv").query("known <= @DAY").groupby("student_no")["days"].sum()
    assert (rows["absences"] == rows["student_no"].map(known).fillna(0)).all()
    bundle = Bundle.load(small_dated.bundle)
    record = {n: float(rows[n][0]) for n in ("as_of", "prior_attainment", "absences", "mean_mark")}
    record |= {n: int(record[n]) for n in ("as_of", "absences")}
    (answer,) = bundle.answers(bundle.probabilities(bundle.matrix([bundle.record.validate_python(record)])))
    assert rows["at_risk"][0] == pytest.approx(answer["at_risk"], abs=1e-5)


def test_what_becomes_known_later_changes_no_byte_of_a_forecast(
    school: Path, small_dated: Submission, tmp_path: Path
) -> None:
    later = shutil.copytree(school, tmp_path / "later")
    for name, number in (("attendance", "days"), ("marks", "mark")):
        table = pd.read_csv(school / f"{name}.csv")
        after = table.sample(10_000, replace=True, random_state=1).assign(known=DAY + 1)
        table.loc[table["known"] > DAY, number] = 1
        pd.concat([table, after]).sample(frac=1, random_state=2).to_csv(later / f"{name}.csv", index=False)
    forecasts = []
    for place, folder in enumerate((school, later)):
        own = tmp_path / str(place)
        own.mkdir()
        with opened_roster(str(folder), small_dated.contract, DAY) as roster:
            rows = scored(roster, small_dated, own)
        forecasts.append(rows.drop(columns="prediction_id", errors="ignore").to_csv(index=False))
    assert forecasts[0] == forecasts[1]
    assert forecasts[0].count("\n") > 100


def test_the_day_of_a_forecast_is_in_the_log(school: Path, small_dated: Submission, tmp_path: Path) -> None:
    with opened_roster(str(school), small_dated.contract, DAY) as roster:
        rows = scored(roster, small_dated, tmp_path)
    logged = list(read_log(open_log(f"sqlite:///{tmp_path / 'log.db'}"), small_dated.contract.name))
    assert len(logged) == len(rows)
    assert {row["record"]["as_of"] for row in logged} == {DAY}
    assert all("student_no" not in row["record"] for row in logged)


def test_a_date_is_another_day_for_each_course_and_who_is_out_of_the_span_is_left_out(tmp_path: Path) -> None:
    contract = small_school(tmp_path, dates=True)
    folder = write_school(tmp_path / "tables", 60, dates=True)
    with opened_roster(str(folder), contract, "2025-10-05") as roster:  # two courses are at day 34
        rows = pa.concat_tables(roster.chunks()).to_pandas()
    courses = pd.read_csv(folder / "students.csv").set_index("student_no")["course"]
    late = int((courses == "languages").sum())
    assert set(rows["as_of"]) == {34}
    assert "languages" not in set(rows["student_no"].map(courses))
    assert roster.rows == len(rows)
    assert roster.notes[0].startswith(tuple(f"{late - n} students left out: on 2025-10-05" for n in range(5)))
    gone = STARTS["languages"] + timedelta(days=215)
    with (
        pytest.raises(BadInput, match="for days 30 to 210; on 2026-04-18 every student is at day 215"),
        opened_roster(str(folder), contract, str(gone)),
    ):
        pass


def test_records_that_were_set_aside_are_told(tmp_path: Path) -> None:
    contract = small_school(tmp_path)
    folder = write_school(tmp_path / "tables", 20)
    path = folder / "attendance.csv"
    path.write_text(path.read_text() + "nobody,7,1,14\n" + "S-1-000001,7,1,soon\n")
    with opened_roster(str(folder), contract, "60") as roster:
        (note,) = roster.notes
    assert note.endswith("records of attendance set aside: no such student (1), not a day (1).")


def test_today_is_meant_where_there_are_dates_and_nothing_is_said(tmp_path: Path) -> None:
    contract, folder = small_school(tmp_path, dates=True), str(tmp_path)
    assert day_asked(folder, contract, None) == day_asked(folder, contract, "today") == date.today()  # noqa: DTZ011
    assert day_asked(folder, contract, "2025-11-03") == date(2025, 11, 3)
    assert day_asked(folder, contract, 60) == day_asked(folder, contract, " 60 ") == 60


@pytest.mark.parametrize(
    ("asked", "dates", "says"),
    [
        (None, False, r"^small-school: for which day is not said, .* Give AS_OF, a day from 30 to 210\.$"),
        ("2025-11-03", False, "2025-11-03 is a date, and the contract counts days"),
        ("300", False, "trained for days 30 to 210, not for day 300"),
        (-1, True, "trained for days 30 to 210, not for day -1"),
        ("soon", True, "'soon' is no day. Give AS_OF, a day from 30 to 210, or a date such as 20"),
        ("9" * 5_000, True, "is no day"),
    ],
)
def test_a_day_that_there_is_no_forecast_for_is_refused(
    tmp_path: Path, asked: str | int | None, dates: bool, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        day_asked(str(tmp_path), small_school(tmp_path, dates=dates), asked)


def test_a_contract_without_dates_is_for_no_day(grade_class: Contract) -> None:
    with pytest.raises(BadInput, match=r"grade_class is for no day\. Leave AS_OF out"):
        day_asked("class.csv", grade_class, "60")
    assert day_asked("class.csv", grade_class, None) is None


def test_a_file_of_rows_says_its_days_itself_or_is_told_one(
    school: Path, small_dated: Submission, tmp_path: Path
) -> None:
    contract, path = small_dated.contract, tmp_path / "rows.csv"
    with open_snapshots(str(school), contract, (60, 90), labelled=False) as found:
        rows = pd.concat(found.read()).drop(columns="split", errors="ignore")
    rows.to_csv(path, index=False)
    assert day_asked(str(path), contract, None) is None
    own = scored(open_roster(str(path), contract), small_dated, tmp_path)
    assert own["as_of"].astype(int).tolist() == rows["as_of"].tolist()
    with pytest.raises(BadInput, match="its rows say already for which day they are"):
        open_roster(str(path), contract, 60)
    rows[rows["as_of"] == 60].drop(columns="as_of").to_csv(path, index=False)
    with opened_roster(str(path), contract, "60") as roster:
        told = scored(roster, small_dated, tmp_path)
    same = own[own["as_of"] == "60"]["at_risk"]
    assert told["at_risk"].tolist() == same.tolist()
    with pytest.raises(BadInput, match="missing column as_of"):
        open_roster(str(path), contract)
    with pytest.raises(BadInput, match="says no start to count from"):
        day_asked(str(path), small_school(tmp_path, dates=True), "2025-11-03")


def test_each_day_has_a_file_of_its_own(settings: Settings, tmp_path: Path) -> None:
    contract = small_school(tmp_path)
    assert Path(default_out(f"{tmp_path}/", settings, contract, 60)).name == f"{tmp_path.name}-scored-60.csv"
    database = "postgresql://ann:secret@db/school?sslmode=require"
    assert Path(default_out(database, settings, contract, 60)).name == "school-scored-60.csv"


def test_the_report_says_for_which_day_it_is() -> None:
    about = {"source": "school", "out": "o.csv", "name": "n", "version": "1", "as_of": "60"}
    summary = ScoreSummary(**about, tally=ScoreTally(), notes=("One left.",))
    assert "\n\nAs of day 60\n\n" in score_markdown(summary.model_dump())
    assert score_markdown(summary.model_dump()).endswith("- One left.")
