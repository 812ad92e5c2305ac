"""A roster's rows as records, and what is wrong with the others, named by row and column."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import NamedTuple

from data.contract import Contract
from data.records import Record
from serving.cells import RowReader
from serving.pages.words import wanted
from serving.problems import Problem
from serving.sheet import Row, Sheet, check_header

MOST_ROWS = 20_000
FIRST_ROW = 2  # as a spreadsheet counts: the header is row 1
SHOWN = 40  # letters of a cell
ALSO_SHOWN = 2  # columns that the contract does not know, beside the id


class Trouble(NamedTuple):
    """What is wrong with one cell: its row, its column, what it says, and what to do."""

    row: int
    column: str
    title: str
    cell: str
    message: str
    remedy: str


class Roster(NamedTuple):
    """A file as it was read: its sound rows as records beside their numbers, and its troubles."""

    header: Row
    delimiter: str
    rows: list[Row]
    records: list[Record]
    numbers: list[int]
    troubles: list[Trouble]
    bad: int

    def row(self, place: int) -> Row:
        """Return the cells of a record's row."""
        return self.rows[self.numbers[place] - FIRST_ROW]


def read_roster(sheet: Sheet, contract: Contract, added: Sequence[str] = ()) -> Roster:
    """Read a whole file; raises Problem 413 for too many rows, 422 for columns that do not fit."""
    check_header(sheet.header, contract, added)
    rows: list[Row] = []
    for chunk in sheet.chunks(MOST_ROWS, blank=True):  # a spreadsheet counts them too
        rows += chunk
        if len(rows) > MOST_ROWS:
            detail = f"The page takes {MOST_ROWS:,} rows at most. POST /predict/batch takes any number."
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    records, errors = RowReader(sheet.header, contract).read(rows)
    blank = [not any(map(str.strip, row)) for row in rows]
    numbers = [place + FIRST_ROW for place, error in enumerate(errors) if not error]
    troubles = [
        trouble
        for place, error in enumerate(errors)
        if error and not blank[place]
        for trouble in _troubles(place + FIRST_ROW, error, sheet.header, rows[place], contract)
    ]
    bad = sum(bool(error) and not empty for error, empty in zip(errors, blank, strict=True))
    return Roster(sheet.header, sheet.delimiter, rows, records, numbers, troubles, bad)


def read_one(sheet: Sheet, contract: Contract, number: int) -> Record:
    """Return the record of one row; raises Problem 422 where there is none."""
    check_header(sheet.header, contract, ())
    first = FIRST_ROW
    for chunk in sheet.chunks(1_000, blank=True):
        if first <= number < first + len(chunk):
            records, _ = RowReader(sheet.header, contract).read([chunk[number - first]])
            if records:
                return records[0]
        first += len(chunk)
    raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Row {number} of the file is no student's.")


def also_shown(header: Row, contract: Contract) -> list[int]:
    """Return the places of columns of the school's own that tell who a student is."""
    known = {*contract.columns, contract.target.column}
    return [place for place, name in enumerate(header) if name and name not in known][:ALSO_SHOWN]


def _troubles(number: int, error: str, header: Row, row: Row, contract: Contract) -> Iterator[Trouble]:
    for part in error.split("; "):
        name, _, message = part.partition(": ")
        column = contract.columns.get(name)
        if column is None or name not in header:
            remedy = "Look for a comma too many or a cell too few."
            yield Trouble(number, "", "The whole row", "", f"{part[:1].upper()}{part[1:]}.", remedy)
            continue
        cell = row[header.index(name)].strip()[:SHOWN]
        choices = ", ".join(f"{code} ({label})" for code, label in column.codes.items())
        remedy = f"Give one of {choices}." if choices else wanted(column)
        said = "Nothing is given." if message == "missing" else f"“{cell}” is {message}."
        yield Trouble(number, name, column.title, cell, said, remedy)
