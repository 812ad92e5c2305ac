"""One row for each student and day, of what was known by the end of that day.

Truncate first, join after: a record counts on a day when it was known by then, whatever else it says. All
of it is SQL on DuckDB, which spills to disk. Sums are of decimals, and so exact: tables in another order,
or with records that became known later, give the same bytes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb
import pandas as pd
import pyarrow.parquet

from data.cohorts.addresses import CohortPlan, write_cohort
from data.contract.columns import PERSON, Role
from data.contract.contract import Contract
from data.contract.dated import AS_OF, Dated
from data.contract.expressions import Stat, Taken, compared_with, names_in, texts_in, to_sql
from data.errors import BadInput
from data.rows.kinds import Reason
from data.snapshots.tables import are_tables, broken, open_texts, opened, quoted, staged, text
from data.sources.databases import without_secrets
from data.sources.reading import ROWS, ChunkedRecords, SetAside, digest_of_files, is_cohort, open_chunks

ID, DAY, START, SINCE, UNTIL = "_id", "_as_of", "_start", "_since", "_until"
EXACT = "decimal(28, 9)"  # what is summed: 19 digits before the point, 9 after it
DEEP = "hugeint"


@contextmanager
def open_records(
    uri: str, contract: Contract, rows: int = ROWS, *, threads: int = 1
) -> Iterator[ChunkedRecords]:
    """Open records to train on: the snapshots of dated tables, or rows as they are; raises BadInput."""
    tables = contract.dated is not None and (are_tables(uri) or is_cohort(uri))
    with (
        open_snapshots(uri, contract, threads=threads)
        if tables
        else open_chunks(uri, contract, rows) as found
    ):
        yield found


@contextmanager
def open_snapshots(
    uri: str,
    contract: Contract,
    days: Sequence[int] | None = None,
    *,
    threads: int = 1,
    labelled: bool = True,
) -> Iterator[ChunkedRecords]:
    """Take the snapshots of dated records, on the contract's checkpoints or on other days.

    Args:
        uri: where the tables are: a folder, a ZIP, a database, a store's folder, a generated cohort.
        contract: one with dated records.
        days: the days to take them on; the checkpoints if None.
        threads: of the engine.
        labelled: whether target and score are wanted too.

    Yields:
        The snapshots, as raw rows for the contract, with the records that were set aside.

    Raises:
        BadInput: a table, a column or every student of a day is missing.
    """
    dated = contract.dated
    if dated is None:
        raise BadInput(f"the contract {contract.name} has no dated records.", remedy="Give a file of rows.")
    with (
        TemporaryDirectory(prefix="gradecast-") as scratch,
        _written(uri, contract) as (place, plan),
        staged(place, dated) as files,
    ):
        with opened(Path(scratch), threads) as connection:
            taking = _Snapshots(
                connection, contract, dated, files, tuple(days or dated.checkpoints), labelled
            )
            path = Path(scratch) / "snapshots.parquet"
            set_aside = taking.write(path)
        read = partial(_chunks, path)
        digest = digest_of_files(sorted(set(files.values())))
        yield ChunkedRecords(without_secrets(uri), digest, read, generated=plan, set_aside=set_aside)


@contextmanager
def _written(uri: str, contract: Contract) -> Iterator[tuple[str, CohortPlan | None]]:
    """Write the tables of a generated cohort into a folder, for as long as they are needed."""
    if not is_cohort(uri):
        yield uri, None
        return
    with TemporaryDirectory(prefix="gradecast-") as folder:
        _, plan = write_cohort(uri, contract, Path(folder))
        yield folder, plan


def _chunks(path: Path) -> Iterator[pd.DataFrame]:
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS):
            yield batch.to_pandas()


class RecordReason(StrEnum):
    """Why no row is made of a record of a dated table, beside the reasons that cells have everywhere."""

    NOT_A_DAY = "not a day"
    NOT_A_DATE = "not a date"
    NO_STUDENT = "no such student"
    KNOWN_BEFORE = "known before it happened"
    TOO_EARLY = "before the first day"


class Fault(NamedTuple):
    """What can be wrong with a record, at which column, and the SQL condition that finds it."""

    column: str
    reason: Reason | RecordReason
    condition: str


@dataclass
class _Snapshots:
    """The statements that make snapshots, in the order in which they are run."""

    connection: duckdb.DuckDBPyConnection
    contract: Contract
    dated: Dated
    files: Mapping[str, Path]
    days: tuple[int, ...]
    labelled: bool
    columns: dict[str, list[str]] = field(default_factory=dict)

    def write(self, path: Path) -> SetAside:
        """Write the snapshots, ordered by student and day; return what was set aside."""
        current = next(iter(self.files.values()))
        try:
            for name, current in self.files.items():
                self.columns[name] = open_texts(self.connection, name, current)
            self.connection.execute(
                'create table bad ("table" varchar, "row" bigint, "column" varchar, value varchar, '
                "reason varchar)"
            )
            self._students()
            for name in self._dated_tables():
                current = self.files[name]
                self._records(name)
            self.connection.execute(f"copy ({self._rows()}) to {text(path)} (format parquet)")
        except duckdb.Error as error:
            raise broken(error, current) from error
        counts = {name: self._count(f"raw_{name}") for name in (self.dated.students, *self._dated_tables())}
        faults = 'select * from bad order by "table", "row", "column"'
        return SetAside(counts, self.connection.execute(faults).df())

    def _count(self, table: str) -> int:
        found = self.connection.execute(f"select count(*) from {quoted(table)}").fetchone()
        return int(found[0]) if found else 0

    def _dated_tables(self) -> list[str]:
        """Return the tables that something is taken from."""
        return list(dict.fromkeys(taken.table for taken in self.contract.taken.values() if taken.table))

    # --- students

    def _students(self) -> None:
        """Make the tables `student`, one row each, and `grid`, one row for each of them and day."""
        name, dated = self.dated.students, self.dated
        statement, there = self._joined(name)
        wanted = [*dated.key, dated.person, dated.start, dated.present.since, dated.present.until]
        wanted += [dated.cohort.column] if dated.cohort else []
        self._refuse_missing(name, [one for one in wanted if one], there)
        keys = ", ".join(map(quoted, dated.key))
        again = f'row_number() over (partition by {keys} order by "row")'
        source = f"(select *, {again} as _again from ({statement}))"
        self._judge(
            name,
            source,
            [*map(quoted, there), f"{self._id()} as {ID}", f"{self._start()} as {START}"],
            self._bad_students(),
        )
        self.connection.execute(f"alter table {quoted(f'ok_{name}')} rename to student")
        self._grid()

    def _bad_students(self) -> list[Fault]:
        """List what can be wrong with a student: no key, twice there, no day."""
        dated = self.dated
        days = [day for day in (dated.present.since, dated.present.until) if day]
        return [
            *(Fault(key, Reason.MISSING, f"{quoted(key)} is null") for key in dated.key),
            *([Fault(dated.start, Reason.MISSING, f"{quoted(dated.start)} is null")] if dated.start else []),
            *self._bad_days([dated.start] if dated.start else [], dates=True),
            *self._bad_days(days),
            Fault(dated.key[-1], Reason.DUPLICATE, "_again > 1"),
        ]

    def _grid(self) -> None:
        since = self._day_of(self.dated.present.since) if self.dated.present.since else "null"
        until = self._day_of(self.dated.present.until) if self.dated.present.until else "null"
        days = ", ".join(map(str, self.days))
        self.connection.execute(
            f"create table grid as select * from (select *, {since} as {SINCE}, {until} as {UNTIL} "
            f"from student), (select unnest([{days}]) as {DAY}) where ({SINCE} is null or {SINCE} <= {DAY}) "
            f"and ({UNTIL} is null or {UNTIL} > {DAY})"
        )
        found = {row[0] for row in self.connection.execute(f"select distinct {DAY} from grid").fetchall()}
        if empty := [day for day in self.days if day not in found]:
            remedy = "Leave that day out, or see who is there in the student table."
            raise BadInput(f"no student is there on day {empty[0]}.", column=AS_OF, remedy=remedy)

    def _id(self) -> str:
        return "concat_ws('/', " + ", ".join(map(quoted, self.dated.key)) + ")"

    def _start(self) -> str:
        return _date(quoted(self.dated.start)) if self.dated.start else "null::date"

    def _day_of(self, column: str) -> str:
        """Return a column of days as a whole number, counted from the start where they are dates."""
        cell = quoted(column)
        return f"date_diff('day', {START}, {_date(cell)})" if self.dated.start else _whole(cell)

    # --- records

    def _records(self, name: str) -> None:
        """Make the table `ok_NAME`: sound records, their days and numbers read; set the others aside."""
        table, key = self.dated.tables[name], self.dated.key_of(name)
        statement, there = self._joined(name)
        uses = [taken for taken in self.contract.taken.values() if taken.table == name]
        used = [
            n for taken in uses for n in (taken.column, *names_in(taken.where or "0")) if n and n != AS_OF
        ]
        own = [one for one in (table.known, table.happened) if one]
        self._refuse_missing(name, [*key, *own, *used], there)
        dates = self._dates_of(name, uses)
        texts = {n for taken in uses for n in texts_in(taken.where or "0")} | set(key)
        numbers = [one for one in dict.fromkeys(used) if one not in dates and one not in texts]
        cells = {
            **{one: quoted(one) for one in texts},
            **{one: _number(quoted(one)) for one in numbers},
            **{one: _date(quoted(one)) if self.dated.start else _number(quoted(one)) for one in dates},
        }
        keys = ", ".join(map(quoted, key))
        firsts = f"select {keys}, min({START}) as {START}, true as _there from student group by {keys}"
        source = f"({statement}) left join ({firsts}) using ({keys})"
        self._judge(
            name,
            source,
            [f"{cell} as {quoted(one)}" for one, cell in cells.items()],
            self._faults(name, dates, numbers),
        )

    def _judge(self, name: str, source: str, cells: Sequence[str], faults: Sequence[Fault]) -> None:
        """Read the cells of a table in one pass; set aside each record for its first fault."""
        numbered = " ".join(f"when {fault.condition} then {n}" for n, fault in enumerate(faults))
        self.connection.execute(
            f'create table judged as select "row", {", ".join(cells)}, case {numbered} end as _fault '
            f"from {source}"
        )
        there = "select distinct _fault from judged where _fault is not null order by all"
        found = self.connection.execute(there).fetchall()
        for (number,) in found:
            fault = faults[number]
            self.connection.execute(
                f'insert into bad select {text(name)}, "row", {text(fault.column)}, {quoted(fault.column)}, '
                f"{text(fault.reason)} from {source} semi join "
                f'(select "row" from judged where _fault = {number}) using ("row")'
            )
        self.connection.execute(
            f'create table {quoted(f"ok_{name}")} as select * exclude (_fault, "row") from judged '
            "where _fault is null"
        )
        self.connection.execute("drop table judged")

    def _dates_of(self, name: str, uses: Sequence[Taken]) -> list[str]:
        """Return the columns of days: those the table names, and what is compared with one of them."""
        table = self.dated.tables[name]
        found = {one: None for one in (table.known, table.happened) if one}
        for _ in uses:
            for taken in uses:
                found |= dict.fromkeys(compared_with(taken.where or "0", {AS_OF, *found}) - {AS_OF})
        return list(found)

    def _faults(self, name: str, dates: Sequence[str], numbers: Sequence[str]) -> list[Fault]:
        """List what can be wrong with a record: it cannot be read, is nobody's, or says what cannot be."""
        table, known = self.dated.tables[name], quoted(str(self.dated.tables[name].known))
        read = _date if self.dated.start else _number
        day = f"date_diff('day', {START}, {read(known)})" if self.dated.start else read(known)
        faults = [Fault(str(table.known), Reason.MISSING, f"given({known}) is null"), *self._bad_days(dates)]
        for column in map(quoted, numbers):
            wrong = f"given({column}) is not null and {_number(column)} is null"
            faults.append(Fault(column.strip('"'), Reason.NOT_A_NUMBER, wrong))
        key = self.dated.key_of(name)
        if set(key) == set(self.dated.key):
            faults.append(Fault(key[-1], RecordReason.NO_STUDENT, "_there is null"))
        if table.happened:
            before = f"{read(known)} < {read(quoted(table.happened))}"
            faults.append(Fault(str(table.known), RecordReason.KNOWN_BEFORE, before))
        return [*faults, Fault(str(table.known), RecordReason.TOO_EARLY, f"{day} < {self.dated.earliest}")]

    def _bad_days(self, columns: Sequence[str], *, dates: bool | None = None) -> list[Fault]:
        dates = self.dated.start is not None if dates is None else dates
        reason, read = (RecordReason.NOT_A_DATE, _date) if dates else (RecordReason.NOT_A_DAY, _whole)
        cells = [(column, quoted(column)) for column in columns]
        return [
            Fault(one, reason, f"given({cell}) is not null and {read(cell)} is null") for one, cell in cells
        ]

    def _joined(self, name: str) -> tuple[str, list[str]]:
        """Return a table with those that it is joined to, and its columns; its own stay its own."""
        statement, there = f"select * from {quoted(f'raw_{name}')}", [*self.columns[name]]
        for number, (other, keys) in enumerate(self.dated.tables[name].join.items()):
            self._refuse_missing(name, keys, there)
            self._refuse_missing(other, keys, self.columns[other])
            self._refuse_repeated(other, keys)
            more = [column for column in self.columns[other] if column not in there]
            added = "".join(f", j{number}.{quoted(column)}" for column in more)
            same = " and ".join(f"l.{quoted(key)} = j{number}.{quoted(key)}" for key in keys)
            right = f"{quoted(f'raw_{other}')} j{number}"
            statement = f"select l.*{added} from ({statement}) l left join {right} on {same}"
            there += more
        return statement, there

    def _refuse_repeated(self, name: str, keys: Sequence[str]) -> None:
        """Raise BadInput where a table that is joined has two rows for one key: each would count twice."""
        listed = ", ".join(map(quoted, keys))
        found = self.connection.execute(
            f'select max("row"), {listed} from {quoted(f"raw_{name}")} group by {listed} having count(*) > 1 '
            "order by 1 limit 1"
        ).fetchone()
        if found:
            what = ", ".join(f"{key} {value}" for key, value in zip(keys, found[1:], strict=True))
            remedy = f"Keep one row for each {', '.join(keys)}."
            raise BadInput(
                f"{what} is there twice.", file=self.files[name].name, row=int(found[0]), remedy=remedy
            )

    def _refuse_missing(self, name: str, columns: Sequence[str], there: Sequence[str]) -> None:
        missing = next((column for column in columns if column not in there), None)
        if missing is not None:
            remedy = f"The contract {self.contract.name} asks for it; found: {', '.join(there)}."
            raise BadInput(f"missing column {missing}.", file=self.files[name].name, remedy=remedy)

    def _names_of(self, view: str) -> list[str]:
        found = self.connection.execute(f"select * from {quoted(view)} limit 0")
        return [str(one[0]) for one in found.description or () if one[0] != "row"]

    # --- rows

    @cached_property
    def _taken(self) -> dict[str, Taken]:
        """What is taken, of the columns that are wanted."""
        after = () if self.labelled else (Role.SCORE,)
        return {
            n: taken for n, taken in self.contract.taken.items() if self.contract.columns[n].role not in after
        }

    def _rows(self) -> str:
        """Return the statement of the snapshots: the student's columns, what is taken, then the formulas."""
        contract, there = self.contract, self._names_of("student")
        wanted = [column.name for column in contract.columns.values() if column.role is not Role.LEAK]
        wanted += [contract.target.column] if self.labelled and not contract.target.derived else []
        own = contract.id.name if contract.id else ID
        fixed = [name for name in wanted if name not in (own, AS_OF, *contract.taken)]
        if not self.labelled:
            fixed = [name for name in fixed if name in there or name in {c.name for c in contract.features}]
        self._refuse_missing(self.dated.students, fixed, there)
        cells = [f"g.{ID} as {quoted(own)}", f"g.{DAY} as {quoted(AS_OF)}"]
        cells += [f"g.{quoted(name)}" for name in fixed]
        if self.dated.person:
            cells.append(f"g.{quoted(self.dated.person)} as {quoted(PERSON)}")
        if self.dated.cohort:
            cells.append(f"{self._split()} as split")
        names, joins = [], []
        for number, name in enumerate(self._dated_tables()):
            joins.append(self._join_of(name, f"a{number}"))
            for column, taken in self._taken.items():
                if taken.table == name:
                    value = f"a{number}.{quoted(column)}"
                    value = f"coalesce({value}, 0)" if taken.stat in (Stat.COUNT, Stat.SUM) else value
                    names.append(f"{value} as {quoted(column)}")
        statement = f"select {', '.join([*cells, *names])} from grid g {' '.join(joins)}"
        formulas = {n: taken.formula for n, taken in self._taken.items() if taken.formula}
        for name in self.dated.order_of(self._taken):
            worked_out = to_sql(formulas[name] or "0", self._number_of)
            statement = f"select *, cast({worked_out} as double) as {quoted(name)} from ({statement})"
        return f"select * from ({statement}) order by {quoted(own)}, {quoted(AS_OF)}"

    def _number_of(self, name: str) -> str:
        """Return a column in a formula: what was taken is a number, a student's cell is read as one."""
        return (
            f"cast({quoted(name)} as double)"
            if name in self._taken or name == AS_OF
            else _number(quoted(name))
        )

    def _split(self) -> str:
        """Return the split of a row: the newest cohort is held out."""
        cohort = self.dated.cohort
        if cohort is None:
            return "'train'"
        cell = quoted(cohort.column)
        label = f"regexp_extract({cell}, {text(cohort.pattern)})" if cohort.pattern else cell
        newest = f"(select max({label}) from student)"
        return f"case when {label.replace(cell, 'g.' + cell)} = {newest} then 'test' else 'train' end"

    def _join_of(self, name: str, alias: str) -> str:
        """Return the join of what is taken of one table, for each key and day."""
        key = [quoted(one) for one in self.dated.key_of(name)]
        known = f"t.{quoted(str(self.dated.tables[name].known))}"
        day = f"date_diff('day', k.{START}, {known})" if self.dated.start else f"cast({known} as integer)"
        listed = ", ".join([*(f"k.{one}" for one in key), f"k.{DAY}", f"k.{START}"])
        after = {n for n in self._taken if self.contract.columns[n].role is Role.SCORE}
        parts = [
            f"{self._aggregate(taken, day, name)} as {quoted(column)}"
            for column, taken in self._taken.items()
            if taken.table == name
        ]
        whole = any(taken.table == name for column, taken in self._taken.items() if column in after)
        same = " and ".join(f"t.{one} = k.{one}" for one in key)
        keys = ", ".join([*key, DAY, START])
        within = "" if whole else f" and {day} <= k.{DAY}"
        inner = (
            f"select {listed}, {', '.join(parts)} from (select distinct {keys} from grid) k "
            f"join {quoted(f'ok_{name}')} t on {same}{within} group by {listed}"
        )
        on = " and ".join([*(f"{alias}.{one} = g.{one}" for one in key), f"{alias}.{DAY} = g.{DAY}"])
        on += f" and {alias}.{START} is not distinct from g.{START}"
        return f"left join ({inner}) {alias} on {on}"

    def _aggregate(self, taken: Taken, day: str, name: str) -> str:
        """Return the SQL of one statistic."""
        dates = set(self._dates_of(name, [taken])) if self.dated.start else set()

        def cell(column: str) -> str:
            if column == AS_OF:
                return f"k.{DAY}"
            own = f"t.{quoted(column)}"
            return f"date_diff('day', k.{START}, {own})" if column in dates else own

        holds = to_sql(taken.where, cell) if taken.where else "true"
        value = cell(taken.column) if taken.column else "1"
        return STATISTICS[taken.stat or Stat.COUNT](value, day, f"filter (where {holds})", holds)


def _sum(value: str, _day: str, only: str, _holds: str) -> str:
    return f"cast(sum(cast({value} as {EXACT})) {only} as double)"


def _mean(value: str, day: str, only: str, holds: str) -> str:
    return f"({_sum(value, day, only, holds)} / nullif(count({value}) {only}, 0))"


def _last(value: str, day: str, _only: str, holds: str) -> str:
    there = f"filter (where ({holds}) and {value} is not null)"
    return f"max(struct_pack(k := {day}, v := {value})) {there}.v"


def _trend(value: str, day: str, _only: str, holds: str) -> str:
    """Return the slope of least squares of a value by the day; exact sums make it the same in any order."""
    only = f"filter (where ({holds}) and {value} is not null)"
    exact = f"cast({value} as {EXACT})"
    n, t = f"count(*) {only}", f"(sum({day}) {only})"
    v, tv = f"cast(sum({exact}) {only} as double)", f"cast(sum({day} * {exact}) {only} as double)"
    tt = f"sum({day} * {day}) {only}"
    return f"(({n} * {tv} - {t} * {v}) / nullif({n} * {tt} - {t} * {t}, 0))"


STATISTICS: Mapping[Stat, Callable[[str, str, str, str], str]] = {
    Stat.COUNT: lambda _value, _day, only, _holds: f"count(*) {only}",
    Stat.SUM: _sum,
    Stat.MEAN: _mean,
    Stat.MIN: lambda value, _day, only, _holds: f"min({value}) {only}",
    Stat.MAX: lambda value, _day, only, _holds: f"max({value}) {only}",
    Stat.LAST: _last,
    Stat.SHARE: lambda _value, _day, only, _holds: f"(count(*) {only} / count(*))",
    Stat.DAYS_SINCE: lambda _value, day, only, _holds: f"(k.{DAY} - max({day}) {only})",
    Stat.TREND: _trend,
}
"""The SQL of each statistic, of a value, the day it was known, a filter, and the filter's condition."""


def _number(cell: str) -> str:
    return f"try_cast(given({cell}) as double)"


def _whole(cell: str) -> str:
    return (
        f"(case when try_cast({cell} as double) % 1 = 0 then cast(try_cast({cell} as double) as integer) end)"
    )


def _date(cell: str) -> str:
    return f"cast(try_cast(given({cell}) as timestamp) as date)"
