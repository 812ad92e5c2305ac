"""Batch score: a roster in, the same rows with their forecasts out, resumed where it stopped."""

import csv
import sqlite3
from pathlib import Path
from typing import Any

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
from flows.scoring import rosters
from flows.scoring.parts import Parts, PartScorer, ScoreTally, make_log
from flows.scoring.rosters import open_roster
from flows.scoring.sinks import check_sink, write_sink
from serving.scoring import added_columns

KEY = "a school's own key"
CHUNK = 40


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosters, "ROWS", CHUNK)


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.load(bundle_folder)


@pytest.fixture
def students() -> pd.DataFrame:
    frame = generate(100, seed=4).drop(columns=["GPA", "GradeClass"])
    return frame.assign(Note=[f"row {place}, quoted" for place in range(100)])


def scorer(bundle: Bundle, log: str | None = None) -> PartScorer:
    return PartScorer(bundle.folder, "7", KEY, log)


def score(
    uri: str, contract: Contract, bundle: Bundle, folder: Path, log: str | None = None
) -> tuple[ScoreTally, list[pa.Table]]:
    roster = open_roster(uri, contract)
    parts = Parts(roster, folder, scorer(bundle, log), Engine.local(), jobs=2)
    shown: list[tuple[int, int]] = []
    tables = list(parts.tables(lambda done, total, best_log_loss=None: shown.append((done, total))))
    total = max(roster.parts, len(tables))
    assert shown == [(done, total) for done in range(1, len(tables) + 1)]
    return parts.tally, tables


def rows_of(tables: list[pa.Table]) -> Any:
    return pd.concat([table.to_pandas() for table in tables], ignore_index=True)


def test_a_csv_comes_back_row_by_row_with_its_own_columns_untouched(
    students: pd.DataFrame, grade_class: Contract, bundle: Bundle, tmp_path: Path
) -> None:
    source, out = tmp_path / "class.csv", tmp_path / "out.csv"
    students.to_csv(source, index=False, sep=";", encoding="utf-8-sig")
    tally, tables = score(str(source), grade_class, bundle, tmp_path / "parts")
    assert tally == ScoreTally(rows=100, parts=3)
    roster = open_roster(str(source), grade_class)
    write_sink(str(out), iter(tables), roster.delimiter, bom=roster.bom)
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")
    with source.open(encoding="utf-8-sig") as before, out.open(encoding="utf-8-sig") as after:
        asked, answered = (list(csv.DictReader(file, delimiter=";")) for file in (before, after))
    assert [{name: row[name] for name in students} for row in answered] == asked
    assert list(answered[0]) == [*students, *added_columns(bundle.manifest.labels)]


def test_a_forecast_is_what_the_bundle_answers(
    students: pd.DataFrame, grade_class: Contract, bundle: Bundle, tmp_path: Path
) -> None:
    source = tmp_path / "class.parquet"
    students.to_parquet(source, index=False)
    _, tables = score(str(source), grade_class, bundle, tmp_path / "parts")
    rows = rows_of(tables)
    records = [bundle.record.validate_python(_asked(row, grade_class)) for row in rows.to_dict("records")]
    answers = bundle.answers(bundle.probabilities(bundle.matrix(records)))
    assert rows["grade_class"].tolist() == [answer["grade_class"] for answer in answers]
    assert rows["at_risk"].tolist() == pytest.approx([a["at_risk"] for a in answers], abs=1e-5)
    assert rows["grade_set"].str.split("|").tolist() == [answer["grade_set"] for answer in answers]
    assert rows["prediction_id"].is_unique


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
    column: str,
    cell: str,
    error: str,
    students: pd.DataFrame,
    grade_class: Contract,
    bundle: Bundle,
    tmp_path: Path,
) -> None:
    frame = students.astype(object)
    frame.loc[41, column] = cell
    frame.to_csv(tmp_path / "class.csv", index=False)
    tally, tables = score(str(tmp_path / "class.csv"), grade_class, bundle, tmp_path / "parts")
    rows = rows_of(tables)
    assert tally.errors == 1
    assert rows.loc[41, "error"].startswith(error.partition(" (")[0])
    assert pd.isna(rows.loc[41, "grade_class"])
    assert rows.drop(index=41)["grade_class"].notna().all()


def test_a_run_that_was_interrupted_goes_on_where_it_stopped_and_answers_the_same(
    students: pd.DataFrame, grade_class: Contract, bundle: Bundle, tmp_path: Path
) -> None:
    students.to_csv(tmp_path / "class.csv", index=False)
    log = a_log(tmp_path)
    roster = open_roster(str(tmp_path / "class.csv"), grade_class)
    parts = Parts(roster, tmp_path / "parts", scorer(bundle, log), Engine.local())
    stopped = parts.tables(lambda done, total, best_log_loss=None: None)
    next(stopped), next(stopped)
    stopped.close()
    first = parts_in(tmp_path)
    tally, _ = score(str(tmp_path / "class.csv"), grade_class, bundle, tmp_path / "parts", log)
    assert (tally.rows, tally.parts, tally.reused) == (100, 3, len(first))
    assert parts_in(tmp_path)[: len(first)] == first
    assert len(logged(log)) == 100


def a_log(folder: Path) -> str:
    url = f"sqlite:///{folder / 'log.db'}"
    make_log(url)
    return url


def logged(url: str) -> list[Any]:
    with open_log(url).connect() as connection:
        return list(connection.execute(sa.select(predictions)).mappings().all())


def parts_in(folder: Path) -> list[str]:
    return [path.name for path in sorted((folder / "parts").glob("*.arrow"))]


def test_rows_that_changed_since_the_interruption_are_scored_anew(
    students: pd.DataFrame, grade_class: Contract, bundle: Bundle, tmp_path: Path
) -> None:
    students.to_csv(tmp_path / "class.csv", index=False)
    score(str(tmp_path / "class.csv"), grade_class, bundle, tmp_path / "parts")
    students["Absences"] = students["Absences"].where(students.index != 50, 29 - students["Absences"])
    students.to_csv(tmp_path / "class.csv", index=False)
    tally, _ = score(str(tmp_path / "class.csv"), grade_class, bundle, tmp_path / "parts")
    assert (tally.parts, tally.reused) == (3, 2)
    assert len(parts_in(tmp_path)) == 3


def test_what_was_scored_is_in_the_log_without_ids(
    students: pd.DataFrame, grade_class: Contract, bundle: Bundle, tmp_path: Path
) -> None:
    students.to_csv(tmp_path / "class.csv", index=False)
    log = a_log(tmp_path)
    score(str(tmp_path / "class.csv"), grade_class, bundle, tmp_path / "parts", log)
    rows = logged(log)
    assert {(row["via"], row["model_version"], row["contract"]) for row in rows} == {
        ("score", "7", "grade_class")
    }
    assert grade_class.id is not None
    assert all(grade_class.id.name not in row["record"] for row in rows)
    assert len({row["student"] for row in rows}) == 100


def test_a_roster_without_the_columns_that_are_optional_is_scored_and_logged(
    students: pd.DataFrame, grade_class: Contract, bundle: Bundle, tmp_path: Path
) -> None:
    features = [column.name for column in grade_class.features]
    students[features].to_csv(tmp_path / "class.csv", index=False)
    log = a_log(tmp_path)
    tally, _ = score(str(tmp_path / "class.csv"), grade_class, bundle, tmp_path / "parts", log)
    assert tally == ScoreTally(rows=100, parts=3)
    assert [(set(row["record"]), row["student"]) for row in logged(log)] == 100 * [(set(features), None)]


def test_the_reasons_of_rows_with_errors_are_counted(
    students: pd.DataFrame, grade_class: Contract, bundle: Bundle, tmp_path: Path
) -> None:
    frame = students.astype(object)
    frame.loc[[1, 41, 42], "Absences"] = 99
    frame.loc[[41, 90], "Age"] = "old"
    frame.to_csv(tmp_path / "class.csv", index=False)
    found = {"Absences: out of range": 3, "Age: not a number": 2}
    for reused in (0, 3):
        tally, _ = score(str(tmp_path / "class.csv"), grade_class, bundle, tmp_path / "parts")
        assert (tally.errors, tally.reasons, tally.reused) == (4, found, reused)


def test_a_table_comes_back_as_a_new_table(
    students: pd.DataFrame, grade_class: Contract, bundle: Bundle, tmp_path: Path
) -> None:
    database = tmp_path / "school.db"
    with sqlite3.connect(database) as connection:
        students.to_sql("students", connection, index=False)
    connection.close()
    out = f"sqlite:///{database}?table=scored"
    _, tables = score(f"sqlite:///{database}?table=students", grade_class, bundle, tmp_path / "parts")
    check_sink(out)
    write_sink(out, iter(tables))
    engine = sa.create_engine(f"sqlite:///{database}")
    with engine.connect() as reading:
        scored = pd.read_sql("SELECT * FROM scored", reading)
    engine.dispose()
    pd.testing.assert_frame_equal(scored[list(students)], students, check_dtype=False)
    with pytest.raises(BadInput, match="the table is there already"):
        check_sink(out)


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


def test_a_missing_feature_column_is_an_error_of_the_file(
    students: pd.DataFrame, grade_class: Contract, tmp_path: Path
) -> None:
    students.drop(columns="Absences").to_csv(tmp_path / "class.csv", index=False)
    with pytest.raises(BadInput, match="missing column Absences"):
        open_roster(str(tmp_path / "class.csv"), grade_class)


def test_a_text_that_a_spreadsheet_would_run_is_neutralised_in_a_csv_alone(
    students: pd.DataFrame, grade_class: Contract, bundle: Bundle, tmp_path: Path
) -> None:
    noted = students.assign(Note="=HYPERLINK(1)")
    noted.to_csv(tmp_path / "class.csv", index=False)
    _, tables = score(str(tmp_path / "class.csv"), grade_class, bundle, tmp_path / "parts")
    write_sink(str(tmp_path / "out.csv"), iter(tables))
    write_sink(str(tmp_path / "out.parquet"), iter(tables))
    assert set(pd.read_csv(tmp_path / "out.csv")["Note"]) == {"'=HYPERLINK(1)"}
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert set(table["Note"].to_pylist()) == {"=HYPERLINK(1)"}


def _asked(row: dict[str, Any], contract: Contract) -> dict[str, Any]:
    return {column.name: row[column.name] for column in contract.asked}


def test_a_folder_and_a_query_in_an_order_are_rosters_too(
    students: pd.DataFrame, grade_class: Contract, tmp_path: Path
) -> None:
    folder, database = tmp_path / "year", tmp_path / "school.db"
    folder.mkdir()
    for name in ("a", "b"):
        students.to_csv(folder / f"{name}.csv", index=False)
    students.to_sql("students", sa.create_engine(f"sqlite:///{database}", poolclass=sa.NullPool), index=False)
    asked = f"sqlite:///{database}?query=SELECT * FROM students"
    several, ordered = open_roster(str(folder), grade_class), open_roster(f"{asked} ORDER BY 1", grade_class)
    assert sum(chunk.num_rows for chunk in several.chunks()) == 2 * len(students)
    assert sum(chunk.num_rows for chunk in ordered.chunks()) == ordered.rows == len(students)
    with pytest.raises(BadInput, match="it says no order"):
        open_roster(asked, grade_class)
