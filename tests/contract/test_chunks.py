"""Records read in chunks are the records that are read whole, from every kind of source."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.frames import parse
from data.rows.spreadsheets import FIRST_ROW
from data.sources.reading import ChunkedRecords, open_chunks
from tests.contract.files import read_records
from tests.contract.tiny import students

ROWS = students(7, Student=[str(n) for n in range(1, 8)], Sleep=[7.5, None, 8, 9.1, 6, None, 7])


def parsed(chunks: ChunkedRecords, contract: Contract) -> pd.DataFrame:
    """Parse each chunk, and append them as text, for chunks know different codes."""
    frames = [parse(frame, contract, file=chunks.uri) for frame in chunks.read()]
    return pd.concat([frame.astype(str) for frame in frames], ignore_index=True)


def write_csv(folder: Path) -> str:
    """The students as a CSV."""
    ROWS.to_csv(folder / "rows.csv", index=False)
    return str(folder / "rows.csv")


def write_parquet(folder: Path) -> str:
    """The students as Parquet, in row groups of two."""
    ROWS.to_parquet(folder / "rows.parquet", index=False, row_group_size=2)
    return str(folder / "rows.parquet")


def write_folder(folder: Path) -> str:
    """The students in two files."""
    ROWS.head(3).to_csv(folder / "a.csv", index=False)
    ROWS.tail(4).to_csv(folder / "b.csv", index=False)
    return str(folder)


def write_table(folder: Path) -> str:
    """The students as a database's table."""
    with sqlite3.connect(folder / "school.db") as connection:
        ROWS.to_sql("students", connection, index=False)
    connection.close()
    return f"sqlite:///{folder}/school.db?table=students"


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_folder, write_table])
@pytest.mark.parametrize("rows", [2, 3, 50])
def test_chunks_hold_what_the_whole_holds_under_the_same_digest(
    tmp_path: Path, tiny: Contract, write: Callable[[Path], str], rows: int
) -> None:
    uri = write(tmp_path)
    whole = read_records(uri, tiny)
    with open_chunks(uri, tiny, rows) as chunks:
        assert chunks.sha256 == whole.sha256
        for _ in range(2):
            frame = parsed(chunks, tiny)
            pd.testing.assert_frame_equal(frame, parse(whole.frame, tiny).astype(str))


def test_many_rows_of_a_table_come_in_several_chunks_and_are_read_again(
    tmp_path: Path, tiny: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.sources.databases.ROWS", 3)
    with open_chunks(write_table(tmp_path), tiny) as chunks:
        assert [len(frame) for frame in chunks.read()] == [3, 3, 1]
        assert len(parsed(chunks, tiny)) == 7


def test_a_table_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, tiny: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.sources.databases.ROWS", 3)
    uri = write_table(tmp_path)
    with open_chunks(uri, tiny) as chunks:
        with sqlite3.connect(tmp_path / "school.db") as connection:
            connection.execute("UPDATE students SET Days = 30 WHERE Student = '2'")
        connection.close()
        with pytest.raises(BadInput, match="its rows changed while they were read"):
            list(chunks.read())


def test_a_row_is_told_as_the_whole_source_counts_it(tmp_path: Path, tiny: Contract) -> None:
    ROWS.astype({"Hours": object}).assign(Hours=[1, 2, 3, 4, 5, "six", 7]).to_csv(tmp_path / "rows.csv")
    with open_chunks(str(tmp_path / "rows.csv"), tiny, 2) as chunks:
        frames = list(chunks.read())
        with pytest.raises(BadInput, match="row 7, column Hours: 'six' is not a number"):
            parse(frames[2], tiny, file=chunks.uri, first_row=FIRST_ROW + 4)


def test_a_pseudonym_that_is_none_is_told_with_the_row_of_its_file(tmp_path: Path, tiny: Contract) -> None:
    names = [f"{n:032x}" for n in range(6)]
    frame = ROWS.drop(columns=["Student", "Group"]).assign(pseudonym=[*names, "Anna"])
    frame.to_parquet(tmp_path / "rows.parquet", index=False)
    with open_chunks(str(tmp_path / "rows.parquet"), tiny, 2) as chunks:
        assert chunks.pseudonymous
        with pytest.raises(BadInput, match="row 8, column pseudonym: this is no pseudonym"):
            list(chunks.read())


def test_files_with_and_without_pseudonyms_are_not_one_source(tmp_path: Path, tiny: Contract) -> None:
    names = [f"{n:032x}" for n in range(7)]
    ROWS.to_parquet(tmp_path / "a.parquet", index=False)
    ROWS.assign(pseudonym=names).to_parquet(tmp_path / "b.parquet", index=False)
    with (
        pytest.raises(BadInput, match="some files have the column pseudonym, some do not"),
        open_chunks(str(tmp_path), tiny),
    ):
        pass


def test_a_generated_cohort_comes_in_chunks_with_its_plan(grade_class: Contract) -> None:
    with open_chunks("cohort://25?seed=3", grade_class, 10) as chunks:
        assert [len(frame) for frame in chunks.read()] == [10, 10, 5]
        assert chunks.generated is not None
        assert chunks.sha256 == read_records("cohort://25?seed=3", grade_class).sha256
