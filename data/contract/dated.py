"""The section of a contract for dated records: tables, days, checkpoints."""

import re
from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from data.contract.columns import repeated
from data.contract.expressions import (
    Condition,
    ContractError,
    Name,
    Strict,
    Taken,
    names_in,
    refuse_both,
)
from data.errors import BadInput

AS_OF = "as_of"
"""The day that a forecast is made for: a feature that every contract with dated records has."""
WHOLE = re.compile(r"-?[0-9]{1,6}")
Said = str | int | None
"""A day, a date, or nothing: as a person asks for it."""
Days = Annotated[tuple[Annotated[int, Field(ge=-3_660, le=36_600)], ...], Field(min_length=2)]


class ContractTable(Strict):
    """A table: where it is, whose its rows are, when they became known.

    rename: its own names for columns, and ours in their place. where: the rows that count as there at all.
    """

    source: Name = Field(alias="from")
    rename: dict[Name, Name] = Field(default_factory=dict)
    where: Condition | None = None
    key: tuple[Name, ...] = ()
    known: Name | None = None
    happened: Name | None = None
    join: dict[Name, tuple[Name, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_or_joined(self) -> Self:
        if self.happened and not self.known:
            raise ContractError("this needs known, the day from which it could be known", "happened")
        if any(not columns for columns in self.join.values()):
            raise ContractError("name the columns that both tables have, {tasks: [task]}", "join")
        if self.where:
            refuse_both(self.where, set(), "where")
            if AS_OF in names_in(self.where):
                raise ContractError("a table is the same on every day: without as_of here", "where")
        if twice := repeated([*self.rename.values()]):
            raise ContractError(f"two columns cannot both be named {twice[0]!r}", "rename")
        return self


class Cohort(Strict):
    """Which cohort a student is of; the last one in the order of their names is the newest."""

    column: Name
    pattern: str | None = None

    @model_validator(mode="after")
    def _pattern_is_one(self) -> Self:
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ContractError(f"this is no regular expression: {error}", "pattern") from error
        return self


class Present(Strict):
    """The columns of the student table between whose days a student is there to be forecast."""

    since: Name | None = Field(None, alias="from")
    until: Name | None = None


class Dated(Strict):
    """Where the dated records are, and the days that are trained on and judged."""

    students: Name
    key: Annotated[tuple[Name, ...], Field(min_length=1)]
    person: Name | None = None
    cohort: Cohort | None = None
    start: Name | None = None
    present: Present = Present()
    earliest: int = 0
    checkpoints: Days
    early_warning: Condition | None = None
    """The rule that the school goes by, such as `attendance < 0.8 or mean_mark < 65`: the card has both."""
    tables: dict[Name, ContractTable]

    @model_validator(mode="after")
    def _tables_and_days_agree(self) -> Self:
        if any(later <= day for day, later in pairwise(self.checkpoints)):
            raise ContractError("the days must rise", "checkpoints")
        if self.students not in self.tables:
            raise ContractError(f"{self.students!r} is not among the tables", "students")
        if self.tables[self.students].known:
            raise ContractError("the student table is known from the start", "tables", self.students, "known")
        for name, table in self.tables.items():
            for other in table.join:
                if other not in self.tables or other == name or self.tables[other].known:
                    message = "name another table, one without `known`: its rows are known from the start"
                    raise ContractError(message, "tables", name, "join", other)
        return self

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last day that there is a forecast for."""
        return self.checkpoints[0], self.checkpoints[-1]

    def day_asked(self, said: Said, today: date) -> int | date:
        """Return the day or the date to forecast for: today where nothing was said and there are dates.

        Raises BadInput for what is neither, for a day out of the span, and where none is said and none known.
        """
        (first, last), found = self.span, self.day_said(said, today)
        if found is None:
            remedy = f"Give AS_OF, a day from {first} to {last}."
            raise BadInput("for which day is not said, and the contract counts days.", remedy=remedy)
        if isinstance(found, int) and not first <= found <= last:
            raise BadInput(f"it was trained for days {first} to {last}, not for day {found}.")
        return found

    def day_said(self, said: Said, today: date) -> int | date | None:
        """Return the day or the date that was said: where nothing was, today, or None without dates.

        Raises BadInput for what is neither, and for a date where days are counted.
        """
        (first, last), text = self.span, "" if said is None else str(said).strip()
        if not text or text == "today":
            return today if self.start else None
        if WHOLE.fullmatch(text):
            return int(text)
        example = f", or a date such as {today}" if self.start else ""
        remedy = f"Give AS_OF, a day from {first} to {last}{example}."
        try:
            found = date.fromisoformat(text)
        except ValueError:
            raise BadInput(f"{text!r} is no day.", remedy=remedy) from None
        if not self.start:
            raise BadInput(f"{text} is a date, and the contract counts days.", remedy=remedy)
        return found

    def key_of(self, table: str) -> tuple[str, ...]:
        """Return the columns that say whose a row of a table is."""
        return self.tables[table].key or self.key

    def check_taken(self, columns: Mapping[str, Taken]) -> None:
        """Raise ContractError for what is taken from a table that is not there, or needs itself."""
        for name, taken in columns.items():
            table = self.tables.get(taken.table)
            if taken.formula is None and (table is None or not table.known):
                dated = ", ".join(one for one, table in self.tables.items() if table.known) or "none"
                raise ContractError(
                    f"{taken.table!r} is no table with `known`; there are {dated}",
                    "columns",
                    name,
                    "taken",
                    "of",
                )
        self.order_of(columns)

    def order_of(self, columns: Mapping[str, Taken]) -> list[str]:
        """Return formulas in an order in which each comes after those that it needs; raises ContractError."""
        formulas = {name: names_in(taken.formula) for name, taken in columns.items() if taken.formula}
        done: list[str] = []
        while len(done) < len(formulas):
            ready = [
                name
                for name, needed in formulas.items()
                if name not in done and all(one not in formulas or one in done for one in needed)
            ]
            if not ready:
                circle = next(name for name in formulas if name not in done)
                raise ContractError("this needs itself", "columns", circle, "taken", "formula")
            done += ready
        return done
