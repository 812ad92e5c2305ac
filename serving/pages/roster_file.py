"""A class as a file that travels: carried from form to form, given as an example or to be filled in."""

import base64
import csv
import io
import lzma
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

import numpy as np
import orjson
from pydantic import BaseModel

from data.bundle.bundle import Bundle
from data.contract.contract import Contract
from data.rows.notation import notation_columns
from data.rows.records import asking
from data.sources.tables import Table
from serving.pages.roster_rows import template_rows
from serving.problems import Problem
from serving.sheet import BOM, LINE_END, Row, Sheet

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


def example_sheet(bundle: Bundle) -> Sheet:
    """Return the bundle's own examples as a class."""
    names = [column.name for column in bundle.contract.features]
    rows = [[_cell(record[name]) for name in names] for record in bundle.shown]
    return Sheet(io.BytesIO("\n".join(map(",".join, [names, *rows])).encode()))


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def template_of(contract: Contract) -> bytes:
    """Return a CSV to fill in."""
    return written(template_rows(contract), ",")


def written(rows: Sequence[Row], delimiter: str) -> bytes:
    """Return rows as a CSV for a spreadsheet, in which it runs no cell."""
    sheet = Sheet(io.BytesIO(delimiter.join(["a", "b"]).encode()))  # which quotes and neutralises
    return BOM + "".join(f"{line}{LINE_END}" for line in sheet.joined(rows)).encode()
