"""A file as a table of texts, whatever program wrote it: encoding, separator, header, sheet.

Everything that was assumed is told in plain sentences, and nothing is guessed in silence. A file that is a
plain CSV in UTF-8 is read where it is; any other is written out as one first, into a file of no name.
"""

import codecs
import csv
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from data.rows.spreadsheets import DELIMITERS
from data.sources.workbooks import WorkbookError, WorkbookLimits, is_workbook, write_sheet
from data.words import plural

SAMPLE = 1 << 20  # bytes that are looked at for separator, header and notation
SAMPLED_ROWS = 500
BLOCK = 1 << 20
FEW_NULS = 0.01
"""Part of a text that may be NUL characters, which some programs leave behind."""
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
NOT_IN_1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
WORD = re.compile(r"\w*[^\W\x00-\x7f]\w*")
TITLE_SHARE = 0.6
"""Part of the cells of a usual row that a header has at least; what has fewer above it is a title."""
ALIKE = 0.8
"""Part of the rows that have as many cells as the header, where it is parted by the right mark."""
MOST_TITLES = 50  # rows above a header
NUMERIC = re.compile(r"[-+]?[0-9][0-9.,' \xa0]*%?")

Row = list[str]


class TableError(ValueError):
    """Why a file is no table, and what to do."""

    def __init__(self, message: str, remedy: str, row: int | None = None) -> None:
        super().__init__(message)
        self.message, self.remedy, self.row = message, remedy, row


@dataclass
class Table:
    """A text in UTF-8, and how to read it.

    names: the header's, without the spaces around them. line: lines to the header's end. bom: whether the
    file had a mark of UTF-8. sample: the first rows below the header. notes: what was assumed of the file.
    whole: whether the sample has all of its rows. above: rows above the header.
    """

    file: BinaryIO
    names: list[str]
    delimiter: str
    line: int
    bom: bool = False
    sample: list[Row] = field(default_factory=list)
    whole: bool = True
    notes: list[str] = field(default_factory=list)
    rewritten: bool = False
    """Whether the text is a copy of ours."""
    uneven: bool = False
    """Whether rows in which nothing is have more cells than the header, or fewer."""


@dataclass(frozen=True)
class Copies:
    """Where copies of a file are written: files without a name, closed with what holds them.

    folder: for what a workbook is unpacked into. kind: what makes such a file.
    """

    held: ExitStack
    folder: Path | None = None
    kind: Callable[[], Any] = tempfile.TemporaryFile

    def make(self) -> BinaryIO:
        """Return a new file."""
        return cast(BinaryIO, self.held.enter_context(self.kind()))


def open_table(
    file: BinaryIO,
    copies: Copies,
    sheet: str = "",
    limits: WorkbookLimits | None = None,
    check: Callable[[BinaryIO], None] | None = None,
) -> Table:
    """Look at a file and return it as a text with a header; `sheet` is one of a workbook.

    `check` looks at the text before anything of it is parsed. Raises TableError.
    """
    notes: list[str] = []
    file.seek(0)
    start = file.read(4)
    given = file
    if is_workbook(start):
        file = _of_workbook(file, sheet, copies, limits or WorkbookLimits(), notes)
    elif sheet:
        raise TableError("it is no workbook and has no sheets.", f"Leave #{sheet} out.")
    else:
        file = _in_utf8(file, copies, notes)
    if check is not None:
        check(file)
    table = _parsed(file, notes)
    table.rewritten = file is not given
    if _is_ragged(table):
        table = _squared(table, copies)
    return table


def _of_workbook(
    file: BinaryIO, sheet: str, copies: Copies, limits: WorkbookLimits, notes: list[str]
) -> BinaryIO:
    if copies.folder is not None:
        copies.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gradecast-", dir=copies.folder) as name:
        book, out = Path(name) / "book", Path(name) / "sheet.csv"
        file.seek(0)
        with book.open("wb") as whole:
            shutil.copyfileobj(file, whole, BLOCK)
        try:
            found = write_sheet(book, out, sheet, limits)
        except WorkbookError as error:
            raise TableError(error.message, error.remedy) from error
        notes.append(f"the sheet {found!r} of the workbook was read")
        copy = copies.make()
        with out.open("rb") as written:
            shutil.copyfileobj(written, copy, BLOCK)
        return copy


def _in_utf8(file: BinaryIO, copies: Copies, notes: list[str]) -> BinaryIO:
    """Return the file, or a copy in UTF-8 where it is in something else."""
    encoding = _encoding(file)
    if encoding.startswith("utf-8"):
        return file
    copy = copies.make()
    strange = ""
    file.seek(0)
    reader = io.TextIOWrapper(file, encoding, newline="")
    try:
        while text := reader.read(BLOCK):
            if not strange and (found := WORD.search(text)):
                strange = found[0]
            copy.write(text.encode())
        reader.detach()
    except UnicodeError as error:
        raise TableError(f"it is no text in {encoding.upper()}.", "Save it as CSV UTF-8.") from error
    if encoding == "cp1252":
        says = f", in which it says {strange!r}" if strange else ""
        notes.append(f"it is not UTF-8 and was read as Windows-1252 (Latin-1){says}")
    else:
        notes.append(f"it was read as {encoding.upper()}")
    return copy


def _encoding(file: BinaryIO) -> str:
    """Return the encoding of a file; raises TableError where it is no text."""
    file.seek(0)
    start = file.read(SAMPLE)
    for mark, encoding in BOMS:
        if start.startswith(mark):
            return encoding
    if start.count(b"\0") > len(start) / 4:
        return "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
    found = _EightBits()
    while start:
        found.take(start)
        start = file.read(BLOCK)
    return found.encoding()


class _EightBits:
    """Tells UTF-8 from Windows-1252, and both from what is no text, block by block."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_utf8, self._ascii, self._lines = True, True, 1

    def take(self, block: bytes) -> None:
        """Look at the next bytes; raises TableError."""
        if block.count(b"\0") > FEW_NULS * len(block):
            raise self._error("it is no text.", block, block.index(b"\0"))
        if self._is_utf8:
            try:
                self._decoder.decode(block)
            except UnicodeDecodeError as error:
                self._refuse_mixed(block, error.start)
                self._is_utf8 = False
        if not self._is_utf8 and (found := NOT_IN_1252.search(block)):
            raise self._error("it is neither UTF-8 nor Windows-1252 text.", block, found.start())
        self._ascii = self._ascii and block.isascii()
        self._lines += block.count(b"\n")

    def encoding(self) -> str:
        """Return what it is, after the last block."""
        return "utf-8" if self._is_utf8 and not self._decoder.getstate()[0] else "cp1252"

    def _refuse_mixed(self, block: bytes, at: int) -> None:
        """Refuse a text of which one part is UTF-8 and another is not."""
        if not (self._ascii and block[: max(0, at - 3)].isascii()):
            raise self._error("the text is UTF-8 above this row, and not in it.", block, at)

    def _error(self, message: str, block: bytes, at: int) -> TableError:
        return TableError(message, "Save it as CSV UTF-8.", self._lines + block[:at].count(b"\n"))


def _parsed(file: BinaryIO, notes: list[str]) -> Table:
    """Find what parts the cells of a text in UTF-8, and its header; raises TableError where there is none."""
    file.seek(0)
    start = file.read(SAMPLE)
    whole = len(start) < SAMPLE
    bom = start.startswith(codecs.BOM_UTF8)
    text = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode(start, final=whole)
    found = [_Candidate.of(text, mark, whole=whole) for mark in DELIMITERS]
    best = min(filter(None, found), key=_Candidate.rank, default=None)
    if best is None:
        raise TableError("the file is empty.", "Give one with a header and students in it.")
    if best.place:
        titles = [" ".join(filter(None, row)) for row in best.rows[: best.place]]
        shown = next(filter(None, titles), "")[:40]
        notes.append(
            f"{plural(best.place, 'line')} above the header {'is' if best.place == 1 else 'are'} left out, "
            f"the first is {shown!r}; rows are counted from the header, as row 1"
        )
    below = best.rows[best.place + 1 :]
    return Table(
        file,
        best.names,
        best.delimiter,
        best.line,
        bom,
        below,
        whole and best.complete,
        notes,
        uneven=best.uneven,
    )


@dataclass
class _Candidate:
    """What a text would be if its cells were parted so: its rows, the place of the header among them."""

    delimiter: str
    rows: list[Row]
    place: int
    names: list[str]
    line: int
    complete: bool
    uneven: bool

    def rank(self) -> tuple[bool, bool, int, int]:
        """Return what is least for the likeliest: a table, rows like the header, an early one, many names."""
        wanted = len(self.names)
        below = self.rows[self.place + 1 :]
        alike = sum(len(row) >= wanted and not any(row[wanted:]) for row in below)
        single = sorted(map(len, self.rows))[len(self.rows) // 2] < 2
        return single and wanted < 2, alike < ALIKE * len(below), self.place, -wanted

    @classmethod
    def of(cls, text: str, delimiter: str, *, whole: bool) -> "_Candidate | None":
        rows, lines, complete, empty = _first_rows(text, delimiter, whole=whole)
        if not rows:
            return None
        place = _header_place(rows)
        names = [name.strip() for name in rows[place]]
        uneven = any(line > lines[place] and width != len(names) for line, width in empty)
        return cls(delimiter, rows, place, names, lines[place], complete, uneven)


def _first_rows(
    text: str, delimiter: str, *, whole: bool
) -> tuple[list[Row], list[int], bool, list[tuple[int, int]]]:
    """Return the first rows that say something, the line that each ends in, and whether these are all.

    And of the rows of cells in which nothing is, the line and the number of cells.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Row] = []
    lines: list[int] = []
    empty: list[tuple[int, int]] = []
    try:
        for row in reader:
            if any(map(str.strip, row)):
                rows.append(row)
                lines.append(reader.line_num)
            elif row:
                empty.append((reader.line_num, len(row)))
            if len(rows) > SAMPLED_ROWS:
                return rows, lines, False, empty
    except csv.Error:  # a cell that is too long for it, or a NUL
        rows = rows or [text.partition("\n")[0].split(delimiter)]
        lines = lines or [1]
    if not whole and len(rows) > 1:
        rows, lines = rows[:-1], lines[:-1]  # the last one may be half of one
    return rows, lines, whole, empty


def _header_place(rows: Sequence[Row]) -> int:
    """Return which row is the header: the first that is about as full as the rows are, and says words."""
    filled = [sum(1 for cell in row if cell.strip()) for row in rows]
    usual = sorted(filled)[len(filled) // 2]
    first = filled[0]
    if usual < 2 or first >= TITLE_SHARE * usual or len(rows) < 3:
        return 0
    for place, row in enumerate(rows[:MOST_TITLES]):
        numbers = sum(1 for cell in row if NUMERIC.fullmatch(cell.strip()))
        if filled[place] >= TITLE_SHARE * usual and numbers < filled[place] / 2:
            return place
    return 0


def _is_ragged(table: Table) -> bool:
    """Tell whether rows are longer than the header by empty cells alone."""
    wanted = len(table.names)
    return table.uneven or any(
        len(row) > wanted and not any(map(str.strip, row[wanted:])) for row in table.sample
    )


def _squared(table: Table, copies: Copies) -> Table:
    """Return a copy without the empty cells behind those of the header."""
    copy = copies.make()
    text = io.TextIOWrapper(copy, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, delimiter=table.delimiter, lineterminator="\n")
    wanted = len(table.names)
    writer.writerow(table.names)
    for row in rows_below(table):
        if not any(map(str.strip, row)):
            writer.writerow([""] * wanted)
        else:
            extra = any(map(str.strip, row[wanted:]))
            writer.writerow(row if extra else row[:wanted])
    text.detach()
    sample = [row[:wanted] if not any(map(str.strip, row[wanted:])) else row for row in table.sample]
    table.notes.append("empty cells behind those of the header are left out")
    return Table(
        copy, table.names, table.delimiter, 1, table.bom, sample, table.whole, table.notes, rewritten=True
    )


def rows_below(table: Table) -> Generator[Row]:
    """Yield the rows below the header that are not empty lines; raises csv.Error, UnicodeDecodeError."""
    table.file.seek(0)
    text = io.TextIOWrapper(table.file, encoding="utf-8-sig", newline="")
    try:
        for _ in range(table.line):
            text.readline()
        yield from filter(None, csv.reader(text, delimiter=table.delimiter, strict=True))
    finally:
        text.detach()
