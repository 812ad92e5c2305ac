"""A roster that travels with its page, so that the server need not keep it.

The rows stand in a hidden field of the page's form, compressed, and come back with every button. What
comes back is read again like an upload, so there is nothing in it that would have to be trusted.
"""

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

from data.columns import Kind
from data.contract import Contract
from serving.problems import Problem
from serving.sheet import Row, Sheet

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
    delimiter: Literal[",", ";", "\t"]


def pack(header: Row, rows: Sequence[Row], delimiter: str, contract: Contract) -> str:
    """Return a roster as a form's text: with every column, else with the asked ones, else empty."""
    asked = {column.name for column in contract.asked} | ({contract.id.name} if contract.id else set())
    numbers = {column.name for column in contract.features if column.kind is Kind.NUMBER}
    # A row with cells too many or too few must come back as it was, or it might come back sound.
    odd = {str(place): row for place, row in enumerate(rows) if len(row) != len(header)}
    even = [row for row in rows if len(row) == len(header)]
    columns = [
        [name, *(map(_shortened, cells) if name in numbers else cells)]
        for name, cells in zip(header, zip(*even, strict=True) if even else [()] * len(header), strict=True)
    ]
    told = orjson.dumps({"odd": odd, "delimiter": delimiter}).decode()
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
        return Sheet(io.BytesIO(_written(raw.decode()).encode()))
    except (lzma.LZMAError, csv.Error, ValueError) as error:
        detail = "The rows that travel with the page came back changed. Choose the file again."
        raise Problem(HTTPStatus.BAD_REQUEST, detail) from error


def _written(text: str) -> str:
    """Return what was packed as a CSV; raises ValueError where it was not packed by us."""
    first, *columns = text.split(COLUMN)
    told = _Told.model_validate_json(first)
    header, *even = zip(*(column.split(CELL) for column in columns), strict=True)
    places = range(len(even) + len(told.odd))
    if not told.odd.keys() <= set(places):
        raise ValueError("a row that is beyond the last")
    rows = iter(even)
    lines = (told.odd[place] if place in told.odd else next(rows) for place in places)
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=told.delimiter).writerows([header, *lines])
    return written.getvalue()


def _joined(column: Sequence[str]) -> str:
    text = CELL.join(column)
    if COLUMN in text or text.count(CELL) >= len(column):
        text = CELL.join(cell.replace(COLUMN, " ").replace(CELL, " ") for cell in column)
    return text


def _shortened(text: str) -> str:
    """Return a number as short as a float32, which is what the model reads, has it."""
    return str(np.float32(text)) if len(text) > LONG and PLAIN.fullmatch(text) else text
