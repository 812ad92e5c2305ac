"""A class as a file: uploaded and read, carried from form to form, given as an example or to be filled in."""

import base64
import csv
import io
import lzma
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Literal, NamedTuple

import numpy as np
import orjson
from pydantic import BaseModel

from data.bundle.bundle import Bundle
from data.contract.contract import Contract
from data.rows.notation import notation_columns
from data.rows.records import Record, asking, typical_value
from data.rows.spreadsheets import FIRST_ROW
from data.sources.tables import Table
from serving.cells import RowReader
from serving.pages.show import describe_allowed
from serving.problems import Problem
from serving.sheet import BOM, LINE_END, Row, Sheet, check_header

MOST_CARRIED = 74_000  # bytes, compressed: a page stays below 100 kB
MOST_UNPACKED = 8_000_000  # bytes: more is nothing that we packed
MOST_MEMORY = 64_000_000  # bytes, while it is unpacked
LONG = 9  # letters of a number; the model reads no more digits of it
PLAIN = re.compile(r"-?[0-9]{1,9}\.[0-9]+")
CELL, COLUMN = "\x1f", "\x1e"  # what stands between them: nothing that a spreadsheet writes
PACKING = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "pb": 0}]  # best for columns of digits


class _Told(BaseModel):
    """What is told beside the columns: the rows that do not fit the header, by their places."""

    odd: dict[int, list[str]]
    delimiter: Literal[",", ";", "\t", "|"]
    notes: list[str] = []


def pack(
    header: Row, rows: Sequence[Row], delimiter: str, contract: Contract, notes: Sequence[str] = ()
) -> str:
    """Return a roster as a form's text: with every column, else with the asked ones, else empty."""
    asked = {column.name for column in asking(contract).asked}
    asked |= {contract.id.name} if contract.id else set()
    asked |= notation_columns(contract).keys()  # which together say how numbers are written
    numbers = {column.name for column in contract.features if column.decimal}
    # A row with cells too many or too few must come back as it was, or it might come back sound.
    odd = {str(place): row for place, row in enumerate(rows) if len(row) != len(header)}
    even = [row for row in rows if len(row) == len(header)]
    columns = [
        [name, *(map(_shortened, cells) if name in numbers else cells)]
        for name, cells in zip(header, zip(*even, strict=True) if even else [()] * len(header), strict=True)
    ]
    told = orjson.dumps({"odd": odd, "delimiter": delimiter, "notes": notes}).decode()
    for chosen in (columns, [column for column in columns if column[0] in asked]):
        text = COLUMN.join([told, *map(_joined, chosen)])
        packed = lzma.compress(text.encode(), filters=PACKING)
        if len(packed) <= MOST_CARRIED:
            return base64.urlsafe_b64encode(packed).decode()
    return ""


def unpack(text: str) -> Sheet:
    """Return the roster that a page carried; raises Problem 400 where the text is none of ours."""
    try:
        packed = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
        raw = lzma.LZMADecompressor(memlimit=MOST_MEMORY).decompress(packed, MOST_UNPACKED)
        return Sheet(_unpacked(raw.decode()))
    except (lzma.LZMAError, csv.Error, ValueError) as error:
        detail = "The rows that travel with the page came back changed. Choose the file again."
        raise Problem(HTTPStatus.BAD_REQUEST, detail) from error


def _unpacked(text: str) -> Table:
    """Return what was packed as a table; raises ValueError where it was not packed by us."""
    first, *columns = text.split(COLUMN)
    told = _Told.model_validate_json(first)
    header, *even = zip(*(column.split(CELL) for column in columns), strict=True)
    places = range(len(even) + len(told.odd))
    if not told.odd.keys() <= set(places):
        raise ValueError("a row that is beyond the last")
    rows = iter(even)
    lines = (told.odd[place] if place in told.odd else next(rows) for place in places)
    below = [list(line) for line in lines]
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=told.delimiter).writerows([header, *below])
    header_lines = _lines_of(list(header), told.delimiter)
    file = io.BytesIO(written.getvalue().encode())
    return Table(file, list(header), told.delimiter, header_lines, sample=below, notes=told.notes)


def _lines_of(row: Row, delimiter: str) -> int:
    """Return how many lines a row takes."""
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter).writerow(row)
    written.seek(0)
    return sum(1 for _ in written)


def _joined(column: Sequence[str]) -> str:
    text = CELL.join(column)
    if COLUMN in text or text.count(CELL) >= len(column):
        text = CELL.join(cell.replace(COLUMN, " ").replace(CELL, " ") for cell in column)
    return text


def _shortened(text: str) -> str:
    """Return a number as short as a float32, which is what the model reads, has it."""
    return str(np.float32(text)) if len(text) > LONG and PLAIN.fullmatch(text) else text


MOST_ROWS = 20_000
SHOWN = 40  # letters of a cell
ALSO_SHOWN = 2  # columns that the contract does not know, beside the id


class RowError(NamedTuple):
    """What is wrong with one cell: its row, its column, what, and what to do."""

    row: int
    column: str
    title: str
    message: str
    remedy: str


class UploadedClass(NamedTuple):
    """A file as it was read: its sound rows as records beside their numbers, and its troubles."""

    header: Row
    delimiter: str
    rows: list[Row]
    records: list[Record]
    numbers: list[int]
    troubles: list[RowError]
    bad: int
    assumed: tuple[str, ...] = ()
    """What was assumed of the file, and of how its columns write their numbers."""
    notes: tuple[str, ...] = ()
    """Those of the file alone."""

    def row(self, place: int) -> Row:
        """Return the cells of a record's row."""
        return self.rows[self.numbers[place] - FIRST_ROW]


def read_roster(sheet: Sheet, contract: Contract) -> UploadedClass:
    """Read a whole file; raises Problem 413 for too many rows, 422 for columns that do not fit."""
    check_header(sheet.header, contract, ())
    rows: list[Row] = []
    for chunk in sheet.chunks(MOST_ROWS, blank=True):  # a spreadsheet counts them too
        rows += chunk
        if len(rows) > MOST_ROWS:
            detail = f"The page takes {MOST_ROWS:,} rows at most. POST /predict/batch takes any number."
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    settled = sheet.settled(contract)
    records, errors = RowReader(sheet.header, contract, settled.notations).read(rows)
    blank = [not any(map(str.strip, row)) for row in rows]
    numbers = [place + FIRST_ROW for place, error in enumerate(errors) if not error]
    troubles = [
        trouble
        for place, error in enumerate(errors)
        if error and not blank[place]
        for trouble in _troubles(place + FIRST_ROW, error, sheet.header, rows[place], contract)
    ]
    bad = sum(bool(error) and not empty for error, empty in zip(errors, blank, strict=True))
    notes = tuple(sheet.notes)
    assumed = (*notes, *settled.notes)
    return UploadedClass(sheet.header, sheet.delimiter, rows, records, numbers, troubles, bad, assumed, notes)


def read_one(sheet: Sheet, contract: Contract, number: int) -> Record:
    """Return the record of one row; raises Problem 422 where there is none."""
    check_header(sheet.header, contract, ())
    first, notations = FIRST_ROW, sheet.settled(contract).notations
    for chunk in sheet.chunks(1_000, blank=True):
        if first <= number < first + len(chunk):
            records, _ = RowReader(sheet.header, contract, notations).read([chunk[number - first]])
            if records:
                return records[0]
        first += len(chunk)
    raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Row {number} of the file is no student's.")


def also_shown(header: Row, contract: Contract) -> list[int]:
    """Return the places of columns of the school's own that tell who a student is."""
    known = {*asking(contract).columns, contract.target.column}
    return [place for place, name in enumerate(header) if name and name not in known][:ALSO_SHOWN]


def _troubles(number: int, error: str, header: Row, row: Row, contract: Contract) -> Iterator[RowError]:
    for part in error.split("; "):
        name, _, message = part.partition(": ")
        column = asking(contract).columns.get(name)
        if column is None or name not in contract.named(header):
            remedy = "Look for a comma too many or a cell too few."
            yield RowError(number, "", "The whole row", f"{part[:1].upper()}{part[1:]}.", remedy)
            continue
        cell = row[contract.named(header).index(name)].strip()[:SHOWN]
        choices = ", ".join(f"{code} ({label})" for code, label in column.codes.items())
        remedy = f"Give one of {choices}." if choices else describe_allowed(column)
        said = "Nothing is given." if message == "missing" else f"“{cell}” is {message}."
        yield RowError(number, name, column.title, said, remedy)


def example_sheet(bundle: Bundle) -> Sheet:
    """Return the bundle's own examples as a class."""
    names = [column.name for column in bundle.contract.features]
    rows = [[_cell(record[name]) for name in names] for record in bundle.shown]
    return Sheet(io.BytesIO("\n".join(map(",".join, [names, *rows])).encode()))


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def template_of(contract: Contract) -> bytes:
    """Return a CSV to fill in: the columns to give, and one line that shows how they are written."""
    columns = [*([contract.id] if contract.id else []), *contract.asked]
    typical = [typical_value(column) for column in columns]
    shown = [value if isinstance(value, str) else f"{value:.0f}" for value in typical]
    cells = [next(iter(c.codes.values()), value) for c, value in zip(columns, shown, strict=True)]
    return written([[column.name for column in columns], cells], ",")


def written(rows: Sequence[Row], delimiter: str) -> bytes:
    """Return rows as a CSV for a spreadsheet, in which it runs no cell."""
    sheet = Sheet(io.BytesIO(delimiter.join(["a", "b"]).encode()))  # which quotes and neutralises
    return BOM + "".join(f"{line}{LINE_END}" for line in sheet.joined(rows)).encode()
