"""A contract's columns as a form, and a form's texts as a record, by the rules of files."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data.columns import Column, Kind
from data.contract import Contract
from data.records import Record
from serving.cells import ColumnReader, Fault
from serving.pages.words import wanted

SHORT = 14  # letters of a choice that fits on a button
STOPS = 40  # of a slider, at least
TRIED = "try."
"""What stands before a column's name where another value is only tried."""


class Field(NamedTuple):
    """One column as a field of a form: what it is asked with, what it says, what is wrong with that."""

    column: Column
    id: str
    name: str
    widget: str
    text: str
    fault: str
    required: bool

    @property
    def step(self) -> str:
        """The distance between two stops of a slider, and of the arrows of a number."""
        if self.column.kind is Kind.INTEGER:
            return "1"
        low, high = self.column.limits
        return f"{nice_step((high - low) / STOPS):g}"


def field_id(column: Column, contract: Contract, prefix: str = "") -> str:
    """Return what a page calls a column's field: names may hold what an id may not."""
    return f"{prefix}field-{list(contract.columns).index(column.name)}".replace(".", "-")


def fields(
    columns: Sequence[Column],
    contract: Contract,
    texts: Mapping[str, str],
    faults: Mapping[str, str],
    prefix: str = "",
) -> list[Field]:
    """Return columns of a contract as fields that say these texts, by column."""
    return [
        Field(
            column=column,
            id=field_id(column, contract, prefix),
            name=prefix + column.name,
            widget=widget(column),
            text=texts.get(column.name, ""),
            fault=faults.get(column.name, ""),
            required=needed(column),
        )
        for column in columns
    ]


def widget(column: Column) -> str:
    """Return how a column is asked for: buttons for a short yes or no, menus for other codes."""
    if not column.coded:
        return "text" if column.kind is Kind.NOMINAL else "number"
    short = len(column.codes) == 2 and all(len(label) <= SHORT for label in column.codes.values())
    return "choices" if short and needed(column) else "menu"


def needed(column: Column) -> bool:
    """Tell whether there is no forecast without this column."""
    return column.role == "feature" and not column.nullable


def texts_of(record: Mapping[str, Any], contract: Contract) -> dict[str, str]:
    """Return a record as the texts of its form."""
    return {
        name: f"{value:.3g}" if contract.columns[name].kind is Kind.NUMBER else str(value)
        for name, value in record.items()
        if value is not None
    }


def read_form(columns: Sequence[Column], texts: Mapping[str, str]) -> tuple[Record, dict[str, str]]:
    """Return the record that texts give, by column, and what is wrong with those that give none."""
    record: Record = {}
    faults: dict[str, str] = {}
    for column in columns:
        text = texts.get(column.name, "")
        value = ColumnReader(column, 0)[text]
        if isinstance(value, Fault):
            faults[column.name] = f"{_what_is_wrong(value, text)} {wanted(column)}"
        elif value is not None or column.role == "feature":
            record[column.name] = value
    return record, faults


def _what_is_wrong(fault: Fault, text: str) -> str:
    return "This is still missing." if fault == "missing" else f"“{text.strip()[:40]}” is {fault}."


def nice_step(wanted_step: float) -> float:
    """Return the round number at or below a step: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(wanted_step))
    return max(part for part in (1, 2, 5) if part * power <= wanted_step * (1 + 1e-9)) * power
