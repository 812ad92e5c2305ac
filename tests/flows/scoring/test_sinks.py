"""What a CSV must quote, and what a spreadsheet would run."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest

from flows.scoring.sinks import has_byte, has_first_byte, write_sink


def written(table: pa.Table, folder: Path) -> list[dict[str, str]]:
    write_sink(str(folder / "out.csv"), iter([table]))
    return list(csv.DictReader(io.StringIO((folder / "out.csv").read_text(encoding="utf-8"), newline="")))


@pytest.mark.parametrize("cell", ['say "no"', "one, two", "two\nlines", "plain", "", "ü"])
def test_a_text_comes_back_as_it_was_whatever_is_in_it(cell: str, tmp_path: Path) -> None:
    table = pa.table({"Note": ["first", cell, None], "Row": [1, 2, 3]})
    assert written(table, tmp_path)[1]["Note"] == cell


@pytest.mark.parametrize("cell", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", " =1"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_text_that_would_be_run_is_not_run_in_any_kind_of_column(
    cell: str, kind: pa.DataType, tmp_path: Path
) -> None:
    table = pa.table({"Note": pa.array(["plain", cell], pa.string()).cast(kind)})
    assert written(table, tmp_path)[1]["Note"] == f"'{cell}"


@pytest.mark.parametrize("cell", ["-1", "+2.5", "-.5e3", " -1"])
def test_a_number_stays_a_number(cell: str, tmp_path: Path) -> None:
    assert written(pa.table({"Note": ["1", cell]}), tmp_path)[1]["Note"] == cell


def test_a_slice_is_looked_at_without_its_neighbours() -> None:
    column = pa.chunked_array([pa.array(["=1", "plain", "", None, "a,b"])])
    assert has_byte(column, b",")
    assert has_first_byte(column, b"=")
    assert not has_byte(column.slice(1, 3), b",=")
    assert not has_first_byte(column.slice(1), b"=")
