"""A year of weekly forecasts with the grades at its end: read, compared day by day, and learned from."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.log.database import create_tables, insert_missing, open_log, outcomes, predictions
from data.rows.frames import matrix, nearest, parse, to_records
from data.rows.ids import pseudonym
from data.snapshots.snapshots import open_snapshots
from flows.drift_gate import DRIFT, PASS
from flows.drift_gate.samples import Reference
from flows.monitoring.checkpoints import AT, between, newest_by_checkpoint, references
from flows.monitoring.report import checkpoint_lines, monitor_markdown
from flows.monitoring.retraining import NOT_ASKED, write_retraining_set
from flows.monitoring.watch import Watched, watch
from flows.monitoring.window import Forecasts, Window, read_forecasts
from flows.process import process_records
from flows.registry.bundling import Submission
from flows.registry.store import Champion, load_champion, open_registry
from flows.settings import Settings
from tests.dated_school import DAYS, small_school, write_school

FIRST = datetime(2026, 9, 1, tzinfo=UTC)
WEEKS = tuple(range(35, 211, 7))
STUDENTS = 90


@pytest.fixture(scope="module")
def dated_champion(small_dated: Submission, settings: Settings) -> Champion:
    found = load_champion(open_registry(settings), small_dated.contract.model_name)
    assert found is not None
    return found


class Year:
    """A log of a school year, whose forecasts the champion answers as if asked on each day."""

    def __init__(
        self, champion: Champion, folder: Path, scenario: str | None = None, strength: float | None = None
    ) -> None:
        self.champion, self.contract = champion, champion.bundle.contract
        self.engine = open_log(f"sqlite:///{folder / 'log.db'}")
        self.tables = write_school(
            folder / "tables", STUDENTS, seed=77, years=(2026,), scenario=scenario, strength=strength
        )
        with self.engine.connect() as connection:
            create_tables(connection)

    def ask(self, days: Sequence[int]) -> None:
        """Ask for everyone who is there on some days, at noon."""
        with open_snapshots(str(self.tables), self.contract, tuple(days), labelled=False) as found:
            raw = pd.concat(found.read(), ignore_index=True)
        frame = parse(raw, self.contract, labelled=False)
        bundle = self.champion.bundle
        answers = bundle.answers(bundle.probabilities(matrix(frame, self.contract)))
        rows = [
            {
                "at": self.noon(record["as_of"]),
                "contract": self.contract.name,
                "via": "score",
                "prediction_id": uuid.uuid4().hex,
                "model_version": self.champion.version,
                "student": pseudonym(student),
                "record": record,
                **answer,
            }
            for student, record, answer in zip(
                raw["student_no"], to_records(frame, self.contract), answers, strict=True
            )
        ]
        with self.engine.connect() as connection:
            insert_missing(connection, predictions, rows)

    def grade(self) -> None:
        """Report everyone's grade once, after the last day."""
        students = pd.read_csv(self.tables / "students.csv")
        rows = [
            {
                "outcome_id": uuid.uuid4().hex,
                "at": self.noon(215),
                "contract": self.contract.name,
                "prediction_id": None,
                "student": pseudonym(student),
                "outcome": grade,
                "outcome_index": self.contract.target.labels.index(grade),
                "score": None,
            }
            for student, grade in zip(students["student_no"], students["final_grade"], strict=True)
        ]
        with self.engine.connect() as connection:
            insert_missing(connection, outcomes, rows)

    def noon(self, day: int) -> datetime:
        return FIRST + timedelta(days=int(day), hours=12)

    def window(self, first: int, last: int) -> Window:
        return Window(self.noon(first), self.noon(last))

    def log(self) -> Forecasts:
        return read_forecasts(self.engine, self.contract, self.noon(300))

    def watch(self, settings: Settings, first: int, last: int) -> Watched:
        client = open_registry(settings)
        return watch(self.engine, client, self.contract, self.champion, self.window(first, last))


@pytest.fixture(scope="module")
def year(dated_champion: Champion, tmp_path_factory: pytest.TempPathFactory) -> Year:
    """A year like those that the champion learned from, graded at its end."""
    made = Year(dated_champion, tmp_path_factory.mktemp("year"))
    made.ask(WEEKS)
    made.grade()
    return made


def test_one_grade_settles_every_forecast_of_the_student(year: Year) -> None:
    log = year.log()
    assert len(log) > STUDENTS * 20
    assert (log.classes(year.contract) >= 0).all()
    grades = pd.read_csv(year.tables / "students.csv").set_index("student_no")["final_grade"]
    known = {pseudonym(str(student)): grade for student, grade in grades.items()}
    assert (log.frame["final_grade"].astype(str) == log.frame["pseudonym"].map(known)).all()


def test_a_student_counts_once_for_each_checkpoint(year: Year) -> None:
    found = newest_by_checkpoint(year.log(), year.contract)
    near = nearest(found.frame["as_of"].to_numpy(dtype=float), DAYS)
    assert not pd.DataFrame({"who": found.frame["pseudonym"], "day": near}).duplicated().any()
    stays = found.frame["pseudonym"].value_counts()
    assert stays.max() == len(DAYS)
    assert set(found.frame["as_of"][near == 90]) >= {119}  # the newest that is nearer to 90 than to 150


def test_quality_is_told_for_each_checkpoint_with_as_many_students_as_rows(
    year: Year, settings: Settings
) -> None:
    watched = year.watch(settings, 210, 240)
    found = {(one.name, one.about): one for one in watched.measurements}
    losses = [found[f"{AT}realised_log_loss", str(day)] for day in DAYS]
    assert all(30 <= one.rows <= STUDENTS for one in losses)
    first, last = (one.value or 0.0 for one in (losses[0], losses[-1]))
    assert first > last + 0.05
    assert found["realised_log_loss", ""].rows <= STUDENTS
    assert [line[0] for line in checkpoint_lines(watched)] == [f"day {day}" for day in DAYS]
    assert f"| day 210 | {checkpoint_lines(watched)[-1][1]}" in monitor_markdown(watched, NOT_ASKED)


@pytest.mark.parametrize(("first", "last"), [(30, 50), (60, 78), (84, 92), (190, 211)])
def test_an_ordinary_year_raises_no_alarm_on_any_day(
    year: Year, settings: Settings, first: int, last: int
) -> None:
    judged = year.watch(settings, first, last).judgement
    assert (judged.verdict, judged.reasons) == (PASS, ())
    assert "as_of" not in {found.name for found in judged.findings}


def test_an_illness_in_the_middle_of_the_year_is_seen_on_the_day(
    dated_champion: Champion, settings: Settings, tmp_path: Path
) -> None:
    ill = Year(dated_champion, tmp_path, "illness-wave", 20)
    ill.ask([119, 175])
    before = ill.watch(settings, 119, 120).judgement
    after = ill.watch(settings, 175, 176).judgement
    assert before.verdict == PASS
    assert after.verdict == DRIFT
    assert any(reason.startswith("absences:") for reason in after.reasons)


def test_a_day_between_checkpoints_is_held_against_both_and_their_mixture(tmp_path: Path) -> None:
    sample = pd.DataFrame({"as_of": np.repeat(DAYS, 40), "quarantine": ""})
    days = np.array([75.0] * 10)

    def shares(reference: Reference) -> dict[Any, int]:
        return reference.sample["as_of"].value_counts().to_dict()

    contract = small_school(tmp_path)
    before, after, mixed = references(Reference(sample, 100), days, contract)
    assert (shares(before), shares(after)) == ({30: 40}, {90: 40})
    assert shares(mixed) == {90: 40, 30: 13}
    (exact,) = references(Reference(sample, 100), np.array([90.0, 90, 150]), contract)
    assert shares(exact) == {90: 40, 150: 20}
    (late,) = references(Reference(sample, 100), np.array([400.0]), contract)
    assert shares(late) == {210: 40}


def test_a_retraining_keeps_the_rows_of_a_student_together(
    year: Year, settings: Settings, tmp_path: Path
) -> None:
    log, window = year.log(), year.window(200, 240)
    found = write_retraining_set(log, window, year.champion, settings.home, limit=2_400)
    rows = pd.read_parquet(found.path)
    assert not rows.duplicated(["pseudonym", "as_of"]).any()
    own = rows["pseudonym"].isin(log.frame["pseudonym"])
    assert found.from_log == own.sum() > STUDENTS * 3
    assert rows["person"].str.fullmatch("[0-9a-f]{32}").all()
    few = pd.read_parquet(write_retraining_set(log, window, year.champion, tmp_path, limit=20).path)
    assert few["pseudonym"].nunique() == 20
    again = process_records(str(found.path), year.contract, settings)
    parsed = again.parsed(year.contract)
    assert (again.rows, again.clean, again.undeclared) == (len(rows), len(rows), ())
    assert len(parsed[["person", "split"]].drop_duplicates()) == parsed["person"].nunique()
    assert set(parsed["split"]) == {"train", "test"}
    assert set(parsed["person"]) == set(rows["person"])


def test_between_takes_its_ends_in_either_order() -> None:
    assert between(2, 1, 3)
    assert between(2, 3, 1)
    assert between(2, 2, 2)
    assert not between(4, 1, 3)
    assert not between(float("nan"), 1, 3)
