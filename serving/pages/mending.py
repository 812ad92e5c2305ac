"""Mending a file that does not fit: which heading was meant for a column, and what a cell means.

What a person said travels as fields of the form, and holds for every later look at the class.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

import orjson

from data.contract.columns import Column
from data.contract.contract import Contract
from data.rows.notation import COMMA, Notation, Settled
from data.rows.records import asking
from data.rows.spreadsheets import FIRST_ROW, nearly
from serving.problems import Problem
from serving.sheet import Row, Sheet, check_header

MEND, HEADING, OFFERED = "mend ", "heading ", "offered "
"""What stands before a form's field that says what to write for cells, which heading a column has, and what
to write for cells once the button for that is pressed."""
SAMPLE, LOOKED_AT = 20, 50  # letters of a cell that is shown, and rows that are looked at for such
NEAR = 0.5
"""How alike a cell and a label are, of 1, from which on one may be meant by the other."""

Cell = tuple[str, str | int]
"""A column and a text that it holds or, where there is none, a row."""


class RowError(NamedTuple):
    """What is wrong with one cell: its row, its column, what, and what to do."""

    row: int
    column: str
    title: str
    message: str
    remedy: str
    text: str = ""


class Unread(NamedTuple):
    """A student who cannot be forecast: the row, what it says of who it is, and what is wrong."""

    number: int
    name: str
    id: str
    faults: list[RowError]


class Mends(NamedTuple):
    """What a person said of a file that did not fit: its headings by column, and what cells mean."""

    headings: Mapping[str, str] = {}
    cells: Mapping[Cell, str] = {}

    @property
    def fields(self) -> dict[str, str]:
        """They as the fields of a form."""
        return {HEADING + quote(name, safe=""): said for name, said in self.headings.items()} | {
            field_of(cell): text for cell, text in self.cells.items()
        }


def field_of(cell: Cell, kind: str = MEND) -> str:
    """Return the name of the form's field that says what a cell means.

    Quoted, for in the parts of a form browsers write quotation marks otherwise.
    """
    return kind + quote(orjson.dumps(cell), safe="")


def read_mends(form: Mapping[str, str]) -> Mends:
    """Return what a form says of its file; what is no field of ours says nothing."""
    headings, cells = dict[str, str](), dict[Cell, str]()
    taken = (MEND, OFFERED) if form.get("mend") else (MEND,)
    for field, said in form.items():
        if said.strip() and field.startswith(HEADING):
            headings[unquote(field.removeprefix(HEADING))] = said
        elif said.strip() and field.startswith(taken):
            cell = _cell(unquote(field.partition(" ")[2]))
            cells |= {cell: said.strip()} if cell else {}
    return Mends(headings, cells)


def _cell(text: str) -> Cell | None:
    try:
        cell = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    fits = isinstance(cell, list) and len(cell) == 2 and isinstance(cell[0], str)
    return (cell[0], cell[1]) if fits and type(cell[1]) in (str, int) else None


def rename_headings(sheet: Sheet, contract: Contract, said: Mapping[str, str]) -> list[str]:
    """Give columns their names where a heading was said to be theirs, or is their name or title otherwise.

    In other letters, that is. Returns what was assumed, in sentences.
    """
    wanted = [*([contract.id] if contract.id else []), *contract.asked]
    told = []
    for column in wanted:
        heading = said.get(column.name) or _same(column, sheet.header)
        if column.name in contract.named(sheet.header) or heading not in sheet.header:
            continue
        sheet.header = [column.name if name == heading else name for name in sheet.header]
        told.append(f"“{heading}” is read as {column.title}")
    return told


def _same(column: Column, header: Row) -> str:
    """Return the one heading that is a column's name or title but for case, spaces and signs."""
    wanted = {_letters(column.name), _letters(column.title)}
    found = [name for name in header if _letters(name) in wanted]
    return found[0] if len(found) == 1 else ""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


class Heading(NamedTuple):
    """A column that a file lacks, and the heading that was probably meant."""

    column: Column
    field: str
    near: str


class Misfit(Problem):
    """A file that lacks columns and has headings that may be meant for them."""

    def __init__(self, problem: Problem, sheet: Sheet, wanted: list[Heading], free: dict[str, int]) -> None:
        super().__init__(problem.status, problem.detail, problem.errors)
        self.sheet, self.wanted, self.free = sheet, wanted, free

    def samples(self, rows: Sequence[Row]) -> dict[str, str]:
        """Return the free headings, each with the first few different cells below it."""
        found = {}
        for name, place in self.free.items():
            cells = [row[place].strip()[:SAMPLE] for row in rows[:LOOKED_AT] if place < len(row)]
            found[name] = ", ".join(list(dict.fromkeys(filter(None, cells)))[:3])
        return found


def check_headings(sheet: Sheet, contract: Contract) -> None:
    """Raise Misfit where columns are missing for which headings of nobody may be meant, else Problem 422."""
    try:
        check_header(sheet.header, contract, ())
    except Problem as problem:
        names = contract.named(sheet.header)
        known = asking(contract).columns
        lacking = [c.name for c in contract.features if c.name not in names and c.fallback is None]
        free = {name: place for place, name in enumerate(names) if name and name not in known}
        if not lacking or len(free) < len(lacking):
            raise
        near = nearly(lacking, names, contract)
        wanted = [
            Heading(contract.columns[name], HEADING + quote(name, safe=""), near.get(name, ""))
            for name in lacking
        ]
        raise Misfit(problem, sheet, wanted, free) from problem


def mended(rows: list[Row], header: Row, cells: Mapping[Cell, str], settled: Settled) -> list[Row]:
    """Return rows with what cells were said to mean, written as their column writes numbers."""
    if not cells:
        return rows
    places = {name: header.index(name) for name, _ in cells if name in header}
    mended = [list(row) for row in rows]
    for (name, key), text in cells.items():
        notation = settled.notations.get(name)
        said = (
            text.replace(".", ",") if isinstance(notation, Notation) and notation.decimal == COMMA else text
        )
        place = places.get(name)
        for number, row in enumerate(mended, FIRST_ROW):
            if place is not None and place < len(row) and key in (number, row[place].strip() or number):
                row[place] = said
    return mended


class ToMend(NamedTuple):
    """What can be mended at once: the cells of a column that say the same, and what may be meant."""

    field: str
    column: Column
    fault: RowError
    rows: list[int]
    near: str


def to_mend(unread: Sequence[Unread], contract: Contract) -> list[ToMend]:
    """Return what keeps students from being forecast, cells that say the same together, most rows first."""
    found: dict[tuple[str, str | int], list[RowError]] = {}
    for fault in (fault for one in unread for fault in one.faults if fault.column in contract.columns):
        found.setdefault((fault.column, fault.text or fault.row), []).append(fault)
    groups = sorted(found.items(), key=lambda group: -len(group[1]))
    return [
        ToMend(
            field_of(cell, OFFERED),
            contract.columns[cell[0]],
            faults[0],
            [fault.row for fault in faults],
            _near_label(contract.columns[cell[0]], faults[0].text),
        )
        for cell, faults in groups
    ]


def _near_label(column: Column, text: str) -> str:
    """Return the label that was probably meant, where one is near."""
    labels = {label.casefold(): label for label in column.codes.values()}
    near = difflib.get_close_matches(text.casefold(), labels, n=1, cutoff=NEAR)
    near = near or [label for label in labels if text and label[0] == text[0].casefold()]
    return labels[near[0]] if len(near) == 1 else ""
