"""Dated tables are read wherever they are, whatever wrote them; what is wrong with their place is said."""

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from data.errors import BadInput
from data.snapshots.snapshots import open_records
from tests.contract.dated_world import DATES, as_dates, bad_records, snapshots, some_tables, world, written
from tests.contract.postgres import Postgres
from tests.contract.stores import running_store
from tests.contract.test_snapshots import assert_known


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return snapshots(written(some_tables(), tmp_path_factory.mktemp("known")), world())


def test_tables_of_parquet_and_of_csv_say_the_same(known: pd.DataFrame, tmp_path: Path) -> None:
    for name, table in some_tables().items():
        table.to_parquet(tmp_path / f"{name}.parquet")
    found = snapshots(str(tmp_path), world())
    assert_known(found, some_tables())
    assert found["who"].tolist() == known["who"].tolist()


def test_tables_in_a_zip_say_the_same(known: pd.DataFrame, tmp_path: Path) -> None:
    folder = written(some_tables(), tmp_path / "tables")
    packed = shutil.make_archive(str(tmp_path / "school"), "zip", tmp_path, Path(folder).name)
    pd.testing.assert_frame_equal(snapshots(packed, world()), known)


def test_tables_and_queries_of_a_database_say_the_same(known: pd.DataFrame, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "school.db") as connection:
        for name, table in some_tables().items():
            table.to_sql(name, connection, index=False)
    connection.close()
    uri = f"sqlite:///{tmp_path / 'school.db'}"
    pd.testing.assert_frame_equal(snapshots(uri, world()), known)
    asked = world(**{"{from: work,": "{from: select * from work where known + 1 > 0 and '%a&b' <> '',"})
    pd.testing.assert_frame_equal(snapshots(uri, asked), known)
    with pytest.raises(BadInput, match=r"there is no such table. There are: students, tasks, work"):
        snapshots(uri, world(**{"{from: work,": "{from: wrok,"}))


@pytest.mark.slow
def test_tables_of_postgresql_say_the_same(known: pd.DataFrame, server: Postgres) -> None:
    engine = sa.create_engine(server.url)
    for name, table in some_tables().items():
        table.to_sql(name, engine, index=False, if_exists="replace")
    engine.dispose()
    uri = server.url.replace("postgresql+psycopg", "postgresql")
    pd.testing.assert_frame_equal(snapshots(uri, world()), known)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    objects = {
        f"year/{name}.csv": table.to_csv(index=False).encode() for name, table in some_tables().items()
    }
    with running_store(monkeypatch, "tables", objects):
        yield "s3://tables/year/"


def test_tables_of_an_object_store_say_the_same(bucket: str, known: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(snapshots(bucket, world()), known)


WRITTEN = {
    "semicolons and CRLF": lambda text: text.replace(",", ";").replace("\n", "\r\n"),
    "tabs": lambda text: text.replace(",", "\t"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "empty lines before and after": lambda text: "\n\n" + text + "\n\n",
    "quotes and spaces": lambda text: "\n".join(
        ",".join(f'" {cell} "' for cell in line.split(",")) for line in text.strip().splitlines()
    ),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_whatever_wrote_a_csv_it_says_the_same(how: str, known: pd.DataFrame, tmp_path: Path) -> None:
    written(some_tables(), tmp_path)
    text = some_tables()["work"].to_csv(index=False)
    (tmp_path / "work.csv").write_bytes(WRITTEN[how](text).encode())
    pd.testing.assert_frame_equal(snapshots(str(tmp_path), world()), known)


def test_a_quoted_cell_may_hold_lines_separators_and_braces(known: pd.DataFrame, tmp_path: Path) -> None:
    work = some_tables()["work"].assign(note='a "word",\nand {another}; \t')
    uri = written({**some_tables(), "work": work}, tmp_path)
    pd.testing.assert_frame_equal(snapshots(uri, world()), known)


def test_a_table_with_a_header_alone_has_no_records_yet(tmp_path: Path) -> None:
    tables = some_tables()
    tables["work"] = tables["work"].head(0)
    found = snapshots(written(tables, tmp_path), world())
    assert found["pieces"].tolist() == [0] * len(found)
    assert found["mean"].isna().all()
    assert found["so_far"].sum() > 0


def test_a_row_that_does_not_fit_its_header_is_said_with_its_number(tmp_path: Path) -> None:
    written(some_tables(), tmp_path)
    with (tmp_path / "work.csv").open("a") as file:
        file.write("x,1\n")
    with pytest.raises(BadInput, match=r"work.csv, row 6: the header has 6 cells, this row 2"):
        snapshots(str(tmp_path), world())


def test_a_table_or_a_column_that_is_not_there_is_said_with_what_is(tmp_path: Path) -> None:
    tables = some_tables()
    uri = written({**tables, "work": tables["work"].drop(columns="mark")}, tmp_path)
    with pytest.raises(BadInput, match=r"work.csv: missing column mark. The contract world asks for it"):
        snapshots(uri, world())
    (tmp_path / "tasks.csv").unlink()
    with pytest.raises(BadInput, match=r"there is no tasks. The contract wants it as the table tasks"):
        snapshots(uri, world())
    with pytest.raises(BadInput, match="there is no such folder or file"):
        snapshots(str(tmp_path / "nowhere"), world())


def test_a_zip_that_is_damaged_is_said(tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "a"), "zip", written(some_tables(), tmp_path / "t")))
    content = bytearray(packed.read_bytes())
    content[60:90] = b"\xff" * 30
    packed.write_bytes(content)
    with pytest.raises(BadInput, match="it cannot be unpacked"):
        snapshots(str(packed), world())


def test_a_file_of_snapshots_that_somebody_made_is_read_as_it_is(known: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    known.to_csv(path, index=False)
    with open_records(str(path), world()) as records:
        again = pd.concat(records.read())
    assert len(again) == len(known)
    assert records.set_aside is None
    assert again["pieces"].tolist() == known["pieces"].tolist()


def test_tables_of_a_german_export_make_the_same_snapshots(tmp_path: Path) -> None:
    plain = as_dates(some_tables(), [date(2025, 9, 15), date(2025, 9, 22)])
    days, numbers = ("came", "left", "began", "due", "done", "known"), ("hours", "mark")
    german = {}
    for name, frame in plain.items():
        german[name] = frame.astype(object)
        for column in frame.columns.intersection([*days]):
            written_out = pd.to_datetime(frame[column]).dt.strftime("%d.%m.%Y")
            german[name][column] = written_out.where(frame[column].notna(), "k. A.")
        for column in frame.columns.intersection([*numbers]):
            german[name][column] = frame[column].map(lambda v: f"{v:g}".replace(".", ","), na_action="ignore")
    folder = tmp_path / "german"
    folder.mkdir()
    for name, frame in german.items():
        (folder / f"{name}.csv").write_bytes(frame.to_csv(index=False, sep=";").encode("cp1252"))
    contract = world(DATES)
    wanted = snapshots(written(plain, tmp_path / "plain"), contract)
    found = snapshots(str(folder), contract)
    pd.testing.assert_frame_equal(found.astype({"hours": float}), wanted.astype({"hours": float}))
    assert bad_records(str(folder), contract) == []
    with open_records(str(folder), contract) as records:
        said = "\n".join(records.assumed)
    assert "students.csv: column hours: numbers are written with a decimal comma; '2,5' is 2.5" in said
    assert "work.csv: column known: dates are written day first; '20.09.2025' is 2025-09-20" in said
    assert said.count("tasks.csv") == 1  # which is two tables of the contract


def test_a_day_of_a_dated_table_that_could_be_two_is_asked_about(tmp_path: Path) -> None:
    tables = as_dates(some_tables(), [date(2025, 9, 1), date(2025, 9, 1)])
    tables["work"] = tables["work"].assign(known=["01/09/2025", "02/09/2025", "03/09/2025", "04/09/2025"])
    with pytest.raises(BadInput, match=r"column known: '01/09/2025' could be 2025-09-01 or 2025-01-09"):
        snapshots(written(tables, tmp_path), world(DATES))
