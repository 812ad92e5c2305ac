"""A CSV as a spreadsheet writes it and reads it: marks, header, rows in, rows out."""

import codecs
import csv
import io
import operator
import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from http import HTTPStatus
from itertools import dropwhile, islice
from types import SimpleNamespace
from typing import BinaryIO

from data.columns import repeated
from data.contract import Contract
from data.formulas import BETWEEN, neutralised, nothing_to_neutralise
from serving.problems import Fault, Problem

BOM = codecs.BOM_UTF8
DELIMITERS = ",;\t"
LONGEST_HEADER = 1_000_000  # bytes
LINE_END = "\r\n"

Row = list[str]


class Sheet:
    """A CSV file and how it is written: its header, its delimiter, and whether it has a BOM."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the header; raises Problem 400 where there is none in UTF-8."""
        self._file = file
        first = _first_line(file)
        self.bom = first.startswith(BOM)
        try:
            line = first.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _not_csv("it is not UTF-8 text; save it as “CSV UTF-8”") from error
        self.delimiter: str = max(DELIMITERS, key=line.count)
        self._needs_quotes = re.compile(f'["\\r\\n{self.delimiter}]').search
        self.header = [name.strip() for name in next(self._lists(1), [[]])[0]]
        if not any(self.header):
            raise _not_csv("it has no header")

    def chunks(self, rows: int, *, blank: bool = False) -> Generator[list[Row]]:
        """Yield the rows below the header in lists, without empty lines or with them; raises Problem 400."""
        with closing(self._lists(rows, blank=blank)) as every:
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
        reader = csv.reader(text, delimiter=self.delimiter, strict=True)
        try:
            every = dropwhile(operator.not_, reader) if blank else filter(None, reader)
            while chunk := list(islice(every, rows)):
                yield chunk
        except UnicodeDecodeError as error:
            raise _not_csv(f"it is not UTF-8 text after line {reader.line_num}") from error
        except csv.Error as error:
            raise _not_csv(f"{error}, near line {reader.line_num}") from error
        finally:
            text.detach()


def check_header(header: Sequence[str], contract: Contract, added: Iterable[str]) -> None:
    """Raise Problem 422 naming columns that are missing, there twice, or in the way of those to add."""
    names, ours = dict.fromkeys(filter(None, header)), frozenset(added)
    missing = [column.name for column in contract.features if column.name not in names]
    faults: list[Fault] = [
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
    lines = iter(lambda: file.readline(LONGEST_HEADER), b"")
    return next((line for line in lines if line.removeprefix(BOM).strip()), b"")


def _not_csv(reason: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"The file cannot be read as CSV: {reason}.")
