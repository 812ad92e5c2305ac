"""A table is found in whatever file it comes, what was assumed is told, and a hostile file is refused."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from data.sources.tables import Copies, Table, TableError, open_table, rows_below
from data.sources.workbooks import WorkbookLimits
from tests.contract.workbooks import write_ods, write_xlsx

ROWS: list[list[Any]] = [
    ["Name", "Hours", "Day", "Share", "Member"],
    ["Zoë", 1.5, date(2025, 12, 31), ("%", 0.85), True],
    ["Ann", 3200, date(2024, 1, 2), ("%", 0.07), False],
    ["Bob", ("=", "A1+1", 0.1 + 0.2), None, None, "#N/A"],
]
COUNTED = "rows are counted from the header, as row 1"
TEXTS = [
    ["Zoë", "1.5", "2025-12-31", "85 %", "TRUE"],
    ["Ann", "3200", "2024-01-02", "7 %", "FALSE"],
    ["Bob", "0.3", "", "", "#N/A"],
]


@pytest.fixture
def copies() -> Iterator[Copies]:
    with ExitStack() as held:
        yield Copies(held)


def opened(content: bytes, copies: Copies, sheet: str = "", limits: WorkbookLimits | None = None) -> Table:
    return open_table(io.BytesIO(content), copies, sheet, limits)


@pytest.mark.parametrize("write", [write_xlsx, write_ods])
def test_a_sheet_is_read_as_it_is_shown(tmp_path: Path, copies: Copies, write) -> None:
    book = write(tmp_path / "book", {"Cover": [["Our school"]], "Class 7b": [["Marks"], [], *ROWS]})
    table = opened(book.read_bytes(), copies)
    assert table.names == ROWS[0]
    assert list(rows_below(table)) == TEXTS
    assert table.notes == [
        "the sheet 'Class 7b' of the workbook was read",
        f"1 line above the header is left out, the first is 'Marks'; {COUNTED}",
    ]


def test_of_several_sheets_one_is_asked_for_and_named(tmp_path: Path, copies: Copies) -> None:
    book = write_xlsx(tmp_path / "book.xlsx", {"7b": ROWS, "8a": ROWS[:3]}).read_bytes()
    with pytest.raises(TableError, match="2 of its sheets have a table") as asked:
        opened(book, copies)
    assert asked.value.remedy == "Name one, FILE#SHEET in a command: 7b, 8a."
    assert list(rows_below(opened(book, copies, "8a"))) == TEXTS[:2]
    with pytest.raises(TableError, match="there is no sheet '9'"):
        opened(book, copies, "9")


def corner(tmp_path: Path) -> bytes:
    """A workbook of two kilobytes with a cell in its last corner."""
    path = write_xlsx(tmp_path / "book.xlsx", {"7b": ROWS})
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    last = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    parts["xl/worksheets/sheet1.xml"] = sheet.replace(b"</sheetData>", last)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return path.read_bytes()


def test_a_cell_in_the_last_corner_takes_no_memory_of_ours(tmp_path: Path, copies: Copies) -> None:
    with pytest.raises(TableError, match="it takes more memory or time than a table needs"):
        opened(corner(tmp_path), copies)


def test_a_workbook_that_unpacks_to_too_much_is_refused_before(tmp_path: Path, copies: Copies) -> None:
    path = tmp_path / "book.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * 5_000_000)
    assert path.stat().st_size < 10_000
    with pytest.raises(TableError, match="unpacked it would be 5 MB"):
        opened(path.read_bytes(), copies, limits=WorkbookLimits(unpacked=1_000_000))
    with pytest.raises(TableError, match="it cannot be read as a workbook"):
        opened(path.read_bytes(), copies)


TEXT = "Name;Hours\nZoë;1,5\nAnn;2\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (TEXT.encode(), None),
        (TEXT.encode("utf-8-sig"), None),
        (TEXT.encode("utf-16"), "it was read as UTF-16"),
        (TEXT.encode("utf-16-le"), "it was read as UTF-16-LE"),
        (
            TEXT.encode("cp1252"),
            "it is not UTF-8 and was read as Windows-1252 (Latin-1), in which it says 'Zoë'",
        ),
    ],
    ids=["UTF-8", "with a mark", "UTF-16", "without a mark", "Windows-1252"],
)
def test_an_encoding_is_found_and_told(content: bytes, note: str | None, copies: Copies) -> None:
    table = opened(content, copies)
    assert (table.names, table.delimiter) == (["Name", "Hours"], ";")
    assert list(rows_below(table)) == [["Zoë", "1,5"], ["Ann", "2"]]
    assert table.notes == ([note] if note else [])


@pytest.mark.parametrize(
    ("text", "names", "delimiter"),
    [
        ("a,b\n1,2\n", ["a", "b"], ","),
        ("a|b\n1|2\n", ["a", "b"], "|"),
        ("a\tb\n1\t2\n", ["a", "b"], "\t"),
        ("a;b;c\n1,5;2,5;3,5\n4,5;1,5;2\n", ["a", "b", "c"], ";"),
        ("Name, first;Mark\nMeier, A;1,5\nKurz, B;2,0\n", ["Name, first", "Mark"], ";"),
        ("Report of 2025, our school\n\na;b;c\nx;1,5;2\ny;2,5;3\n", ["a", "b", "c"], ";"),
        ('Report;;\n;;\n"a\nand more";b;c\nx;1;2\ny;2;3\n', ["a\nand more", "b", "c"], ";"),
        ("name\nZoë\nAnn\n", ["name"], ","),
    ],
    ids=str,
)
def test_separator_and_header_are_found(text: str, names: list[str], delimiter: str, copies: Copies) -> None:
    table = opened(text.encode(), copies)
    assert (table.names, table.delimiter) == (names, delimiter)
    assert len(list(rows_below(table))) == len(table.sample)


def test_a_sparse_first_row_is_the_header_where_nothing_below_could_be(copies: Copies) -> None:
    table = opened(b"a,,\n1,2,3\n4,5,6\n", copies)
    assert table.names == ["a", "", ""]
