"""A class's rows as they are read: forgiving where it does not matter, named, mended, and none forgotten."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import NamedTuple

from data.contract.contract import Contract
from data.rows.notation import Settled
from data.rows.records import Record, asking, typical_value
from data.rows.spreadsheets import FIRST_ROW
from data.words import listed
from serving.cells import RowReader
from serving.pages.mending import Mends, RowError, Unread, check_headings, mended, rename_headings
from serving.pages.show import describe_allowed, describe_fault, plural
from serving.problems import Problem
from serving.sheet import Row, Sheet

MOST_ROWS = 20_000
SHOWN = 40  # letters of a cell
LOOKED_AT = 50  # cells of a column, to tell whether it holds names
MOST_TWICE = 5  # ids that are named
NAMES = frozenset(
    (
        *("name", "surname", "forename", "firstname", "lastname", "fullname", "pupil", "student"),
        *("vorname", "nachname", "nombre", "apellido", "apellidos", "nom", "prénom", "prenom"),
        *("cognome", "nome", "naam", "voornaam", "achternaam"),
    )
)
NUMBERS = frozenset(["id", "no", "nr", "nummer", "number", "code", "upn", "uln", "matricola"])
"""Words of a heading: who a student is, and by which number."""


class UploadedClass(NamedTuple):
    """A file as it was read: students as records beside their numbers, and those who cannot be forecast."""

    header: Row
    delimiter: str
    rows: list[Row]
    records: list[Record]
    numbers: list[int]
    troubles: list[RowError]
    """All that is wrong; with optional columns it keeps nobody from being forecast."""
    unread: list[Unread]
    names: list[str]
    ids: list[str]
    own: list[str]
    """The headings that the contract does not know."""
    assumed: tuple[str, ...] = ()
    """What was assumed of the file, and of how its columns write their numbers."""
    doubts: tuple[str, ...] = ()
    """What a person should look at."""
    notes: tuple[str, ...] = ()
    """What was assumed of the file alone."""

    def row(self, place: int) -> Row:
        """Return the cells of a record's row."""
        return self.rows[self.numbers[place] - FIRST_ROW]


def read_roster(
    sheet: Sheet, contract: Contract, mends: Mends | None = None, beside: str = ""
) -> UploadedClass:
    """Read a whole file; raises Problem 413 for too many rows, 422 for columns that do not fit.

    A cell that cannot be read leaves its column empty where no forecast depends on it; `beside` is the
    heading that says who a student is.
    """
    mends = mends or Mends()
    renamed = rename_headings(sheet, contract, mends.headings)
    check_headings(sheet, contract)
    settled = sheet.settled(contract)
    rows = mended(all_rows(sheet), contract.named(sheet.header), mends.cells, settled)
    naming = Naming(sheet.header, rows, contract, beside)
    read = _read(rows, sheet.header, contract, settled)
    numbers = [place + FIRST_ROW for place in read.places]
    ids = [naming.id(rows[place]) for place in read.places]
    notes = (*sheet.notes, *renamed)
    return UploadedClass(
        header=sheet.header,
        delimiter=sheet.delimiter,
        rows=rows,
        records=read.records,
        numbers=numbers,
        troubles=[fault for faults in read.faults.values() for fault in faults],
        unread=[_unread(place, naming, rows, read) for place in read.unread],
        names=[naming.name(rows[place]) for place in read.places],
        ids=[one or f"Row {number}" for one, number in zip(ids, numbers, strict=True)],
        own=naming.own,
        assumed=(*notes, *settled.notes, *read.forgiven),
        doubts=tuple(_doubts(ids, numbers, contract) + read.left_out),
        notes=notes,
    )


class _Read(NamedTuple):
    """What became of the rows, by their places: the sound ones' records, the others, and their faults."""

    records: list[Record]
    places: list[int]
    unread: list[int]
    faults: dict[int, list[RowError]]
    forgiven: list[str]
    left_out: list[str]


def _read(rows: list[Row], header: Row, contract: Contract, settled: Settled) -> _Read:
    """Read rows once and, where nothing depends on what is wrong with some, these again without it."""
    reader, example = RowReader(header, contract, settled.notations), _example_row(header, contract)
    header = contract.named(header)
    students = [place for place, row in enumerate(rows) if any(map(str.strip, row)) and row != example]
    errors = reader.read([rows[place] for place in students])[1]
    faults = {
        place: list(_troubles(place + FIRST_ROW, error, header, rows[place], contract))
        for place, error in zip(students, errors, strict=True)
        if error
    }
    needless = {column.name for column in (*contract.audit, *([contract.id] if contract.id else []))}
    forgiven = {place: wrong for place, wrong in faults.items() if {one.column for one in wrong} <= needless}
    wanted = [_without(rows[place], header, forgiven.get(place, ())) for place in students]
    records, errors = reader.read(wanted)
    sound = [place for place, error in zip(students, errors, strict=True) if not error]
    return _Read(
        records,
        sound,
        [place for place in students if place in faults and place not in forgiven],
        faults,
        list(_forgiven_sentences(forgiven.values())),
        [
            f"Row {n} is the template’s example and was left out."
            for n, row in enumerate(rows, 2)
            if row == example
        ],
    )


def _unread(place: int, naming: "Naming", rows: Sequence[Row], read: _Read) -> Unread:
    row = rows[place]
    return Unread(place + FIRST_ROW, naming.name(row), naming.id(row), read.faults[place])


def read_one(sheet: Sheet, contract: Contract, number: int, mends: Mends | None = None) -> tuple[Record, str]:
    """Return the record of one row and the name in it; raises Problem 422 where there is none."""
    file = read_roster(sheet, contract, mends)
    if number not in file.numbers:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Row {number} of the file is no student's.")
    place = file.numbers.index(number)
    return file.records[place], file.names[place] or file.ids[place]


def all_rows(sheet: Sheet) -> list[Row]:
    """Return a file's rows; raises Problem 413 for too many."""
    rows: list[Row] = []
    for chunk in sheet.chunks(MOST_ROWS, blank=True):  # a spreadsheet counts them too
        rows += chunk
        if len(rows) > MOST_ROWS:
            detail = f"The page takes {MOST_ROWS:,} rows at most. POST /predict/batch takes any number."
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    return rows


# What cannot be read


def _troubles(number: int, error: str, header: Row, row: Row, contract: Contract) -> Iterator[RowError]:
    for part in filter(None, error.split("; ")):
        name, _, message = part.partition(": ")
        column = asking(contract).columns.get(name)
        if column is None or name not in header:
            remedy = "Look for a comma too many or a cell too few."
            yield RowError(number, "", "The whole row", f"{part[:1].upper()}{part[1:]}.", remedy)
            continue
        text = row[header.index(name)].strip()
        choices = listed(list(column.codes.values()), "or")
        remedy = f"Choose {choices}." if choices else describe_allowed(column)
        said = "Nothing is given." if message == "missing" else describe_fault(text, message)
        yield RowError(number, name, column.title, said, remedy, text)


def _without(row: Row, header: Row, faults: Sequence[RowError]) -> Row:
    """Return a row with the cells empty of which nothing depends."""
    empty = {header.index(fault.column) for fault in faults}
    return ["" if place in empty else cell for place, cell in enumerate(row)]


def _forgiven_sentences(faults: Iterable[Sequence[RowError]]) -> Iterator[str]:
    counts = Counter(fault.title for some in faults for fault in some)
    for title, count in counts.items():
        read = "could not be read and counts" if count == 1 else "could not be read and count"
        yield f"{title}: {plural(count, 'cell')} {read} as empty; no forecast depends on it"


def _doubts(ids: Sequence[str], numbers: Sequence[int], contract: Contract) -> list[str]:
    """Say which ids stand twice."""
    twice = [one for one, count in Counter(filter(None, ids)).items() if count > 1]
    if not twice or contract.id is None:
        return []
    places = [number for one, number in zip(ids, numbers, strict=True) if one == twice[0]]
    more = f", and {plural(len(twice) - 1, 'more number')} more than once" if len(twice) > 1 else ""
    where = listed([str(number) for number in places[:MOST_TWICE]])
    return [f"{contract.id.title} {twice[0]} stands in rows {where}{more}. Each row is forecast by itself."]


def template_rows(contract: Contract) -> list[Row]:
    """Return the columns to give, and one line that shows how they are written."""
    columns = [*([contract.id] if contract.id else []), *contract.asked]
    typical = [typical_value(column) for column in columns]
    shown = [value if isinstance(value, str) else f"{value:.0f}" for value in typical]
    cells = [next(iter(c.codes.values()), value) for c, value in zip(columns, shown, strict=True)]
    return [[column.name for column in columns], cells]


def _example_row(header: Row, contract: Contract) -> Row | None:
    """Return the template's example where the file has the template's columns."""
    columns, cells = template_rows(contract)
    return cells if header == columns else None


# Who a student is


class Naming:
    """Finds who a row is about: the names by their headings or the tutor's choice, and the id."""

    def __init__(self, header: Row, rows: Sequence[Row], contract: Contract, beside: str = "") -> None:
        known, header = {*asking(contract).columns, contract.target.column}, contract.named(header)
        self.own = [name for name in header if name and name not in known]
        self._header, self._rows = header, rows[:LOOKED_AT]
        chosen = [beside] if beside in self.own else self._likely()
        self._places = [header.index(name) for name in chosen]
        self._id = header.index(contract.id.name) if contract.id and contract.id.name in header else None

    def name(self, row: Row) -> str:
        """Return what the row's student is called; nothing where the file has no names."""
        return " ".join(filter(None, (self._at(row, place) for place in self._places)))

    def id(self, row: Row) -> str:
        """Return the id as the file has it."""
        return "" if self._id is None else self._at(row, self._id)

    def _likely(self) -> list[str]:
        said = {name: set(re.findall(r"[^\W\d_]+", name.casefold())) for name in self.own}
        by_heading = [name for name, words in said.items() if words & NAMES and not words & NUMBERS]
        return by_heading[:2] or [name for name in self.own if self._tell_apart(name)][:1]

    def _tell_apart(self, name: str) -> bool:
        """Tell whether a column's cells are words, and hardly any two the same."""
        cells = self._cells[self._header.index(name)]
        words = [cell for cell in cells if cell and not any(map(str.isdigit, cell))]
        return len(words) > 1 and len(words) == len(cells) and len(set(words)) > 0.8 * len(words)

    @cached_property
    def _cells(self) -> list[list[str]]:
        width = len(self._header)
        return [[self._at(row, place) for row in self._rows] for place in range(width)]

    @staticmethod
    def _at(row: Row, place: int) -> str:
        return row[place].strip()[:SHOWN] if place < len(row) else ""
