"""A CSV as a spreadsheet writes it and reads it: marks, header, rows in, rows out."""

import codecs
import csv
import io
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from http import HTTPStatus
from itertools import chain
from types import SimpleNamespace
from typing import BinaryIO

from data.contract.columns import repeated
from data.contract.contract import Contract
from data.rows.spreadsheets import BETWEEN, neutralised, nothing_to_neutralise, split_header
from serving.problems import FieldError, Problem

BOM = codecs.BOM_UTF8
LONGEST = 1_000_000  # bytes of a line, and letters of a row, whose quoted cells may hold lines
MOST_COLUMNS = 5_000
MOST_CELLS = 200_000  # of a list of rows
MOST_TAKEN = 1_000_000  # letters of a list of rows
BLOCK = 1 << 16
LINE_END = "\r\n"

Row = list[str]


class Sheet:
    """A CSV file and how it is written: its header, its delimiter, and whether it has a BOM.

    However large the file is, and whatever is in it, little of it is in memory at a time.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the header; raises Problem 400 where there is none in UTF-8, or a line is no row's."""
        self._file = file
        _refuse_long_lines(file)
        first = _first_line(file)
        self.bom = first.startswith(BOM)
        try:
            line = first.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _not_csv("it is not UTF-8 text; save it as “CSV UTF-8”") from error
        _, self.delimiter = split_header(line)
        self._needs_quotes = re.compile(f'["\\r\\n{self.delimiter}]').search
        self.header = [name.strip() for name in next(self._lists(1), [[]])[0]]
        if not any(self.header):
            raise _not_csv("it has no header")
        if len(self.header) > MOST_COLUMNS:
            raise _not_csv(f"it has {len(self.header):,} columns, and at most {MOST_COLUMNS:,} are read")

    def chunks(self, rows: int, *, blank: bool = False) -> Generator[list[Row]]:
        """Yield the rows below the header in lists of at most so many, without empty lines or with them.

        The lists are shorter where rows are long. Raises Problem 400.
        """
        most = max(1, min(rows, MOST_CELLS // len(self.header)))
        with closing(self._lists(most, blank=blank)) as every:
            for number, chunk in enumerate(every):
                if below := chunk[1:] if number == 0 else chunk:
                    yield below

    def joined(self, rows: Sequence[Row]) -> list[str]:
        """Return each row as this file has it, without its end; a cell that would be run is neutralised."""
        cells = BETWEEN + BETWEEN.join(map(BETWEEN.join, rows))
        if nothing_to_neutralise(cells, sum(map(len, rows))) and not self._needs_quotes(cells):
            return list(map(self.delimiter.join, rows))
        lines: list[str] = []
        writer = csv.writer(
            SimpleNamespace(write=lines.append), delimiter=self.delimiter, lineterminator=LINE_END
        )
        writer.writerows([list(map(neutralised, row)) for row in rows])
        return [line.removesuffix(LINE_END) for line in lines]

    def _lists(self, rows: int, *, blank: bool = False) -> Generator[list[Row]]:
        """Yield the header and the rows in lists of so many; without empty lines, or with those below it."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding="utf-8-sig", newline="")
        lines = _Lines(text)
        reader = csv.reader(chain.from_iterable(lines.blocks()), delimiter=self.delimiter, strict=True)
        chunk: list[Row] = []
        keep = False  # empty lines above the header count in no way of counting
        begun = 0
        try:
            for row in reader:
                lines.until_row = lines.taken
                if row or keep:
                    chunk.append(row)
                    keep = blank
                if len(chunk) == rows or lines.taken - begun > MOST_TAKEN:
                    yield chunk
                    chunk, begun = [], lines.taken
            if chunk:
                yield chunk
        except UnicodeDecodeError as error:
            raise _not_csv(f"it is not UTF-8 text after line {reader.line_num}") from error
        except csv.Error as error:
            raise _not_csv(f"{error}, near line {reader.line_num}") from error
        finally:
            text.detach()


class _Lines:
    """The lines of a text, some at a time, as long as a row comes to its end now and then."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.taken = 0
        """Letters."""
        self.until_row = 0
        """Those that were taken when the last row was whole."""

    def blocks(self) -> Iterator[list[str]]:
        """Yield the lines in lists; raises csv.Error in a row without an end."""
        while block := self._text.readlines(BLOCK):
            self.taken += sum(map(len, block))
            if self.taken - self.until_row > LONGEST + 2 * BLOCK:
                raise csv.Error(f"a row is longer than {LONGEST:,} letters")
            yield block


def check_header(header: Sequence[str], contract: Contract, added: Iterable[str]) -> None:
    """Raise Problem 422 naming columns that are missing, there twice, or in the way of those to add."""
    names, ours = dict.fromkeys(filter(None, header)), frozenset(added)
    missing = [column.name for column in contract.features if column.name not in names]
    faults: list[FieldError] = [
        *({"field": name, "message": "the file has no such column"} for name in missing),
        *(
            {"field": name, "message": "the file has this column twice"}
            for name in repeated(filter(None, header))
        ),
        *(
            {"field": name, "message": "the answer adds this column; rename or remove yours"}
            for name in names
            if name in ours
        ),
    ]
    if faults:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The file's columns do not fit.", faults)


def quoted(cell: str, delimiter: str) -> str:
    """Return a cell as it stands between delimiters, neutralised."""
    cell = neutralised(cell)
    special = any(mark in cell for mark in (delimiter, '"', "\r", "\n"))
    return '"' + cell.replace('"', '""') + '"' if special else cell


def _first_line(file: BinaryIO) -> bytes:
    """Return the first line that says something, with the BOM if there is one."""
    file.seek(0)
    lines = iter(lambda: file.readline(LONGEST), b"")
    return next((line for line in lines if line.removeprefix(BOM).strip()), b"")


def _refuse_long_lines(file: BinaryIO) -> None:
    """Raise Problem 400 for a line that would take the memory of many rows."""
    file.seek(0)
    number, long = 1, 0
    while block := file.read(BLOCK):
        ends = max(block.rfind(b"\n"), block.rfind(b"\r"))
        long = long + len(block) if ends < 0 else len(block) - ends - 1
        number += block.count(b"\n")
        if long > LONGEST:
            raise _not_csv(f"line {number:,} is longer than {LONGEST:,} bytes")


def _not_csv(reason: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"The file cannot be read as CSV: {reason}.")
