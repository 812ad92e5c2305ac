"""One row for each student and day, of what was known by the end of that day.

Truncate first, join after: a record counts on a day when it was known by then, whatever else it says. All
of it is SQL on DuckDB, which spills to disk. Sums are of decimals, and so exact: tables in another order,
or with records that became known later, give the same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd
import pyarrow.parquet

from data.cohorts.addresses import CohortPlan, write_cohort
from data.contract.columns import OF_COHORT, PERSON, Role
from data.contract.contract import Contract
from data.contract.dated import AS_OF, Cohort, Dated
from data.contract.expressions import names_in, to_sql
from data.errors import BadInput
from data.rows.kinds import Reason
from data.snapshots.records import (
    DAY,
    START,
    WHO,
    Fault,
    RecordReason,
    SetAsideRecords,
    Taking,
    bad_days,
    bad_numbers,
    day_of,
)
from data.snapshots.relations import ROW, Relation, Terms, engine, first_repeated, joined, opened, quoted
from data.snapshots.statistics import ZERO_OF_NONE
from data.snapshots.tables import are_tables, staged
from data.sources.databases import without_secrets
from data.sources.reading import ROWS, ChunkedRecords, SetAside, digest_of_files, is_cohort, open_chunks


@contextmanager
def open_records(
    uri: str, contract: Contract, rows: int = ROWS, *, threads: int = 1, until: int | date | None = None
) -> Iterator[ChunkedRecords]:
    """Open records to train on: the snapshots of dated tables, or rows as they are; raises BadInput.

    None is taken on a day after `until`: what is known then is not in the tables yet.
    """
    tables = contract.dated is not None and (are_tables(uri) or is_cohort(uri))
    with (
        open_snapshots(uri, contract, threads=threads, until=until)
        if tables
        else open_chunks(uri, contract, rows) as found
    ):
        yield found


@contextmanager
def open_snapshots(
    uri: str,
    contract: Contract,
    days: Sequence[int] | date | None = None,
    *,
    threads: int = 1,
    labelled: bool = True,
    until: int | date | None = None,
) -> Iterator[ChunkedRecords]:
    """Take the snapshots of dated records, on the contract's checkpoints or on other days.

    Args:
        uri: where the tables are: a folder, a ZIP, a database, a store's folder, a generated cohort.
        contract: one with dated records.
        days: the days to take them on; the checkpoints if None. A date is each student's own day, counted
            from the start.
        threads: of the engine.
        labelled: whether target and score are wanted too.
        until: the last day, or date, that one may be of.

    Yields:
        The snapshots, as raw rows for the contract, with the records that were set aside.

    Raises:
        BadInput: a table, a column or every student of a day is missing.
    """
    dated = contract.dated
    if dated is None:
        raise BadInput(f"the contract {contract.name} has no dated records.", remedy="Give a file of rows.")
    if isinstance(days, date) and not dated.start:
        remedy = f"Give a day from {min(dated.checkpoints)} to {max(dated.checkpoints)}."
        raise BadInput(f"the contract {contract.name} counts days, and has no dates.", remedy=remedy)
    wanted = days if isinstance(days, date) else tuple(days or dated.checkpoints)
    with (
        TemporaryDirectory(prefix="gradecast-") as scratch,
        _written(uri, contract) as (place, plan),
        staged(place, dated) as files,
    ):
        path = Path(scratch) / "snapshots.parquet"
        with engine(Path(scratch), threads) as connection:
            taking = _Snapshots(connection, contract, dated, files, wanted, labelled, until)
            set_aside = taking.write(path)
        digest = digest_of_files([files[name] for name in sorted(files)])
        if taking.left_out:  # the same tables give more rows another day
            digest = sha256(f"{digest} but {taking.left_out}".encode()).hexdigest()
        read = partial(_chunks, path, taking.names)
        yield ChunkedRecords(
            without_secrets(uri),
            digest,
            read,
            generated=plan,
            set_aside=set_aside,
            assumed=taking.assumed,
        )


@contextmanager
def _written(uri: str, contract: Contract) -> Iterator[tuple[str, CohortPlan | None]]:
    """Write the tables of a generated cohort into a folder, for as long as they are needed."""
    if not is_cohort(uri):
        yield uri, None
        return
    with TemporaryDirectory(prefix="gradecast-") as folder:
        _, plan = write_cohort(uri, contract, Path(folder))
        yield folder, plan


def _chunks(path: Path, names: list[str]) -> Iterator[pd.DataFrame]:
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS):
            yield batch.to_pandas().set_axis(names, axis="columns")


@dataclass
class _Snapshots:
    """The statements that make snapshots, in the order in which they are run."""

    connection: duckdb.DuckDBPyConnection
    contract: Contract
    dated: Dated
    files: Mapping[str, Path]
    days: tuple[int, ...] | date
    labelled: bool
    until: int | date | None = None
    names: list[str] = field(default_factory=list)
    left_out: int = 0
    """How many rows are of days that have not come yet."""
    assumed: list[str] = field(default_factory=list)
    """What was assumed of the files."""

    def write(self, path: Path) -> SetAside:
        """Write the snapshots, ordered by student and day; return what was set aside."""
        bad, counts = SetAsideRecords(self.connection), {}
        current = self.dated.students
        try:
            relations = {}
            for n, (current, file) in enumerate(self.files.items()):
                table = self.dated.tables[current]
                terms = Terms(frozenset(self.dated.key), self.assumed)
                relations[current] = opened(self.connection, f"t{n}", file, table, self._wanted, terms)
            current = self.dated.students
            counts[current] = self._make_students(self._with_joins(current, relations), bad)
            for taking in self._takings:
                current = taking.name
                counts[current] = self._make_records(taking, self._with_joins(current, relations), bad)
            self._make_grid()
            self.connection.execute(f"copy ({self._rows()}) to {quoted(path)} (format parquet)")
        except duckdb.Error as error:
            said = str(error).strip().splitlines()[0]
            remedy = "Save it as a plain CSV in UTF-8, or as Parquet."
            raise BadInput(f"{said}.", file=self.files[current].name, remedy=remedy) from error
        return SetAside(counts, bad.table())

    @cached_property
    def _wanted(self) -> frozenset[str]:
        """Every name that the contract has for a column of a table."""
        dated, contract = self.dated, self.contract
        tables = [
            name
            for table in dated.tables.values()
            for name in (
                *table.key,
                table.known,
                table.happened,
                *(k for ks in table.join.values() for k in ks),
            )
        ]
        taken = [
            name
            for one in contract.taken.values()
            for name in (*one.numbers, *names_in(one.where or "0"), *names_in(one.formula or "0"))
        ]
        own = [*dated.key, dated.person, dated.start, dated.present.since, dated.present.until]
        own += [dated.cohort.column if dated.cohort else None, contract.target.column, *contract.columns]
        conditions = [name for t in dated.tables.values() for name in names_in(t.where or "0")]
        return frozenset(name for name in (*tables, *taken, *own, *conditions) if name)

    @cached_property
    def _takings(self) -> list[Taking]:
        """The tables that something is taken from, with what is."""
        after = () if self.labelled else (Role.SCORE,)
        taken = {n: t for n, t in self.contract.taken.items() if self.contract.columns[n].role not in after}
        tables = dict.fromkeys(one.table for one in taken.values() if one.table)
        return [
            Taking(name, f"d{n}", self.dated, {c: one for c, one in taken.items() if one.table == name})
            for n, name in enumerate(tables)
        ]

    def _with_joins(self, name: str, relations: Mapping[str, Relation]) -> Relation:
        """Return a table with those that it is joined to; raises BadInput."""
        found = relations[name]
        for other, keys in self.dated.tables[name].join.items():
            self._refuse_missing(name, keys, found)
            self._refuse_missing(other, keys, relations[other])
            if again := first_repeated(self.connection, relations[other], keys):
                row, what = again
                remedy = (
                    f"Each {', '.join(keys)} may be there once, for {name} is joined to it: keep one row."
                )
                file = self.files[other].name
                raise BadInput(f"{what} is there twice.", file=file, row=row, remedy=remedy)
            found = joined(found, relations[other], keys)
        return found

    def _refuse_missing(self, name: str, columns: Sequence[str | None], there: Relation) -> None:
        missing = next((column for column in columns if column and column not in there.columns), None)
        if missing is not None:
            found = ", ".join(columns_found(self.files[name], self.dated, name))
            remedy = f"The contract {self.contract.name} asks for it in the table {name}; found: {found}."
            raise BadInput(f"missing column {missing}.", file=self.files[name].name, remedy=remedy)

    # --- students

    def _make_students(self, table: Relation, bad: SetAsideRecords) -> int:
        """Make the table `student`, one row each, with what is told of them."""
        dated = self.dated
        needed = (dated.person, dated.start, dated.present.since, dated.present.until)
        cohort = dated.cohort.column if dated.cohort and self.labelled else None
        self._refuse_missing(dated.students, [*dated.key, *self._keys, *needed, cohort], table)
        self._refuse_missing(dated.students, self._fixed(table), table)
        keys = [table.key(name) for name in dated.key]
        again = f"row_number() over (partition by {', '.join(keys)} order by {ROW}) as _again"
        start = table.day(dated.start, dates=True) if dated.start else "null::date"
        source = f"(select *, {again}, {start} as {START} from {table.sql})"
        self._told = {name: f"s{n}" for n, name in enumerate(self._told_of(table))}
        cells = [f"{table.text(name)} as {own}" for name, own in self._told.items()]
        cells += [f"{table.key(name)} as {own}" for name, own in self._keys.items()]
        cells += [f"{self._day(table, dated.present.since)} as _since", f"{START}, {_id(keys)} as _id"]
        cells += [f"{self._day(table, dated.present.until)} as _until", "row_number() over () as _n"]
        return bad.sift(dated.students, "student", source, cells, self._bad_students(table))

    def _day(self, table: Relation, name: str | None) -> str:
        return day_of(table, name, dates=self.dated.start is not None) if name else "null::integer"

    @cached_property
    def _keys(self) -> dict[str, str]:
        """The columns by which tables name a student, and ours for them."""
        names = dict.fromkeys(key for taking in self._takings for key in self.dated.key_of(taking.name))
        return {name: f"key{n}" for n, name in enumerate(names)}

    def _fixed(self, there: Relation) -> list[str]:
        """List the contract's columns that the student table must have, or may have where none is wanted."""
        contract = self.contract
        own = (contract.id.name if contract.id else "", AS_OF, *contract.taken)
        roles = {Role.LEAK, Role.ID}
        named = [c for c in contract.columns.values() if c.role not in roles and c.name not in own]
        if not self.labelled:
            return [c.name for c in named if c.role is Role.FEATURE or c.name in there.columns]
        target = [] if contract.target.derived else [contract.target.column]
        return [c.name for c in named] + target

    def _told_of(self, table: Relation) -> list[str]:
        more = [self.dated.person, self.dated.cohort.column if self.dated.cohort else None]
        some = [name for name in more if name and name in table.columns]
        return list(dict.fromkeys([*self._fixed(table), *some]))

    def _bad_students(self, table: Relation) -> list[Fault]:
        """List what can be wrong with a student: no key, twice there, no day, text among numbers."""
        dated = self.dated
        needed = [*dated.key, *([dated.start] if dated.start else [])]
        days = [day for day in (dated.present.since, dated.present.until) if day]
        own = [self.contract.columns[name] for name in self._told if name in self.contract.columns]
        numbers = [column.name for column in own if not (column.coded or column.dated or column.name in days)]
        missing = [Fault(n, table.text(n), Reason.MISSING, table.missing(n)) for n in needed]
        key = Fault(
            ", ".join(dated.key), _id([table.key(n) for n in dated.key]), RecordReason.TWICE, "_again > 1"
        )
        return [
            *missing,
            *bad_days(table, [dated.start] if dated.start else [], dates=True),
            *bad_days(table, days, dates=dated.start is not None),
            *bad_numbers(table, numbers),
            key,
        ]

    # --- records

    def _make_records(self, taking: Taking, table: Relation, bad: SetAsideRecords) -> int:
        """Make the table `ok_ALIAS` of sound records, and `whose_ALIAS` of those whose they can be."""
        own, key = self.dated.tables[taking.name], self.dated.key_of(taking.name)
        used = [name for name, _ in taking.used]
        self._refuse_missing(taking.name, [*key, own.known, own.happened, *used], table)
        mine = ", ".join(self._keys[name] for name in key)
        self.connection.execute(
            f"create table whose_{taking.alias} as select {mine}, row_number() over () as {WHO}, "
            f"min({START}) as {START} from student group by {mine}"
        )
        same = " and ".join(f"{table.key(name)} = w.{self._keys[name]}" for name in key)
        source = (
            f"(select t.*, w.{WHO}, w.{START} from {table.sql} t left join whose_{taking.alias} w on {same})"
        )
        cells = [WHO, *taking.cells(table)]
        return bad.sift(taking.name, f"ok_{taking.alias}", source, cells, taking.faults(table))

    def _make_grid(self) -> None:
        """Make the table `grid`, a row for each student and day, and `keys_ALIAS` of whose records count."""
        joins = "".join(
            f" left join whose_{t.alias} {t.alias} on "
            + " and ".join(
                f"{t.alias}.{self._keys[n]} = s.{self._keys[n]}" for n in self.dated.key_of(t.name)
            )
            for t in self._takings
        )
        whose = "".join(f", {t.alias}.{WHO} as who_{t.alias}" for t in self._takings)
        self.connection.execute(
            f"create table grid as select s._n, s.{START}, d.{DAY}{whose} from student s{joins}, "
            f"{self._each_day()} d where (s._since is null or s._since <= d.{DAY}) "
            f"and (s._until is null or s._until > d.{DAY})"
        )
        self._leave_out_later()
        self._refuse_empty()
        for t in self._takings:
            self.connection.execute(
                f"create table keys_{t.alias} as "
                f"select distinct who_{t.alias} as {WHO}, {DAY}, {START} from grid"
            )

    def _each_day(self) -> str:
        """Return the relation of the days that each student has: the same for all, or of one date."""
        if isinstance(self.days, date):
            day = f"date_diff('day', s.{START}, date '{self.days.isoformat()}')"
            return f"lateral (select cast({day} as integer) as {DAY})"
        return f"(select unnest([{', '.join(map(str, self.days))}]) as {DAY})"

    def _leave_out_later(self) -> None:
        """Take out the days that have not come yet, and count them."""
        if self.until is None:
            return
        last = f"{self.until}"
        if isinstance(self.until, date):
            last = f"date_diff('day', {START}, date '{self.until.isoformat()}')"
        gone = self.connection.execute(f"delete from grid where {DAY} > {last}").fetchone()
        self.left_out = int(gone[0]) if gone else 0

    def _refuse_empty(self) -> None:
        """Raise BadInput for a day on which nobody is there."""
        found = {row[0] for row in self.connection.execute(f"select distinct {DAY} from grid").fetchall()}
        if isinstance(self.days, date):
            empty = [] if found else [f"{self.days}"]
        else:
            empty = [f"day {day}" for day in self.days if day not in found]
            empty = [] if found and self.left_out else empty
        if empty:
            remedy = "Leave that day out, or see who is there in the student table."
            raise BadInput(f"no student is there on {empty[0]}.", column=AS_OF, remedy=remedy)

    # --- rows

    def _rows(self) -> str:
        """Return the query of the snapshots: what is told of students, what is taken, then the formulas."""
        own = self.contract.id.name if self.contract.id else "_id"
        cells = {own: "s._id", AS_OF: f"g.{DAY}"}
        fixed = [name for name in self._told if name in (*self.contract.columns, self.contract.target.column)]
        cells |= {name: f"s.{self._told[name]}" for name in fixed if name != own}
        if self.dated.person:
            cells[PERSON] = f"s.{self._told[self.dated.person]}"
        if self.labelled and self.dated.cohort and (split := self._split(self.dated.cohort)):
            cells |= {"split": split, OF_COHORT: f"s.{self._told[self.dated.cohort.column]}"}
        joins = [join for taking in self._takings for join in self._taken(taking, cells)]
        listed = ", ".join(f"{cell} as o{n}" for n, cell in enumerate(cells.values()))
        query = f"select {listed} from grid g join student s using (_n) {' '.join(joins)}"
        self.names = [*cells]
        formulas = {n: t.formula for n, t in self.contract.taken.items() if t.formula}
        for name in self.dated.order_of(self.contract.taken):
            worked_out = to_sql(str(formulas[name]), self._number)
            query = f"select *, cast({worked_out} as double) as o{len(self.names)} from ({query})"
            self.names.append(name)
        return f"select * from ({query}) order by o0, o1"

    def _taken(self, taking: Taking, cells: dict[str, str]) -> Iterator[str]:
        """Add the cells of what is taken of a table; yield the join of each way in which it is."""
        scores = {column.name for column in self.contract.columns.values() if column.role is Role.SCORE}
        days = None if isinstance(self.days, date) else self.days
        for way, columns in taking.groups(scores):
            alias = f"{taking.alias}_{way.value}"
            for n, column in enumerate(columns):
                zero = taking.taken[column].stat in ZERO_OF_NONE and column not in scores
                cells[column] = f"coalesce({alias}.x{n}, 0)" if zero else f"{alias}.x{n}"
            same = f"{alias}.{WHO} = g.who_{taking.alias} and {alias}.{DAY} = g.{DAY}"
            same += f" and {alias}.{START} is not distinct from g.{START}"
            yield f"left join ({taking.aggregate(columns, way, days)}) {alias} on {same}"

    def _number(self, name: str) -> str:
        """Return a column in a formula: what was taken is a number, a student's cell is read as one."""
        own = f"o{self.names.index(name)}"
        read = name in self.contract.taken or name == AS_OF
        return f"cast({own} as double)" if read else f"number_in({own})"

    def _split(self, cohort: Cohort) -> str | None:
        """Return the split of a row: the newest cohort is held out. None where there is one alone."""
        column = self._told[cohort.column]

        def label(cell: str) -> str:
            return f"regexp_extract({cell}, {quoted(cohort.pattern)})" if cohort.pattern else cell

        found = self.connection.execute(f"select distinct {label(column)} from student").fetchall()
        cohorts = sorted(name for (name,) in found if name)
        if len(cohorts) < 2:
            return None
        return f"case when {label(f's.{column}')} = {quoted(cohorts[-1])} then 'test' else 'train' end"


def _id(keys: Sequence[str]) -> str:
    """Return the text that names a student: the key, or its parts with a / between them and none inside."""
    if len(keys) == 1:
        return keys[0]
    parts = [f"replace(replace({key}, '%', '%25'), '/', '%2F')" for key in keys]
    return f"concat_ws('/', {', '.join(parts)})"


def columns_found(path: Path, dated: Dated, name: str) -> list[str]:
    """List the columns of a table under the names that the contract gives them."""
    from data.snapshots.relations import columns_of

    rename = dated.tables[name].rename
    return [rename.get(column, column) for column in columns_of(path)]
