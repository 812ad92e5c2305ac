"""Rosters as chunks of rows, with all their columns as they are: from files, tables, queries, collections."""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pyarrow as pa

from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.frames import refuse_missing, refuse_twice, with_notations
from data.rows.notation import Settled, number_columns
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
from data.sources.reading import is_cohort

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


def open_roster(uri: str, contract: Contract) -> RosterSource:
    """Open a roster; raises BadInput where it cannot be read or lacks a feature's column."""
    if is_database(uri):
        roster = _database(uri)
    elif is_cohort(uri):
        remedy = "Give a CSV or Parquet file, or a database's table."
        raise BadInput(f"{uri}: a generated cohort is no roster.", remedy=remedy)
    elif is_stored(uri):
        with fetched(uri) as files:
            about = _files(uri, files, contract)
        roster = replace(about, chunks=functools.partial(_stored_chunks, uri, contract))
    else:
        roster = _files(uri, local_files(uri), contract)
    names = [name for name in roster.columns if name]
    refuse_twice(names, roster.name)
    refuse_missing(names, contract, labelled=False, file=roster.name)
    return roster


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
    settled = settled_of(path, header, number_columns(contract))
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
