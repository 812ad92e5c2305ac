"""Rosters as chunks of rows, with all their columns as they are: from files, tables, queries, collections.

Of a contract with dates, the tables of a school are a roster too: the students who are there on a day.
"""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa

from data.contract.columns import OF_COHORT, PERSON
from data.contract.contract import Contract
from data.contract.dated import AS_OF, Dated, Said
from data.errors import BadInput
from data.rows.frames import refuse_missing, refuse_twice, with_notations
from data.rows.notation import Settled
from data.snapshots.snapshots import open_snapshots
from data.snapshots.tables import are_tables
from data.sources.databases import (
    SqlAddress,
    database_chunks,
    is_database,
    is_table,
    shape_of,
    without_secrets,
)
from data.sources.files import (
    Header,
    even,
    fetched,
    is_parquet,
    is_stored,
    local_files,
    parquet_chunks,
    parquet_shape,
    read_header,
    reading_csv,
    settled_of,
    without_empty_texts,
)
from data.sources.reading import ChunkedRecords, SetAside, is_cohort
from data.words import count, plural

ORDERED = re.compile(r"\border\s+by\b", re.IGNORECASE)
ROWS = 50_000  # of a chunk


@dataclass(frozen=True)
class RosterSource:
    """Rows to be scored: the columns' names, about how many rows, and how to read them in chunks."""

    name: str
    columns: tuple[str, ...]
    rows: int
    chunks: Callable[[], Iterator[pa.Table]]
    delimiter: str = ","
    bom: bool = False
    assumed: tuple[str, ...] = ()
    """What was assumed of a text or a sheet."""
    day: str = ""
    """For which day they are, where that was asked for."""
    notes: tuple[str, ...] = ()
    """What was left out of dated tables."""

    @property
    def parts(self) -> int:
        """Return about how many chunks there are."""
        return max(1, -(-self.rows // ROWS))


def _database(uri: str) -> RosterSource:
    """Open a table, a query or a collection; raises BadInput.

    A query says its order, so that a run that goes on meets the same chunks.
    """
    name = without_secrets(uri)
    if is_table(uri):
        source = SqlAddress.to_read(uri)
        name = str(source)
        if source.query and not ORDERED.search(source.query):
            raise BadInput(f"{name}: it says no order.", remedy="End the query with ORDER BY and the id.")
    names, rows = shape_of(uri)
    return RosterSource(name, names, rows, functools.partial(_database_chunks, uri, names))


def _database_chunks(uri: str, names: tuple[str, ...]) -> Iterator[pa.Table]:
    for frame in database_chunks(uri):
        cells = {name: frame[name].tolist() if name in frame else [None] * len(frame) for name in names}
        yield pa.table({name: pa.array(column) for name, column in cells.items()})


def day_asked(uri: str, contract: Contract, as_of: Said) -> int | date | None:
    """Return for which day a roster is to be scored, None where its rows say so or it has none.

    Raises BadInput where that cannot be told, or there is no forecast for it.
    """
    said = as_of not in (None, "")
    if contract.dated is None:
        if said:
            remedy = "Leave AS_OF out, or name a contract with dated records."
            raise BadInput(f"the contract {contract.name} is for no day.", remedy=remedy)
        return None
    if not said and not holds_tables(uri, contract):
        return None
    try:
        found = contract.dated.day_asked(as_of, date.today())  # noqa: DTZ011  a school's day is the local one
    except BadInput as error:
        raise BadInput(str(error), file=contract.model_name) from error
    if isinstance(found, date) and not holds_tables(uri, contract):
        raise BadInput(
            "a file of rows says no start to count from.", file=uri, remedy="Give a day, AS_OF=60."
        )
    return found


def holds_tables(uri: str, contract: Contract) -> bool:
    """Tell whether an address holds the tables of a contract with dates, rather than rows."""
    return contract.dated is not None and (are_tables(uri) or is_cohort(uri))


@contextmanager
def opened_roster(
    uri: str, contract: Contract, as_of: Said = None, *, threads: int = 1
) -> Iterator[RosterSource]:
    """Open a roster for as long as it is scored: rows, or who is there on a day; raises BadInput."""
    day = day_asked(uri, contract, as_of)
    if contract.dated is None or day is None or not holds_tables(uri, contract):
        yield open_roster(uri, contract, day if isinstance(day, int) else None)
        return
    days = day if isinstance(day, date) else (day,)
    with open_snapshots(uri, contract, days, threads=threads, labelled=False) as found:
        yield _who_is_there(found, contract.dated, day)


def _who_is_there(found: ChunkedRecords, dated: Dated, day: int | date) -> RosterSource:
    """Return the students who are there on a day; those whose own day has no forecast are left out."""
    rows, there, own_days = 0, 0, set[int]()
    names: tuple[str, ...] = ()
    for frame in found.read():
        there += len(frame)
        own_days |= set(frame[AS_OF].unique().tolist())
        kept = _within(frame, dated)
        rows, names = rows + len(kept), tuple(kept.columns)
    first, last = dated.span
    if not rows:
        days = f"day {min(own_days)} to {max(own_days)}"
        reason = f"it was trained for days {first} to {last}; on {day} every student is at {days}."
        raise BadInput(reason, file=found.uri, remedy="Ask for a day within them: AS_OF=…")
    left_out = [f"{plural(there - rows, 'student')} left out: on {day} not at day {first} to {last}."]
    notes = (*(left_out if there > rows else ()), *_set_aside(found.set_aside))
    chunks = functools.partial(_snapshot_chunks, found, dated)
    assumed = tuple(found.assumed)
    return RosterSource(found.uri, names, rows, chunks, assumed=assumed, day=str(day), notes=notes)


def _snapshot_chunks(found: ChunkedRecords, dated: Dated) -> Iterator[pa.Table]:
    for frame in found.read():
        if len(kept := _within(frame, dated)):
            yield pa.Table.from_pandas(kept, preserve_index=False).replace_schema_metadata()


def _within(frame: pd.DataFrame, dated: Dated) -> pd.DataFrame:
    """Return the rows of days that there is a forecast for, without what is for training alone."""
    return frame[frame[AS_OF].between(*dated.span)].drop(
        columns=[PERSON, OF_COHORT, "split"], errors="ignore"
    )


def _set_aside(found: SetAside | None) -> Iterator[str]:
    """Say how many records of each dated table no row was made of, and why."""
    for table, reasons in (found.counts() if found else {}).items():
        if found and reasons:
            told = ", ".join(f"{reason} ({count(rows)})" for reason, rows in reasons.items())
            yield f"{sum(reasons.values()):,} of {found.rows[table]:,} records of {table} set aside: {told}."


def open_roster(uri: str, contract: Contract, day: int | None = None) -> RosterSource:
    """Open a roster, with the day that all its rows are of if it is given.

    Raises BadInput where it cannot be read or lacks a feature's column.
    """
    roster = _opened(uri, contract)
    names = contract.named(name for name in roster.columns if name)
    refuse_twice(names, roster.name)
    if day is not None:
        roster, names = _on_day(roster, day), [*names, AS_OF]
    refuse_missing(names, contract, labelled=False, file=roster.name)
    return roster


def _on_day(roster: RosterSource, day: int) -> RosterSource:
    """Return a roster with the day in each row; raises BadInput where its rows say it already."""
    if AS_OF in roster.columns:
        remedy = "Leave AS_OF out, or take the column out of the file."
        raise BadInput("its rows say already for which day they are.", file=roster.name, remedy=remedy)

    def chunks() -> Iterator[pa.Table]:
        for table in roster.chunks():
            yield table.append_column(AS_OF, pa.array([day] * len(table)))

    return replace(roster, columns=(*roster.columns, AS_OF), chunks=chunks, day=str(day))


def _opened(uri: str, contract: Contract) -> RosterSource:
    """Open rows wherever they are; raises BadInput."""
    if is_database(uri):
        return _database(uri)
    if is_cohort(uri):
        remedy = "Give a CSV or Parquet file, or a database's table."
        raise BadInput(f"{uri}: a generated cohort is no roster.", remedy=remedy)
    if is_stored(uri):
        with fetched(uri) as files:
            about = _files(uri, files, contract)
        return replace(about, chunks=functools.partial(_stored_chunks, uri, contract))
    return _files(uri, local_files(uri), contract)


def _stored_chunks(uri: str, contract: Contract) -> Iterator[pa.Table]:
    """Fetch the objects again for as long as they are read."""
    with fetched(uri) as files:
        yield from _files(uri, files, contract).chunks()


def _files(uri: str, files: list[Path], contract: Contract) -> RosterSource:
    """Open one file, or several with the same columns one after the other."""
    rosters = [_parquet(path) if is_parquet(path) else _csv(path, contract) for path in files]
    first = rosters[0]
    if len(rosters) == 1 and not is_stored(uri):
        return first
    for roster in rosters:
        if roster.columns != first.columns:
            remedy = f"Give every file the columns of {first.name}, in their order."
            raise BadInput("its columns are not those of the first file.", file=roster.name, remedy=remedy)
    return replace(
        first,
        name=without_secrets(uri),
        rows=sum(roster.rows for roster in rosters),
        assumed=tuple(f"{Path(roster.name).name}: {note}" for roster in rosters for note in roster.assumed),
        chunks=lambda: chain.from_iterable(roster.chunks() for roster in rosters),
    )


def _csv(path: Path, contract: Contract) -> RosterSource:
    header = read_header(path)
    settled = settled_of(path, replace(header, names=contract.named(header.names)), contract)
    written = dict(zip(contract.named(header.names), header.names, strict=True))
    settled = replace(settled, notations={written[name]: one for name, one in settled.notations.items()})
    with header.text.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    rows = max(1, lines - header.line + 1)
    chunks = functools.partial(_csv_chunks, path, header, settled)
    notes = (*header.notes, *settled.notes)
    return RosterSource(
        str(path), tuple(header.names), rows, chunks, header.delimiter, header.bom, assumed=notes
    )


def _csv_chunks(path: Path, header: Header, settled: Settled) -> Iterator[pa.Table]:
    """Yield every cell as the text that it is, each column with how it writes its numbers."""
    with reading_csv(path, header, missing=False) as reader:
        for table in even(reader, ROWS):
            yield with_notations(without_empty_texts(table), settled.notations)


def _parquet(path: Path) -> RosterSource:
    names, rows = parquet_shape(path)
    return RosterSource(str(path), names, rows, functools.partial(parquet_chunks, path, None, ROWS))
