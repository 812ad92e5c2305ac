"""Read a CSV's declared columns; say which row is broken and how to mend it."""

import codecs
import csv
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from data.columns import MISSING_TEXTS
from data.errors import BadInput
from data.frames import FIRST_ROW, refuse_twice

DELIMITERS = ",;\t"
BLOCK = 1 << 20  # bytes that are looked at at once


class Header(NamedTuple):
    """The names in a CSV's first line, without the spaces around them; where it is, and what parts it."""

    names: list[str]
    delimiter: str
    line: int


def read_texts(path: Path) -> pd.DataFrame:
    """Read every named column of a CSV, its cells as text; raises BadInput."""
    header = read_header(path)
    named = [name for name in header.names if name]
    refuse_twice(named, path)
    try:
        return _read(path, header, dict.fromkeys(named, pa.dictionary(pa.int32(), pa.string()))).to_pandas()
    except pa.ArrowInvalid as error:
        raise broken(path, header, error) from error


def _read(path: Path, header: Header, types: dict[str, pa.DataType]) -> pa.Table:
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(column_names=header.names, skip_rows=header.line),
        parse_options=pyarrow.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=list(MISSING_TEXTS),
            strings_can_be_null=True,
        ),
    )


def read_header(path: Path) -> Header:
    """Read the first line that says something; the delimiter is what parts it into most cells.

    Raises BadInput where the file is not UTF-8 or has no rows below it.
    """
    _check_utf8(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        number, line = next(((n, text) for n, text in enumerate(file, start=1) if text.strip()), (0, ""))
        more = file.read(1)
    if not line:
        raise BadInput("the file is empty.", file=path, remedy="Give one with a header and students in it.")
    if not more:
        raise no_rows(path)
    cells = {mark: next(csv.reader([line], delimiter=mark), []) for mark in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda mark: len(cells[mark]))
    return Header([name.strip() for name in cells[delimiter]], delimiter, number)


def no_rows(path: Path | str) -> BadInput:
    """Return the error of a file without students."""
    return BadInput("the file has a header and no rows.", file=path, remedy="Give one with students in it.")


def _check_utf8(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            for block in iter(lambda: file.read(BLOCK), b""):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        _refuse_line(path)


def _refuse_line(path: Path) -> None:
    """Raise BadInput for the line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                remedy = "Save the file as UTF-8 (CSV UTF-8 in a spreadsheet)."
                raise BadInput("not UTF-8 text.", file=path, row=number, remedy=remedy) from error


def broken(path: Path, header: Header, error: pa.ArrowInvalid) -> BadInput:
    """Return the error that says which row has more or fewer cells than the header, or an open quote."""
    wanted, number = len(header.names), FIRST_ROW - 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=header.delimiter, strict=True)
        try:
            for number, row in enumerate(filter(None, rows), start=1):
                if len(row) != wanted:
                    reason = f"the header has {wanted} cells, this row {len(row)}."
                    remedy = "Give every row the same cells, and quote one that holds a separator."
                    return BadInput(reason, file=path, row=number, remedy=remedy)
        except csv.Error:
            remedy = "Close the quotes of this row, or leave them out."
            return BadInput("a quoted cell does not end.", file=path, row=number + 1, remedy=remedy)
    return BadInput(f"{error}.", file=path, remedy="Save it as a plain CSV in UTF-8.")
