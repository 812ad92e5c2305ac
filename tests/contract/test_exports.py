"""However a program exports a table, that table is read, or it is asked what is meant; never another."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from data.contract.columns import Column, Kind
from data.errors import BadInput
from data.rows.frames import parse
from tests.contract.files import read_records
from tests.contract.tiny import contract_of
from tests.contract.workbooks import write_ods, write_xlsx

TINY = contract_of()
NUMBERS = [(".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (",", "\xa0"), (".", "'"), (".", " ")]
"""Decimal mark and what parts thousands: plain, of Germany, the USA, France, Switzerland, …"""
WORDS = [
    ("No", "Yes"),
    ("nein", "ja"),
    ("Non", "Oui"),
    ("no", "sí"),
    ("não", "sim"),
    ("FALSE", "TRUE"),
    ("0", "1"),
]
DATES = ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%y", "%Y-%m-%d 00:00", "%Y/%m/%d", "%m/%d/%y"]
"""ISO, German, US, French, … with years of two digits."""
MARKS = ["", "-", "?", "#N/A", "k. A.", "None", "NA", "n/a", "null", "NaN"]
TITLES = ["Export", "Class 7b, 2025", "Notenliste; Stand 31.12.2025", "Größe: alle"]


@dataclass(frozen=True)
class Export:
    """How a program writes a table."""

    encoding: str
    delimiter: str
    numbers: tuple[str, str]
    digits: int | None
    percent: bool
    dates: str
    words: tuple[str, str]
    labels: bool
    missing: str
    titles: tuple[str, ...]
    padded: bool
    noise: frozenset[int]
    extra: str
    quoting: Literal[0, 1]
    end: str
    book: str

    def number(self, value: float) -> str:
        """Write a number with as many decimals as are asked for, or as it has."""
        decimal, thousands = self.numbers
        text = f"{value:.10g}"
        decimals = len(text.partition(".")[2])
        if self.digits is not None and decimals:
            text = f"{value:.{max(self.digits, decimals)}f}"
        whole, _, part = text.partition(".")
        grouped = f"{int(whole):,}".replace(",", thousands)
        return f"{grouped}{decimal}{part}" if part else grouped

    def cell(self, column: Column, value: Any) -> str:
        """Write a cell."""
        if value is None or value != value:
            return self.missing
        if column.kind is Kind.BOOLEAN:
            return self.words[int(value)]
        if column.dated:
            return date.fromisoformat(value).strftime(self.dates)
        if column.coded:
            return column.codes[value] if self.labels else str(value)
        return self.number(value) + (" %" if self.percent and column.name == "Sleep" else "")


EXPORTS = st.builds(
    Export,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    numbers=st.sampled_from(NUMBERS),
    digits=st.sampled_from([None, None, 1, 2, 3]),
    percent=st.booleans(),
    dates=st.sampled_from(DATES),
    words=st.sampled_from(WORDS),
    labels=st.booleans(),
    missing=st.sampled_from(MARKS),
    titles=st.lists(st.sampled_from(TITLES), max_size=3).map(tuple),
    padded=st.booleans(),
    noise=st.frozensets(st.integers(0, 8), max_size=3),
    extra=st.sampled_from(["", "", "all", "some", "named"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    book=st.sampled_from(["", "", "", "xlsx", "ods"]),
)
MONEY = st.integers(0, 5_000_000)


def rounded(most: int) -> st.SearchStrategy[float]:
    """Draw numbers up to so much, of no, one, two or three decimals."""
    return st.tuples(st.integers(0, most * 1_000), st.integers(0, 3)).map(lambda n: round(n[0] / 1_000, n[1]))


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw labelled rows: small, so that it is often one cell that decides, and with large numbers."""
    count = draw(st.integers(3, 7))
    first = draw(st.sampled_from([1, 998, 100_000]))
    whole = draw(st.booleans())
    rows = []
    for place in range(count):
        large = MONEY.map(float) if whole else rounded(3_000)
        row: dict[str, Any] = {
            "Student": first + place,
            "Hours": draw(rounded(20)),
            "Points": draw(rounded(4)),
        }
        row |= {
            "Early": 1.0,
            "Born": draw(st.dates(date(1950, 1, 1), date(2018, 12, 31))).isoformat(),
            "Sleep": draw(st.none() | large),
            "Trips": draw(st.none() | MONEY),
            "Days": draw(st.integers(0, 30)),
        }
        for name in ("Group", "Club", "Help", "Job", "Award", "Level", "Lunch"):
            column = TINY.columns[name]
            values = st.sampled_from(list(column.codes))
            row[name] = draw(st.none() | values if column.nullable else values)
        rows.append(row | {"Grade": draw(st.sampled_from([0, 1, 2]))})
    return rows


def written(rows: list[dict[str, Any]], export: Export) -> list[list[str]]:
    """Return the rows of the file: titles, header, cells, noise."""
    columns = {**TINY.columns, "Grade": TINY.target.as_column}
    names = [*rows[0], *(["note"] if export.extra == "named" else [])]
    lines = []
    for place, row in enumerate(rows):
        cells = [export.cell(columns[name], row[name]) for name in rows[0]]
        cells += ["zuverlässig"] if export.extra == "named" else []
        more = export.extra == "all" or (export.extra == "some" and place % 2)
        lines.append([*cells, *(["", ""] if more else [])])
    for place in sorted(export.noise, reverse=True):
        lines.insert(min(place, len(lines)), [""] * len(names))
    header = [*names, *(["", ""] if export.extra == "all" else [])]
    titles = [[title, *([""] * (len(header) - 1) if export.padded else [])] for title in export.titles]
    return [*titles, *([[]] if export.titles else []), header, *lines]


def write(rows: list[dict[str, Any]], export: Export, folder: Path) -> Path:
    """Write an export, as a text or a workbook of texts."""
    lines = written(rows, export)
    if export.book:
        path = folder / f"export.{export.book}"
        return (write_xlsx if export.book == "xlsx" else write_ods)(path, {"Export": lines})
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=export.delimiter, quoting=export.quoting, lineterminator=export.end).writerows(
        lines
    )
    path = folder / "export.csv"
    path.write_bytes(text.getvalue().encode(export.encoding))
    return path


def expected(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return parse(pd.DataFrame(rows, dtype=object), TINY)


def outcome(rows: list[dict[str, Any]], export: Export, folder: Path) -> str:
    """Tell whether an export was read, or asked about; what was read must be what was written."""
    path = write(rows, export, folder)
    try:
        records = read_records(str(path), TINY)
    except BadInput as error:
        if "could be" not in str(error):
            raise
        return "asked"
    found = parse(records.frame, TINY, file=str(path))
    pd.testing.assert_frame_equal(found, expected(rows), check_categorical=False)
    return "read"


def check(count: int, folder: Path) -> Counter[str]:
    """Hold so many exports against what they were written of, and count what became of them."""
    found: Counter[str] = Counter()

    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate])
    @given(rows=tables(), export=EXPORTS)
    def every_export(rows: list[dict[str, Any]], export: Export) -> None:
        found[outcome(rows, export, folder)] += 1

    every_export()
    return found


def test_an_export_is_read_as_what_it_was_written_of_or_asked_about(tmp_path: Path) -> None:
    found = check(40, tmp_path)
    assert found["read"] > found["asked"]


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_thousand_exports_are_read_as_what_they_were_written_of_or_asked_about(tmp_path: Path) -> None:
    found = check(1_000, tmp_path)
    print(dict(found))
    assert found["asked"] < 0.2 * found.total()
