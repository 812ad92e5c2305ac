"""What a spreadsheet would run is one rule, whatever carries the cells."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.rows.spreadsheets import neutralised, neutralised_column, split_header
from flows.process import process_records
from flows.processing.processed import QUARANTINE
from flows.scoring.sinks import write_sink
from flows.settings import Settings
from serving.sheet import Sheet

RUN = [
    "=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "=\n1", "\x00=1+1", "\x00\x00 =1",
    "＝1+1", "\N{FULLWIDTH PLUS SIGN}A1", "\N{FULLWIDTH HYPHEN-MINUS}A1", "＠A1", "\ufeff=1", "\u200b=1",
    "\N{IDEOGRAPHIC SPACE}＝1", "\xa0=1", "\x1b=1", "-", "--1", "-\N{ARABIC-INDIC DIGIT ONE}", "-3.5%",
    "+49 30 123", "-.", "+,", "-1.2.3", "-1,000,000",
]  # fmt: skip
PLAIN = [
    "-1",
    "+1.5",
    "-.5",
    "-1,5",
    "-1e-3",
    " -3.5",
    "\x00-3.5",
    "a=b",
    "",
    " ",
    "\x00",
    "'=1",
    "ü",
    "=".join("ab"),
]
CELLS = st.text(alphabet="=+-@＝＠ \t\x00\ufeff\u200b1.,e%aü\n\"'", max_size=6)


def doors(cells: list[str]) -> dict[str, list[str]]:
    """The same cells as each carrier writes them."""
    sheet = Sheet(io.BytesIO(b"a,b"))
    return {
        "one at a time": list(map(neutralised, cells)),
        "a column": neutralised_column(pa.chunked_array([pa.array(cells, pa.string())])).to_pylist(),
        "a sheet": [
            next(csv.reader(io.StringIO(sheet.joined([["x", cell]])[0], newline="")))[1] for cell in cells
        ],
    }


@pytest.mark.parametrize("cell", RUN)
def test_what_would_be_run_begins_with_an_apostrophe(cell: str) -> None:
    assert doors([cell]) == {door: [f"'{cell}"] for door in doors([])}


@pytest.mark.parametrize("cell", PLAIN)
def test_numbers_and_plain_texts_are_left_as_they_are(cell: str) -> None:
    assert doors([cell]) == {door: [cell] for door in doors([])}


@given(st.lists(CELLS, min_size=1, max_size=8))
def test_every_carrier_has_the_same_verdict_and_none_a_second_opinion(cells: list[str]) -> None:
    one, column, sheet = doors(cells).values()
    assert one == column == sheet
    assert list(map(neutralised, one)) == one, "what was neutralised is plain"


def test_a_wide_row_of_empty_cells_is_looked_at_once() -> None:
    sheet = Sheet(io.BytesIO(b"a,b"))
    (line,) = sheet.joined([[""] * 200_000])
    assert line == "," * 199_999


def test_names_of_columns_are_neutralised_as_cells_are(tmp_path: Path) -> None:
    table = pa.table({"=1+1": ["x"], "plain": ["＝2"]})
    write_sink(str(tmp_path / "out.csv"), iter([table]))
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines() == ["'=1+1,plain", "x,'＝2"]


def test_the_rows_set_aside_can_be_opened_in_a_spreadsheet(
    tmp_path: Path, settings: Settings, grade_class: Contract
) -> None:
    frame = cohort.generate(60, seed=9).astype({"StudentID": object, "Ethnicity": object})
    frame.loc[3, "Absences"], frame.loc[4, "Ethnicity"], frame.loc[5, "GPA"] = 99, "\x00=cmd()", -3.5
    frame.loc[6, "StudentID"] = "=HYPERLINK(1)"
    frame.to_csv(tmp_path / "students.csv", index=False)

    done = process_records(str(tmp_path / "students.csv"), grade_class, settings)

    with (done.folder / QUARANTINE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["5", "6", "7", "8"]
    assert (float(rows[0]["Absences"]), rows[2]["GPA"]) == (99, "-3.5")
    assert (rows[1]["Ethnicity"], rows[3]["StudentID"]) == ("'\x00=cmd()", "'=HYPERLINK(1)")


@pytest.mark.parametrize(
    ("line", "names", "delimiter"),
    [
        ("a,b", ["a", "b"], ","),
        ("a; b ;c,d", ["a", "b", "c,d"], ";"),
        ("a\tb", ["a", "b"], "\t"),
        ('"a,b,c,d";e', ["a,b,c,d", "e"], ";"),
        ("a", ["a"], ","),
        ("x" * 200_000 + ";b", ["x" * 200_000, "b"], ";"),
    ],
    ids=str,
)
def test_the_delimiter_is_what_parts_most_names(line: str, names: list[str], delimiter: str) -> None:
    assert split_header(line) == (names, delimiter)
