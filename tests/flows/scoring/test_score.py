"""Batch score: a roster in, the same rows with their forecasts out, resumed where it stopped."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy as sa

from data.bundle.bundle import Bundle
from data.cohorts.grades import generate
from data.contract.contract import Contract
from data.errors import BadInput
from data.log.database import open_log, predictions
from flows.runtime.engine import Engine
from flows.score import check_elapsed, check_part
from flows.scoring import rosters
from flows.scoring.parts import Parts, PartScorer, ScoreTally, make_log
from flows.scoring.rosters import open_roster
from flows.scoring.sinks import check_sink, write_sink
from serving.scoring import added_columns

KEY = "a school's own key"
CHUNK = 40
ROWS = 100


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosters, "ROWS", CHUNK)


@dataclass(frozen=True)
class Desk:
    """A bundle, a folder for what is scored by it, and a log."""

    bundle: Bundle
    folder: Path

    @property
    def contract(self) -> Contract:
        return self.bundle.contract

    @property
    def log(self) -> str:
        return f"sqlite:///{self.folder / 'log.db'}"

    def written(self, frame: pd.DataFrame, **options: Any) -> str:
        """Write a roster as a CSV, and return its path."""
        frame.to_csv(self.folder / "class.csv", index=False, **options)
        return str(self.folder / "class.csv")

    def parts(self, uri: str, *, logs: bool = False, jobs: int = 2, elapsed: float | None = None) -> Parts:
        scorer = PartScorer(self.bundle.folder, "7", KEY, self.log if logs else None, elapsed)
        roster = open_roster(uri, self.contract)
        return Parts(roster, self.folder / "parts", scorer, Engine.local(), jobs=jobs)

    def score(
        self, uri: str, *, logs: bool = False, elapsed: float | None = None
    ) -> tuple[ScoreTally, list[pa.Table]]:
        parts = self.parts(uri, logs=logs, elapsed=elapsed)
        shown: list[tuple[int, int]] = []
        tables = list(parts.tables(lambda done, total, best_log_loss=None: shown.append((done, total))))
        total = max(open_roster(uri, self.contract).parts, len(tables))
        assert shown == [(done, total) for done in range(1, len(tables) + 1)]
        return parts.tally, tables

    def logged(self) -> list[Any]:
        with open_log(self.log).connect() as connection:
            return list(connection.execute(sa.select(predictions)).mappings().all())

    def names(self) -> list[str]:
        """The parts that are there."""
        return [path.name for path in sorted((self.folder / "parts").glob("*.arrow"))]


@pytest.fixture
def desk(bundle_folder: Path, tmp_path: Path) -> Desk:
    made = Desk(Bundle.load(bundle_folder), tmp_path)
    make_log(made.log)
    return made


@pytest.fixture
def students() -> pd.DataFrame:
    frame = generate(ROWS, seed=4).drop(columns=["GPA", "GradeClass"])
    return frame.assign(Note=[f"row {place}, quoted" for place in range(ROWS)])


def rows_of(tables: list[pa.Table]) -> Any:
    return pd.concat([table.to_pandas() for table in tables], ignore_index=True)


def test_a_csv_comes_back_row_by_row_with_its_own_columns_untouched(
    students: pd.DataFrame, desk: Desk
) -> None:
    source, out = desk.written(students, sep=";", encoding="utf-8-sig"), desk.folder / "out.csv"
    tally, tables = desk.score(source)
    assert tally == ScoreTally(rows=ROWS, parts=3)
    roster = open_roster(source, desk.contract)
    write_sink(str(out), iter(tables), roster.delimiter, bom=roster.bom)
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")
    with Path(source).open(encoding="utf-8-sig") as before, out.open(encoding="utf-8-sig") as after:
        asked, answered = (list(csv.DictReader(file, delimiter=";")) for file in (before, after))
    assert [{name: row[name] for name in students} for row in answered] == asked
    assert list(answered[0]) == [*students, *added_columns(desk.bundle.manifest.labels)]


def test_a_forecast_is_what_the_bundle_answers_and_is_logged_without_its_id(
    students: pd.DataFrame, desk: Desk
) -> None:
    students.to_parquet(desk.folder / "class.parquet", index=False)
    rows = rows_of(desk.score(str(desk.folder / "class.parquet"), logs=True)[1])
    asked = [{column.name: row[column.name] for column in desk.contract.asked} for row in _dicts(rows)]
    records = [desk.bundle.record.validate_python(record) for record in asked]
    answers = desk.bundle.answers(desk.bundle.probabilities(desk.bundle.matrix(records)))
    assert rows["grade_class"].tolist() == [answer["grade_class"] for answer in answers]
    assert rows["at_risk"].tolist() == pytest.approx([a["at_risk"] for a in answers], abs=1e-5)
    assert rows["grade_set"].str.split("|").tolist() == [answer["grade_set"] for answer in answers]
    assert rows["prediction_id"].is_unique
    logged = desk.logged()
    kinds = {(row["via"], row["model_version"], row["contract"]) for row in logged}
    assert kinds == {("score", "7", "grade_class")}
    assert all("StudentID" not in row["record"] for row in logged)
    assert len({row["student"] for row in logged}) == ROWS


def _dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


@pytest.mark.parametrize(
    ("column", "cell", "error"),
    [
        ("Absences", "many", "Absences: not a number"),
        ("Absences", "", "Absences: missing"),
        ("Absences", "99", "Absences: out of range"),
        ("Absences", "2.5", "Absences: not a whole number"),
        ("Age", "inf", "Age: not finite"),
        ("ParentalSupport", "enormous", "ParentalSupport: unknown code"),
        ("Gender", "9", "Gender: unknown code"),
        ("StudentID", "x1", "StudentID: not a whole number"),
    ],
)
def test_a_row_that_breaks_the_contract_has_its_error_and_the_others_are_scored(
    column: str, cell: str, error: str, students: pd.DataFrame, desk: Desk
) -> None:
    frame = students.astype(object)
    frame.loc[41, column] = cell
    tally, tables = desk.score(desk.written(frame))
    rows = rows_of(tables)
    assert tally.errors == 1
    assert rows.loc[41, "error"].startswith(error.partition(" (")[0])
    assert pd.isna(rows.loc[41, "grade_class"])
    assert rows.drop(index=41)["grade_class"].notna().all()


def test_a_run_that_was_interrupted_goes_on_where_it_stopped_and_answers_the_same(
    students: pd.DataFrame, desk: Desk
) -> None:
    source = desk.written(students)
    stopped = desk.parts(source, logs=True, jobs=1).tables(lambda done, total, best_log_loss=None: None)
    next(stopped), next(stopped)
    stopped.close()
    first = desk.names()
    tally, _ = desk.score(source, logs=True)
    assert (tally.rows, tally.parts, tally.reused) == (ROWS, 3, len(first))
    assert desk.names()[: len(first)] == first
    assert len(desk.logged()) == ROWS


def test_rows_that_changed_since_the_interruption_are_scored_anew(students: pd.DataFrame, desk: Desk) -> None:
    desk.score(desk.written(students))
    students["Absences"] = students["Absences"].where(students.index != 50, 29 - students["Absences"])
    tally, _ = desk.score(desk.written(students))
    assert (tally.parts, tally.reused) == (3, 2)
    assert len(desk.names()) == 3


def test_a_roster_without_the_columns_that_are_optional_is_scored_and_logged(
    students: pd.DataFrame, desk: Desk
) -> None:
    features = [column.name for column in desk.contract.features]
    tally, _ = desk.score(desk.written(students[features]), logs=True)
    assert tally == ScoreTally(rows=ROWS, parts=3)
    logged = [(set(row["record"]), row["student"]) for row in desk.logged()]
    assert logged == ROWS * [(set(features), None)]


def test_the_reasons_of_rows_with_errors_are_counted(students: pd.DataFrame, desk: Desk) -> None:
    frame = students.astype(object)
    frame.loc[[1, 41, 42], "Absences"] = 99
    frame.loc[[41, 90], "Age"] = "old"
    found = {"Absences: out of range": 3, "Age: not a number": 2}
    for reused in (0, 3):
        tally, _ = desk.score(desk.written(frame))
        assert (tally.errors, tally.reasons, tally.reused) == (4, found, reused)


def test_a_table_comes_back_as_a_new_table_and_a_query_needs_an_order(
    students: pd.DataFrame, desk: Desk
) -> None:
    database = f"sqlite:///{desk.folder / 'school.db'}"
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    students.to_sql("students", engine, index=False)
    _, tables = desk.score(f"{database}?table=students")
    check_sink(f"{database}?table=scored")
    write_sink(f"{database}?table=scored", iter(tables))
    with engine.connect() as reading:
        scored = pd.read_sql("SELECT * FROM scored", reading)
    pd.testing.assert_frame_equal(scored[list(students)], students, check_dtype=False)
    with pytest.raises(BadInput, match="the table is there already"):
        check_sink(f"{database}?table=scored")
    asked = f"{database}?query=SELECT * FROM students"
    ordered = open_roster(f"{asked} ORDER BY 1", desk.contract)
    assert sum(chunk.num_rows for chunk in ordered.chunks()) == ordered.rows == ROWS
    with pytest.raises(BadInput, match="it says no order"):
        open_roster(asked, desk.contract)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("cohort://100", "a generated cohort is no roster"),
        ("http://[", "nothing here reads http://"),
        (5_000 * "a", "it cannot be looked for: File name too long"),
        ("sqlite:////etc/passwd?table=x", "file is not a database"),
        ("s3://", "it names no bucket"),
        ("nowhere.csv", "there is no such file"),
        ("sqlite:////nowhere/at/all.db?table=x", "there is no such database"),
        ("sqlite:///file.db", "names no table"),
        ("postgresql://teacher:secret@127.0.0.1:1/school?table=x", "does not answer"),
        ("postgresql://127.0.0.1:1/school?table=x&password=secret", "does not answer"),
    ],
)
def test_a_roster_that_cannot_be_read_is_named_with_a_remedy_and_without_passwords(
    uri: str, says: str, grade_class: Contract
) -> None:
    with pytest.raises(BadInput, match=says) as error:
        open_roster(uri, grade_class)
    assert "secret" not in str(error.value)
    if uri.startswith("postgresql"):
        with pytest.raises(BadInput, match=says) as error:
            check_sink(uri)
        assert "secret" not in str(error.value)


def test_a_missing_feature_column_is_an_error_of_the_file(students: pd.DataFrame, desk: Desk) -> None:
    with pytest.raises(BadInput, match="missing column Absences"):
        open_roster(desk.written(students.drop(columns="Absences")), desk.contract)


def test_a_text_that_a_spreadsheet_would_run_is_neutralised_in_a_csv_alone(
    students: pd.DataFrame, desk: Desk
) -> None:
    _, tables = desk.score(desk.written(students.assign(Note="=HYPERLINK(1)")))
    write_sink(str(desk.folder / "out.csv"), iter(tables))
    write_sink(str(desk.folder / "out.parquet"), iter(tables))
    assert set(pd.read_csv(desk.folder / "out.csv")["Note"]) == {"'=HYPERLINK(1)"}
    table = pyarrow.parquet.read_table(desk.folder / "out.parquet")
    assert set(table["Note"].to_pylist()) == {"=HYPERLINK(1)"}


def test_the_files_of_a_folder_are_one_roster(students: pd.DataFrame, desk: Desk) -> None:
    folder = desk.folder / "year"
    folder.mkdir()
    for name in ("a", "b"):
        students.to_csv(folder / f"{name}.csv", index=False)
    several = open_roster(str(folder), desk.contract)
    assert sum(chunk.num_rows for chunk in several.chunks()) == 2 * ROWS


def test_a_roster_part_of_the_way_through_is_answered_and_logged_like_records(
    students: pd.DataFrame, desk: Desk
) -> None:
    said = students.assign(elapsed=[0.25, np.nan, 1.0, 0.9] * (ROWS // 4))
    rows = rows_of(desk.score(desk.written(said), logs=True, elapsed=0.5)[1])
    names = [column.name for column in desk.contract.asked]
    records = [
        desk.bundle.record.validate_python({name: row[name] for name in names}) for row in _dicts(students)
    ]
    for record, elapsed in zip(records, [0.25, 0.5, 1.0, 0.9] * (ROWS // 4), strict=True):
        record["elapsed"] = elapsed
    passed = desk.bundle.elapsed(records)
    answers = desk.bundle.answers(desk.bundle.probabilities(desk.bundle.matrix(records), passed), passed)
    assert rows["at_risk"].tolist() == pytest.approx([a["at_risk"] for a in answers], abs=1e-5)
    assert rows["grade_set"].str.split("|").tolist() == [answer["grade_set"] for answer in answers]
    logged = {row["prediction_id"]: row["record"].get("elapsed") for row in desk.logged()}
    assert [logged[name] for name in rows["prediction_id"]] == [0.25, 0.5, None, 0.9] * (ROWS // 4)


def test_a_bad_part_of_the_period_is_the_error_of_its_row(students: pd.DataFrame, desk: Desk) -> None:
    said = students.astype(object).assign(elapsed=["0", "half", "1.5", "-1", ""] * (ROWS // 5))
    tally, tables = desk.score(desk.written(said))
    wrong = "elapsed: out of range"
    assert rows_of(tables)["error"].tolist()[:5] == [wrong, "elapsed: not a number", wrong, wrong, ""]
    assert tally.errors == ROWS * 4 // 5


def test_a_part_that_cannot_have_passed_and_a_model_that_cannot_be_told_are_refused(
    students: pd.DataFrame, desk: Desk
) -> None:
    roster = open_roster(desk.written(students.assign(elapsed=0.5)), desk.contract)
    for part in (0.0, -0.5, 1.5, float("nan")):
        with pytest.raises(BadInput, match="no part of the period"):
            check_part(part)
    check_elapsed(0.5, roster, desk.bundle)
    earlier = Bundle.load(desk.bundle.folder)
    earlier.foresees, earlier.no_elapsed = False, "this model was registered by an earlier release"
    plain = {n: c.model_copy(update={"accumulates": False}) for n, c in desk.contract.columns.items()}
    earlier.contract = desk.contract.model_copy(update={"columns": plain})
    for said in (0.5, None):
        with pytest.raises(BadInput, match="registered by an earlier release"):
            check_elapsed(said, roster, earlier)
