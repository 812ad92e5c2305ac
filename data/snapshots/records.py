"""Records of dated tables judged: what is sound in typed columns, what is not set aside with its reason."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cached_property
from typing import NamedTuple

import duckdb
import pandas as pd

from data.contract.dated import AS_OF, Dated
from data.contract.expressions import Stat, Taken, compared_with, names_in, texts_in, to_sql
from data.rows.kinds import Reason
from data.snapshots.relations import ROW, Relation, only_where, quoted
from data.snapshots.statistics import EXACT, PARTS, SUMMED, WHOLE, Rows

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
        large = only_where(unread, f"try_cast({text} as double) is not null and not contains({text}, '_')")
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


class Way(Enum):
    """In which way columns are taken: by the days between checkpoints, each day anew, of all records."""

    BY_STEPS = 1
    BY_DAY = 2
    OF_ALL = 3


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
                found |= {taken.less} if taken.less and taken.column in found else set()
                found |= compared_with(taken.where, {AS_OF, *found}) - {AS_OF} if taken.where else set()
        return found

    @cached_property
    def used(self) -> list[tuple[str, str]]:
        """The columns that statistics and conditions need, and what each is read as."""
        found: dict[tuple[str, str], None] = {}
        for taken in self.taken.values():
            named = [name for name in names_in(taken.where or "0") if name != AS_OF]
            found |= {(name, self._kind(name, taken)): None for name in named}
            value = [name for name in (taken.column, taken.less) if name]
            found |= {(name, self._value_kind(taken)): None for name in value}
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

        def day(name: str) -> str:
            dates = self.dates
            return day_of(table, name, dates=dates) if self.fixed else table.day(name, dates=dates)

        read: dict[str, Callable[[str], str]] = {
            "text": table.text,
            "number": table.number,
            "exact": lambda name: f"cast({table.number(name)} as {EXACT})",
            "day": day,
        }
        own = [f"{read[kind](name)} as {self.column(name, kind)}" for name, kind in self.used]
        return [f"{day(self.known)} as _known", *own]

    def faults(self, table: Relation) -> list[Fault]:
        """List what can be wrong with a record: it cannot be read, is nobody's, or says what cannot be."""
        own, known = self.dated.tables[self.name], self.known
        numbers = sorted({name for name, kind in self.used if kind in ("number", "exact")})
        read = table.day(known, dates=self.dates)
        found = [
            Fault(
                known, table.text(known), Reason.MISSING, only_where(f"{read} is null", table.missing(known))
            ),
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

    @property
    def fixed(self) -> bool:
        """Whether the day of a record is the same for all whose it is: they have one start."""
        return not self.dates or set(self.dated.key_of(self.name)) == set(self.dated.key)

    def groups(self, scores: Collection[str]) -> list[tuple[Way, list[str]]]:
        """Return what is taken in groups that are taken in one way: columns of scores of all records."""
        found: dict[Way, list[str]] = {}
        for column, taken in self.taken.items():
            asks = AS_OF in names_in(taken.where or "0")
            way = Way.OF_ALL if column in scores else Way.BY_STEPS if self.fixed and not asks else Way.BY_DAY
            found.setdefault(way, []).append(column)
        return list(found.items())

    def aggregate(self, columns: Sequence[str], way: Way, days: Sequence[int] | None) -> str:
        """Return the query of columns for each key and day: of what was known by then, or of it all.

        With the days that all have, what was known between two of them is summed once. Without, or where a
        condition asks for the day, each day takes all that was known by then.
        """
        steps = days if way is Way.BY_STEPS else None
        parts, whole = [], []
        for n, column in enumerate(columns):
            stat = self.taken[column].stat or Stat.COUNT
            found = PARTS[stat](self._rows(self.taken[column]))
            names = [f"p{n}_{place}" for place in range(len(found))]
            parts += [f"{part} as {name}" for part, name in zip(found, names, strict=True)]
            whole.append(f"{WHOLE[stat]([f'p.{name}' for name in names], f'k.{DAY}')} as x{n}")
        source = f"keys_{self.alias} k"
        same = f"p.{WHO} = k.{WHO} and "
        if steps is not None:
            pieces = self._of_steps(parts, sorted(steps))
            same += f"p.{DAY} <= k.{DAY}"
        else:
            pieces = self._of_days(parts, whole=way is Way.OF_ALL)
            same += f"p.{DAY} = k.{DAY} and p.{START} is not distinct from k.{START}"
        listed = f"k.{WHO}, k.{DAY}, k.{START}"
        return (
            f"select {listed}, {', '.join(whole)} from {source} join ({pieces}) p on {same} group by {listed}"
        )

    def _of_steps(self, parts: Sequence[str], days: Sequence[int]) -> str:
        """Return the query of the parts of what became known up to each day, since the one before it."""
        step = " ".join(f"when t._known <= {day} then {day}" for day in days)
        return (
            f"select t.{WHO}, case {step} end as {DAY}, {', '.join(parts)} from ok_{self.alias} t "
            f"where t._known <= {days[-1]} group by all"
        )

    def _of_days(self, parts: Sequence[str], *, whole: bool) -> str:
        """Return the query of the parts of all that was known by each day, or of all records."""
        within = "" if whole else f" and {self._known} <= k.{DAY}"
        return (
            f"select k.{WHO}, k.{DAY}, k.{START}, {', '.join(parts)} from keys_{self.alias} k "
            f"join ok_{self.alias} t on t.{WHO} = k.{WHO}{within} group by k.{WHO}, k.{DAY}, k.{START}"
        )

    @property
    def _known(self) -> str:
        return "t._known" if self.fixed else f"date_diff('day', k.{START}, t._known)"

    def _rows(self, taken: Taken) -> Rows:
        def cell(name: str) -> str:
            return f"k.{DAY}" if name == AS_OF else self._in_query(name, self._kind(name, taken))

        holds = to_sql(taken.where, cell) if taken.where else "true"
        kind = self._value_kind(taken)
        value = self._in_query(taken.column, kind) if taken.column else "1"
        value = f"({value} - {self._in_query(taken.less, kind)})" if taken.less else value
        weight = self._in_query(taken.weight, "exact") if taken.weight else ""
        return Rows(value, self._known, holds, weight)

    def _in_query(self, name: str, kind: str) -> str:
        own = f"t.{self.column(name, kind)}"
        return own if kind != "day" or self.fixed else f"date_diff('day', k.{START}, {own})"
