"""The cells of a CSV to score as records: the rules of training files, told row by row."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import compress
from typing import Any

import numpy as np

from data.contract.columns import MISSING_TEXTS, Column, Kind, Role
from data.contract.contract import Contract
from data.rows.ids import WHOLE_ID, canonical_id
from data.rows.records import Record, code_of

MOST_REMEMBERED, LONGEST_REMEMBERED = 10_000, 100  # texts of one column, and letters of one
WIDE = 4  # times as many columns as are asked for
Row = Sequence[str]


class Fault(str):
    """Why a cell breaks the contract."""

    __slots__ = ()


class ColumnReader(dict[str, Any]):
    """What the texts of one column mean, each worked out once: a value, None for none, or a Fault."""

    def __init__(self, column: Column, place: int) -> None:
        super().__init__()
        self.name, self.place = column.name, place
        self.optional = column.role is not Role.FEATURE
        self._mean, self._may_be_missing = _meaning_of(column), self.optional or column.nullable
        self._plain = _plain_reader(column)
        self.any_fault = False

    def __missing__(self, text: str) -> Any:
        bare = text.strip()
        if bare in MISSING_TEXTS:
            value = None if self._may_be_missing else Fault("missing")
        else:
            value = self._mean(bare)
        self.any_fault |= isinstance(value, Fault)
        if len(text) <= LONGEST_REMEMBERED:
            self[text] = value
        return value

    def read(self, texts: Sequence[str]) -> Sequence[Any]:
        """Return what each of this column's cells means."""
        self._forget()
        if self._plain is not None and (plain := self._plain(texts)):
            return plain
        return list(map(self.__getitem__, texts))

    def is_sound(self, texts: Sequence[str]) -> bool:
        """Tell whether none of this column's cells breaks the contract."""
        self._forget()
        if self._plain is not None and self._plain(texts):
            return True
        return not any(type(self[text]) is Fault for text in set(texts))

    def _forget(self) -> None:
        if len(self) > MOST_REMEMBERED:
            self.clear()


class RowReader:
    """Reads rows under one header; columns that the contract does not ask for are not looked at."""

    def __init__(self, header: Sequence[str], contract: Contract) -> None:
        asked = {column.name: column for column in contract.asked}
        if contract.id is not None:
            asked[contract.id.name] = contract.id
        self._width = len(header)
        self._columns = [ColumnReader(asked[n], place) for place, n in enumerate(header) if n in asked]

    def errors(self, rows: Sequence[Row]) -> list[str]:
        """Return for each row what is wrong with it, or nothing."""
        return [""] * len(rows) if self._are_sound(rows) else self._values(rows)[1]

    def read(self, rows: Sequence[Row]) -> tuple[list[Record], list[str]]:
        """Return the records of the sound rows, and every row's errors."""
        values, errors = self._values(rows)
        names = [column.name for column in self._columns]
        records = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        self._leave_out_missing(records, values)
        return list(compress(records, [not error for error in errors])), errors

    def _values(self, rows: Sequence[Row]) -> tuple[list[Sequence[Any]], list[str]]:
        """Return each column's values, and every row's errors."""
        errors = [""] * len(rows)
        if not self._fit(rows):
            errors = [self._misfit(row) for row in rows]
            blank = [""] * self._width
            rows = [blank if error else row for row, error in zip(rows, errors, strict=True)]
        values = [column.read(texts) for column, texts in self._by_column(rows)]
        for column, cells in zip(self._columns, values, strict=True):
            if column.any_fault:
                _note(errors, column.name, cells)
        return values, errors

    def _are_sound(self, rows: Sequence[Row]) -> bool:
        """Tell whether no row breaks the contract, which is quicker than saying where."""
        return self._fit(rows) and all(column.is_sound(texts) for column, texts in self._by_column(rows))

    def _by_column(self, rows: Sequence[Row]) -> list[tuple[ColumnReader, tuple[str, ...]]]:
        if self._width > WIDE * len(self._columns):
            return [(column, tuple(row[column.place] for row in rows)) for column in self._columns]
        cells = list(zip(*rows, strict=True)) or [()] * self._width
        return [(column, cells[column.place]) for column in self._columns]

    def _fit(self, rows: Sequence[Row]) -> bool:
        return set(map(len, rows)) <= {self._width}

    def _misfit(self, row: Row) -> str:
        return "" if len(row) == self._width else f"the row has {len(row)} cells, the header {self._width}"

    def _leave_out_missing(self, records: list[Record], values: Sequence[Sequence[Any]]) -> None:
        """Take optional columns out of the records in which they are empty."""
        for column, cells in zip(self._columns, values, strict=True):
            if column.optional and None in cells:
                for record in records:
                    if record[column.name] is None:
                        del record[column.name]


def _note(errors: list[str], name: str, cells: Sequence[Any]) -> None:
    """Add a column's faults to the rows' errors, but to those whose cells are in the wrong places."""
    for position, cell in enumerate(cells):
        if type(cell) is Fault and not errors[position].startswith("the row has "):
            errors[position] += f"{'; ' if errors[position] else ''}{name}: {cell}"


def _plain_reader(column: Column) -> Callable[[Sequence[str]], Sequence[Any] | None] | None:
    """Return what reads a column whose texts are hardly ever twice the same, as long as all is well."""
    if (
        column.role is Role.ID
        and column.kind is Kind.INTEGER
        and column.limits[0] <= 1
        and column.max is None
    ):
        return _plain_ids
    return partial(_plain_numbers, *column.limits) if column.kind is Kind.NUMBER else None


def _plain_ids(texts: Sequence[str]) -> Sequence[Any] | None:
    """Return ids that are written as whole numbers from 1 on, or nothing if one of them is not."""
    together = "".join(texts)
    well = together.isascii() and together.isdecimal() and all(texts)
    return texts if well and not any(text[0] == "0" for text in texts) else None


def _plain_numbers(low: float, high: float, texts: Sequence[str]) -> Sequence[Any] | None:
    """Return numbers between two limits, or nothing if a text is not one."""
    together = "".join(texts)
    try:
        numbers = list(map(float, texts)) if together.isascii() and "_" not in together else []
    except ValueError:
        return None
    # What is no number fails every comparison, and infinity is beyond any limit.
    array = np.array(numbers)
    return numbers if bool(((low <= array) & (array <= high)).all()) else None


def _meaning_of(column: Column) -> Callable[[str], Any]:
    if column.role is Role.ID:
        return partial(_id, column)
    return partial(_code if column.coded else _number, column)


def _code(column: Column, text: str) -> Any:
    code = code_of(column, text)
    return Fault("unknown code") if code is None else code


def _id(column: Column, text: str) -> str:
    whole = column.kind is Kind.INTEGER
    student = canonical_id(text, whole=whole)
    if not whole:
        return student
    if not WHOLE_ID.fullmatch(student):
        return Fault("not a whole number")
    low, high = column.limits
    return student if low <= float(student) <= high else Fault("out of range")


def _number(column: Column, text: str) -> float | Fault:
    try:
        if "_" in text or not text.isascii():  # Python's way to write digits is not a spreadsheet's
            raise ValueError
        number = float(text)
    except ValueError:
        return Fault("not a number")
    low, high = column.limits
    if not math.isfinite(number):
        return Fault("not finite")
    if column.kind is Kind.INTEGER and number % 1:
        return Fault("not a whole number")
    if not low <= number <= high:
        return Fault("out of range")
    return int(number) if column.kind is Kind.INTEGER else number
