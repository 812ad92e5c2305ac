"""A CSV as a spreadsheet writes it and reads it: marks, header, rows in, rows out."""

import codecs
import csv
import io
import re
import tempfile
import weakref
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from http import HTTPStatus
from itertools import chain
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

from data.contract.columns import Column, repeated
from data.contract.contract import Contract
from data.rows.notation import Evidence, Settled, evidence_of, notation_columns, settle, with_fallbacks
from data.rows.spreadsheets import BETWEEN, did_you_mean, nearly, neutralised, nothing_to_neutralise
from data.sources.tables import Copies, Table, TableError, open_table
from data.sources.workbooks import WorkbookLimits
from serving.problems import FieldError, Problem
from serving.receiving import UploadFile

BOM = codecs.BOM_UTF8
LONGEST = 1_000_000  # bytes of a line, and letters of a row, whose quoted cells may hold lines
MOST_COLUMNS = 5_000
MOST_CELLS = 200_000  # of a list of rows
MOST_TAKEN = 1_000_000  # letters of a list of rows
BLOCK = 1 << 16
LIMITS = WorkbookLimits(unpacked=300_000_000, written=200_000_000, memory=1_000_000_000)  # bytes
SETTLED_AT_ONCE = 2_000  # rows
EMPTY = "rows without anything in them are left out"
LINE_END = "\r\n"
FIRST = itemgetter(0)

Row = list[str]


class Sheet:
    """A table that somebody sent and how it is written: its header, its delimiter, and whether it has a BOM.

    However large the file is, and whatever is in it, little of it is in memory at a time. `notes` say what
    was assumed of it.
    """

    def __init__(self, file: BinaryIO | Table, sheet: str = "", uploads: Path | None = None) -> None:
        """Find the header; `sheet` is one of a workbook, copies go to the folder of uploads.

        A table of our own writing is taken as it is.

        Raises Problem 400 where there is no header, and where a line is no row's.
        """
        table = file if isinstance(file, Table) else self._looked_at(file, sheet, uploads)
        self._file, self._table = table.file, table
        self.bom = table.bom or table.rewritten
        self.notes = table.notes
        self.delimiter, self.header = table.delimiter, table.names
        self._needs_quotes = re.compile(f'["\\r\\n{re.escape(self.delimiter)}]').search
        if not any(self.header):
            raise _not_csv("it has no header")
        if len(self.header) > MOST_COLUMNS:
            raise _not_csv(f"it has {len(self.header):,} columns, and at most {MOST_COLUMNS:,} are read")

    def _looked_at(self, file: BinaryIO, sheet: str, uploads: Path | None) -> Table:
        held = ExitStack()
        weakref.finalize(self, held.close)
        kind = tempfile.TemporaryFile if uploads is None else partial(UploadFile, uploads)
        try:
            return open_table(file, Copies(held, uploads, kind), sheet, LIMITS, _refuse_long_lines)
        except TableError as error:
            held.close()
            raise _not_csv(f"{error.message.rstrip('.')}. {error.remedy.rstrip('.')}") from error
        except BaseException:
            held.close()
            raise

    def settled(self, contract: Contract) -> Settled:
        """Find how its columns write their numbers; raises Problem 422 with what nothing decides."""
        columns, names = notation_columns(contract), contract.named(self.header)
        places = {name: place for place, name in enumerate(names) if name in columns}
        found = self._evidence(places, columns, [self._table.sample])
        plain = self.delimiter == "," and all(evidence.is_plain for evidence in found.values())
        if not plain and not self._table.whole:
            with closing(self.chunks(SETTLED_AT_ONCE)) as chunks:
                found = self._evidence(places, columns, chunks)
        settled = settle(found, self.delimiter)
        if settled.questions:
            faults = [{"field": name, "message": text} for name, text in settled.questions.items()]
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The file leaves open what it means.", faults)
        return with_fallbacks(settled, contract, names)

    def _evidence(
        self, places: Mapping[str, int], columns: Mapping[str, Column], chunks: Iterable[Sequence[Row]]
    ) -> dict[str, Evidence]:
        found = {name: evidence_of(columns[name]) for name in places}
        for rows in chunks:
            for name, place in places.items():
                found[name].take([row[place] for row in rows if place < len(row)])
        return found

    def chunks(self, rows: int, *, blank: bool = False) -> Generator[list[Row]]:
        """Yield the rows below the header in lists of at most so many, without empty lines or with them.

        The lists are shorter where rows are long. Raises Problem 400.
        """
        yield from self._lists(max(1, min(rows, MOST_CELLS // len(self.header))), blank=blank)

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

    def _lists(self, rows: int, *, blank: bool) -> Generator[list[Row]]:
        """Yield the rows below the header in lists of so many, without empty ones or with them."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding="utf-8-sig", newline="")
        for _ in range(self._table.line):
            text.readline()
        lines = _Lines(text)
        reader = csv.reader(chain.from_iterable(lines.blocks()), delimiter=self.delimiter, strict=True)
        try:
            yield from self._in_lists(reader, lines, rows, blank=blank)
        except UnicodeDecodeError as error:
            raise _not_csv(f"it is not UTF-8 text after line {reader.line_num + self._table.line}") from error
        except csv.Error as error:
            raise _not_csv(f"{error}, near line {reader.line_num + self._table.line}") from error
        finally:
            text.detach()

    def _in_lists(
        self, reader: Iterable[Row], lines: "_Lines", rows: int, *, blank: bool
    ) -> Generator[list[Row]]:
        chunk: list[Row] = []
        begun = 0
        for row in reader:
            lines.until_row = lines.taken
            if row or blank:
                chunk.append(row)
            if len(chunk) == rows or lines.taken - begun > MOST_TAKEN:
                yield from self._filled(chunk, blank=blank)
                chunk, begun = [], lines.taken
        yield from self._filled(chunk, blank=blank)

    def _filled(self, chunk: list[Row], *, blank: bool) -> Iterator[list[Row]]:
        """Yield a list without the rows in which nothing is, unless there are none or they are wanted."""
        if not blank and not all(map(FIRST, chunk)):
            filled = [row for row in chunk if any(row)]
            if len(filled) < len(chunk) and EMPTY not in self.notes:
                self.notes.append(EMPTY)
            chunk = filled
        if chunk:
            yield chunk


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


def check_header(
    header: Sequence[str], contract: Contract, added: Iterable[str], told: Sequence[str] = ()
) -> None:
    """Raise Problem 422 naming columns that are missing, there twice, or in the way of those to add.

    Those that are `told` beside the file are not missed.
    """
    names, ours = dict.fromkeys(filter(None, contract.named(header))), frozenset(added)
    needed = [column.name for column in contract.features if column.fallback is None]
    missing = [name for name in needed if name not in (*names, *told)]
    near = nearly(missing, names, contract)
    faults: list[FieldError] = [
        *({"field": name, "message": _no_column(name, near.get(name))} for name in missing),
        *(
            {"field": name, "message": "the file has this column twice"}
            for name in repeated(filter(None, contract.named(header)))
        ),
        *(
            {"field": name, "message": "the answer adds this column; rename or remove yours"}
            for name in header
            if name in ours
        ),
    ]
    if faults:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The file's columns do not fit.", faults)


def _no_column(name: str, near: str | None) -> str:
    says = "the file has no such column"
    return f"{says}. {did_you_mean(name, near)}" if near else says


def quoted(cell: str, delimiter: str) -> str:
    """Return a cell as it stands between delimiters, neutralised."""
    cell = neutralised(cell)
    special = any(mark in cell for mark in (delimiter, '"', "\r", "\n"))
    return '"' + cell.replace('"', '""') + '"' if special else cell


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
