"""Records of dated tables judged: what is sound in typed columns, what is not set aside with its reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import duckdb
import pandas as pd

from data.contract.dated import AS_OF, Dated
from data.contract.expressions import Stat, Taken, compared_with, names_in, texts_in, to_sql
from data.rows.kinds import Reason
from data.snapshots.relations import ROW, Relation, quoted
from data.snapshots.statistics import EXACT, SUMMED, statistic

DAY, START, WHO = "_as_of", "_start", "_who"


class RecordReason(StrEnum):
    """Why no row is made of a record of a dated table, beside the reasons that cells have everywhere."""

    NOT_A_DAY = "not a day"
    NOT_A_DATE = "not a date"
    NO_STUDENT = "no such student"
    TWICE = "student twice"
    KNOWN_BEFORE = "known before it happened"
    TOO_EARLY = "before the first day"


class Fault(NamedTuple):
    """What can be wrong with a record: in which column and cell, and the SQL condition that finds it."""

    column: str
    cell: str
    reason: Reason | RecordReason
    condition: str


class SetAsideRecords:
    """The records of all tables that no row is made of."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute(
            'create table bad ("table" varchar, "row" bigint, "column" varchar, value varchar, '
            "reason varchar)"
        )

    def sift(self, name: str, made: str, source: str, cells: Iterable[str], faults: Sequence[Fault]) -> int:
        """Make a table of sound records, set the others aside, each for its first fault; return how many."""
        numbered = " ".join(f"when {fault.condition} then {n}" for n, fault in enumerate(faults))
        judged = f"case {numbered} end as _fault"
        self._connection.execute(f"create table {made} as select {', '.join([*cells, judged])} from {source}")
        counted = self._connection.execute(f"select count(*), count(_fault) from {made}").fetchone()
        rows, bad = counted or (0, 0)
        if bad:
            self._keep(name, f"(select *, {judged} from {source})", faults)
            self._connection.execute(f"delete from {made} where _fault is not null")
        return int(rows)

    def _keep(self, name: str, judged: str, faults: Sequence[Fault]) -> None:
        parts = ((quoted(f.column), f.cell, quoted(f.reason)) for f in faults)
        column, cell, reason = (
            f"case _fault {' '.join(f'when {n} then {part}' for n, part in enumerate(some))} end"
            for some in zip(*parts, strict=True)
        )
        self._connection.execute(
            f"insert into bad select {quoted(name)}, {ROW}, {column}, {cell}, {reason} from {judged} "
            "where _fault is not null"
        )

    def table(self) -> pd.DataFrame:
        """Return them all with table, row, column, value and reason."""
        return self._connection.execute('select * from bad order by "table", "row", "column"').df()


def bad_numbers(table: Relation, names: Iterable[str]) -> list[Fault]:
    """List what can be wrong with cells of numbers: no number, or one too large to be summed."""
    found = []
    for name in names:
        text, unread = table.text(name), table.unread(name, table.number(name))
        large = f"({unread} and try_cast({text} as double) is not null and not contains({text}, '_'))"
        found.append(Fault(name, text, Reason.OUT_OF_RANGE, large))
        found.append(Fault(name, text, Reason.NOT_A_NUMBER, unread))
    return found


def bad_days(table: Relation, names: Iterable[str], *, dates: bool) -> list[Fault]:
    """List what can be wrong with cells of days: no date, or no whole number."""
    reason = RecordReason.NOT_A_DATE if dates else RecordReason.NOT_A_DAY
    unread = {name: table.unread(name, table.day(name, dates=dates)) for name in names}
    return [Fault(name, table.text(name), reason, condition) for name, condition in unread.items()]


def day_of(table: Relation, name: str, *, dates: bool) -> str:
    """Return the day of a cell, counted from the start where it is a date."""
    read = table.day(name, dates=dates)
    return f"date_diff('day', {START}, {read})" if dates else read


@dataclass(frozen=True)
class Taking:
    """What is taken from one dated table, and of which of its columns, each read as what it is used as."""

    name: str
    alias: str
    dated: Dated
    taken: Mapping[str, Taken]

    @property
    def dates(self) -> bool:
        """Whether days are dates, counted from a start."""
        return self.dated.start is not None

    @property
    def known(self) -> str:
        """The column of the day on which a row became known."""
        return str(self.dated.tables[self.name].known)

    @cached_property
    def days(self) -> set[str]:
        """The columns of days: those that the table names, and what is compared with one of them."""
        table = self.dated.tables[self.name]
        found = {one for one in (table.known, table.happened) if one}
        for _ in self.taken:
            for taken in self.taken.values():
                found |= compared_with(taken.where, {AS_OF, *found}) - {AS_OF} if taken.where else set()
        return found

    @cached_property
    def used(self) -> list[tuple[str, str]]:
        """The columns that statistics and conditions need, and what each is read as."""
        found: dict[tuple[str, str], None] = {}
        for taken in self.taken.values():
            named = [name for name in names_in(taken.where or "0") if name != AS_OF]
            found |= {(name, self._kind(name, taken)): None for name in named}
            found |= {(taken.column, self._value_kind(taken)): None} if taken.column else {}
            found |= {(taken.weight, "exact"): None} if taken.weight else {}
        return list(found)

    def _kind(self, name: str, taken: Taken) -> str:
        if taken.where and name in texts_in(taken.where):
            return "text"
        return "day" if name in self.days else "number"

    def _value_kind(self, taken: Taken) -> str:
        if taken.column in self.days:
            return "day"
        return "exact" if taken.stat in SUMMED else "number"

    def column(self, name: str, kind: str) -> str:
        """Return the name of ours of a column that is used."""
        return f"v{self.used.index((name, kind))}"

    def cells(self, table: Relation) -> list[str]:
        """Return the SQL of what is kept of each record."""
        read: dict[str, Callable[[str], str]] = {
            "text": table.text,
            "number": table.number,
            "exact": lambda name: f"cast({table.number(name)} as {EXACT})",
            "day": lambda name: table.day(name, dates=self.dates),
        }
        own = [f"{read[kind](name)} as {self.column(name, kind)}" for name, kind in self.used]
        return [f"{table.day(self.known, dates=self.dates)} as _known", *own]

    def faults(self, table: Relation) -> list[Fault]:
        """List what can be wrong with a record: it cannot be read, is nobody's, or says what cannot be."""
        own, known = self.dated.tables[self.name], self.known
        numbers = sorted({name for name, kind in self.used if kind in ("number", "exact")})
        found = [
            Fault(known, table.text(known), Reason.MISSING, table.missing(known)),
            *bad_days(table, sorted(self.days), dates=self.dates),
            *bad_numbers(table, numbers),
        ]
        key = self.dated.key_of(self.name)
        if set(key) == set(self.dated.key) or self.dated.person in key:
            shown = f"concat_ws('/', {', '.join(map(table.key, key))})"
            found.append(Fault(", ".join(key), shown, RecordReason.NO_STUDENT, f"{WHO} is null"))
        day = table.day(known, dates=self.dates)
        if own.happened:
            before = f"{day} < {table.day(own.happened, dates=self.dates)}"
            found.append(Fault(known, table.text(known), RecordReason.KNOWN_BEFORE, before))
        early = f"{day_of(table, known, dates=self.dates)} < {self.dated.earliest}"
        return [*found, Fault(known, table.text(known), RecordReason.TOO_EARLY, early)]

    def aggregate(self, columns: Sequence[str], *, whole: bool) -> str:
        """Return the query of columns for each key and day: of what was known by then, or of it all."""
        day = f"date_diff('day', k.{START}, t._known)" if self.dates else "t._known"
        within = "" if whole else f" and {day} <= k.{DAY}"
        parts = [f"{self._statistic(self.taken[column], day)} as x{n}" for n, column in enumerate(columns)]
        listed = f"k.{WHO}, k.{DAY}, k.{START}"
        return (
            f"select {listed}, {', '.join(parts)} from keys_{self.alias} k join ok_{self.alias} t "
            f"on t.{WHO} = k.{WHO}{within} group by {listed}"
        )

    def _statistic(self, taken: Taken, day: str) -> str:
        def cell(name: str) -> str:
            return f"k.{DAY}" if name == AS_OF else self._in_query(name, self._kind(name, taken))

        holds = to_sql(taken.where, cell) if taken.where else "true"
        value = self._in_query(taken.column, self._value_kind(taken)) if taken.column else "1"
        weight = self._in_query(taken.weight, "exact") if taken.weight else ""
        return statistic(taken.stat or Stat.COUNT, value, day, f"k.{DAY}", holds, weight)

    def _in_query(self, name: str, kind: str) -> str:
        own = f"t.{self.column(name, kind)}"
        return f"date_diff('day', k.{START}, {own})" if kind == "day" and self.dates else own
