"""What spreadsheets make of a CSV: how they part and count its rows, and what they would run in a cell.

A cell that begins with = + - @ (full-width ones too), behind white space, control characters and others
that spreadsheets drop, gets an apostrophe before it; a plain number with its sign does not. Batch answers,
a class's download, scored rosters and the rows set aside are all written by this rule. What programs
read (Parquet, tables, JSON) is left as it is. See https://owasp.org/www-community/attacks/CSV_Injection.
"""

import csv
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from data.contract.contract import Contract

FIRST_ROW = 2
"""Rows are counted as a spreadsheet counts them: the header is row 1."""
NEAR = 0.75
"""How alike two names are, of 1, from which on one may be meant by the other."""
DELIMITERS = ",;\t|"


def split_header(line: str) -> tuple[list[str], str]:
    """Return a CSV's names, without the spaces around them, and the delimiter: what parts most of them."""
    cells = {mark: _cells(line, mark) for mark in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda mark: len(cells[mark]))
    return [name.strip() for name in cells[delimiter]], delimiter


def nearly(missing: Sequence[str], names: Iterable[str], contract: "Contract") -> dict[str, str]:
    """Return the heading that was probably meant for each column that a file lacks, where one is near."""
    free = [name for name in names if name and name not in contract.columns]
    found = {name: nearest_name(name, free) for name in missing}
    return {name: heading for name, heading in found.items() if heading}


def nearest_name(wanted: str, names: Iterable[str]) -> str:
    """Return the name that was probably meant; nothing where none is near."""
    free = {_letters(name): name for name in names}
    near = difflib.get_close_matches(_letters(wanted), free, n=1, cutoff=NEAR)
    return free[near[0]] if near else ""


def did_you_mean(name: str, heading: str) -> str:
    """Ask whether a heading is meant for a column."""
    return f"Did you mean {name} by {heading!r}? Then rename it."


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell that is too long for it
        return line.split(delimiter)


BETWEEN = "\x00"  # joins the cells of many rows for one look at them all
DROPPED = (
    "\x01-\x20\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"  # NUL besides
)
BEGINS, SIGNS = "=@＝＠", "+\\-\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
DIGITS = r"(?:\d+(?:[.,]\d*)?|[.,]\d+)"
NUMBER = rf"[\x00{DROPPED}]*[+-]?{DIGITS}([eE][+-]?\d+)?[ \t-\r]*"
RUN = rf"^[\x00{DROPPED}]*[{BEGINS}{SIGNS}]"
FIRST_BYTES = bytes({*range(0x21), 0x7F, 0xC2, 0xE1, 0xE2, 0xE3, 0xEF, *b"=+-@"})
"""What the UTF-8 of a cell that would be run may begin with."""

_RUN, _NUMBER = re.compile(RUN), re.compile(NUMBER, re.ASCII)
_ANY = re.compile(rf"{BETWEEN}[{DROPPED}]*(?:[{BEGINS}]|[{SIGNS}](?!{DIGITS}(?:{BETWEEN}|\Z)))", re.ASCII)


def neutralised(cell: str) -> str:
    """Return a cell as a CSV for people has it: an apostrophe before what would be run."""
    return f"'{cell}" if _RUN.match(cell) and not _NUMBER.fullmatch(cell) else cell


def nothing_to_neutralise(joined: str, cells: int) -> bool:
    """Tell at one look that none of so many cells, joined by NUL and begun by one, can be run.

    False may be too careful. A cell with a NUL of its own is told by their number.
    """
    return joined.count(BETWEEN) == cells and not _ANY.search(joined)


def neutralised_column(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return a column of texts in which none would be run."""
    import pyarrow.compute as pc

    number = pc.match_substring_regex(column, f"^(?:{NUMBER})$")
    run = pc.and_not(pc.match_substring_regex(column, RUN), number)
    if not pc.any(run).as_py():
        return column
    return pc.if_else(run, pc.binary_join_element_wise("'", column, ""), column)
