"""The cells of a CSV to score as records: the rules of training files, told row by row."""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np

from data.contract.columns import ELAPSED, Column, Role
from data.contract.contract import Contract
from data.rows.ids import are_plain
from data.rows.kinds import PASSED, Reason, rule_of
from data.rows.notation import Notation
from data.rows.records import Record

MOST_REMEMBERED, LONGEST_REMEMBERED = 10_000, 100  # texts of one column, and letters of one
WIDE = 4  # times as many columns as are asked for
Row = Sequence[str]


class ColumnReader(dict[str, Any]):
    """What the texts of one column mean, each worked out once: a value, None for none, or a Reason."""

    def __init__(self, column: Column, place: int = 0, notation: Notation | None = None) -> None:
        super().__init__()
        self._notation = notation
        self.name, self.place = column.name, place
        self.optional = column.role is not Role.FEATURE
        self._column, self._rule = column, rule_of(column)
        self.any_fault = False

    def __missing__(self, text: str) -> Any:
        value = self._rule.read(self._notation.plain(text) if self._notation else text)
        if value is None and self._column.required:
            value = Reason.MISSING
        self.any_fault |= isinstance(value, Reason)
        if len(text) <= LONGEST_REMEMBERED:
            self[text] = value
        return value

    def read(self, texts: Sequence[str]) -> Sequence[Any]:
        """Return what each of this column's cells means."""
        self._forget()
        return self._plain(texts) or list(map(self.__getitem__, texts))

    def is_sound(self, texts: Sequence[str]) -> bool:
        """Tell whether none of this column's cells breaks the contract."""
        self._forget()
        return bool(self._plain(texts)) or not any(type(self[text]) is Reason for text in set(texts))

    def _forget(self) -> None:
        if len(self) > MOST_REMEMBERED:
            self.clear()

    def _plain(self, texts: Sequence[str]) -> Sequence[Any] | None:
        """Return at one look what texts mean that are hardly ever twice the same, as long as all is well."""
        if self._notation is not None and not self._notation.reads_plainly:
            return None
        if self._column.role is Role.ID:
            plain = self._column.whole and all(texts) and are_plain(texts)
            return None if not plain or any(wrong.any() for _, wrong in self._rule.faults(texts)) else texts
        if not self._column.decimal:
            return None
        together = "".join(texts)
        try:
            numbers = list(map(float, texts)) if together.isascii() and "_" not in together else []
        except ValueError:
            return None
        array = np.array(numbers)
        broken = np.isnan(array).any() or any(wrong.any() for _, wrong in self._rule.faults(array))
        return None if broken else numbers


class RowReader:
    """Reads rows under one header; columns that the contract does not ask for are not looked at."""

    def __init__(
        self, header: Sequence[str], contract: Contract, notations: Mapping[str, Notation] | None = None
    ) -> None:
        """Read by how the file's columns write their numbers."""
        notations = notations or {}
        asked = {column.name: column for column in contract.asked}
        if contract.id is not None:
            asked[contract.id.name] = contract.id
        if contract.accumulating:
            asked[ELAPSED] = PASSED
        self._width = len(header)
        names = contract.named(header)
        self._columns = [
            ColumnReader(asked[n], place, notations.get(n)) for place, n in enumerate(names) if n in asked
        ]
        self._instead = {c.name: c.instead for c in contract.fallbacks if c.name not in names}

    def errors(self, rows: Sequence[Row]) -> list[str]:
        """Return for each row what is wrong with it, or nothing."""
        return [""] * len(rows) if self._are_sound(rows) else self._values(rows)[1]

    def read(self, rows: Sequence[Row]) -> tuple[list[Record], list[str]]:
        """Return the records of the sound rows, and every row's errors."""
        values, errors = self._values(rows)
        names = [column.name for column in self._columns]
        more = self._instead
        records = [{**dict(zip(names, row, strict=True)), **more} for row in zip(*values, strict=True)]
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
        if type(cell) is Reason and not errors[position].startswith("the row has "):
            errors[position] += f"{'; ' if errors[position] else ''}{name}: {cell}"
