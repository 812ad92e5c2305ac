"""Rosters as chunks of rows, with all their columns as they are: from files, tables, queries, collections."""

import codecs
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import sqlalchemy as sa

from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.frames import refuse_missing, refuse_twice
from data.sources.databases import (
    RowSource,
    collection_names,
    count_documents,
    is_collection,
    is_table,
    open_documents,
    without_secrets,
)
from data.sources.files import Header, broken, even, fetched, is_stored, local_files, read_header
from data.sources.reading import is_cohort

ORDERED = re.compile(r"\border\s+by\b", re.IGNORECASE)
Opened = tuple[str, tuple[str, ...], int, Callable[[], Iterator[pa.Table]]]
"""What it is called, its columns, how many rows, and how to read them in chunks."""


def open_rows(uri: str) -> Opened:
    """Open a table, a query or a collection; raises BadInput.

    A query says its order, so that a run that goes on meets the same chunks; a table is read in that of
    its primary key, a collection in that of its `_id`.
    """
    if is_collection(uri):
        names = collection_names(uri)
        chunks = functools.partial(_documents, uri, names)
        return without_secrets(uri), names, count_documents(uri), chunks
    source = RowSource.of(uri)
    if source.query and not ORDERED.search(source.query):
        raise BadInput(f"{source}: it says no order.", remedy="End the query with ORDER BY and the id.")
    return str(source), tuple(source.names()), source.count(), functools.partial(_rows, source)


def _rows(source: RowSource) -> Iterator[pa.Table]:
    with source.open() as found:
        names = list(found.keys())
        for rows in found.partitions():
            yield _table_of(names, rows)


def _table_of(names: list[str], rows: Sequence["sa.Row[Any]"]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(cells) for name, cells in zip(names, columns, strict=True)})


def _documents(uri: str, names: tuple[str, ...]) -> Iterator[pa.Table]:
    with open_documents(uri) as chunks:
        for frame in chunks:
            yield pa.table(
                {
                    name: pa.array(frame[name].tolist() if name in frame else [None] * len(frame))
                    for name in names
                }
            )


ROWS = 50_000  # of a chunk
PARQUET = ".parquet"
TEXTS = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Roster:
    """Rows to be scored: the columns' names, about how many rows, and how to read them in chunks."""

    name: str
    columns: tuple[str, ...]
    rows: int
    chunks: Callable[[], Iterator[pa.Table]]
    delimiter: str = ","
    bom: bool = False

    @property
    def parts(self) -> int:
        """Return about how many chunks there are."""
        return max(1, -(-self.rows // ROWS))


def open_roster(uri: str, contract: Contract) -> Roster:
    """Open a roster; raises BadInput where it cannot be read or lacks a feature's column."""
    if is_table(uri) or is_collection(uri):
        name, columns, rows, chunks = open_rows(uri)
        roster = Roster(name, columns, rows, chunks)
    elif is_cohort(uri):
        remedy = "Give a CSV or Parquet file, or a database's table."
        raise BadInput(f"{uri}: a generated cohort is no roster.", remedy=remedy)
    elif is_stored(uri):
        with fetched(uri) as files:
            about = _files(uri, files)
        roster = replace(about, chunks=functools.partial(_stored_chunks, uri))
    else:
        roster = _files(uri, local_files(uri))
    names = [name for name in roster.columns if name]
    refuse_twice(names, roster.name)
    refuse_missing(names, contract, labelled=False, file=roster.name)
    return roster


def _stored_chunks(uri: str) -> Iterator[pa.Table]:
    """Fetch the objects again for as long as they are read."""
    with fetched(uri) as files:
        yield from _files(uri, files).chunks()


def _files(uri: str, files: list[Path]) -> Roster:
    """Open one file, or several with the same columns one after the other."""
    rosters = [_file(path) for path in files]
    first = rosters[0]
    if len(rosters) == 1 and not is_stored(uri):
        return first
    for roster in rosters:
        if roster.columns != first.columns:
            remedy = f"Give every file the columns of {first.name}, in their order."
            raise BadInput("its columns are not those of the first file.", file=roster.name, remedy=remedy)
    chunks = functools.partial(_one_by_one, rosters)
    return replace(
        first, name=without_secrets(uri), rows=sum(roster.rows for roster in rosters), chunks=chunks
    )


def _one_by_one(rosters: list[Roster]) -> Iterator[pa.Table]:
    for roster in rosters:
        yield from roster.chunks()


def _file(path: Path) -> Roster:
    if path.suffix.lower() == PARQUET:
        return _parquet(path)
    if path.suffix.lower() in TEXTS:
        return _csv(path)
    known = ", ".join((*TEXTS, PARQUET))
    raise BadInput("not a kind of file that can be read.", file=path, remedy=f"Give one of: {known}.")


def _csv(path: Path) -> Roster:
    header = read_header(path)
    with path.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        file.seek(0)
        bom = file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8
    rows = max(1, lines - header.line + 1)
    chunks = functools.partial(_csv_chunks, path, header)
    return Roster(str(path), tuple(header.names), rows, chunks, header.delimiter, bom)


def _csv_chunks(path: Path, header: Header) -> Iterator[pa.Table]:
    """Yield every cell as the text that it is."""
    try:
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(
                column_names=header.names, skip_rows=header.line, block_size=1 << 22
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(header.names, pa.string()), strings_can_be_null=False
            ),
        )
        yield from even(iter(reader), ROWS)
    except pa.ArrowInvalid as error:
        raise broken(path, header, error) from error


def _parquet(path: Path) -> Roster:
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise BadInput("this is not a Parquet file.", file=path, remedy="Write it again.") from error
    names, rows = tuple(file.schema_arrow.names), file.metadata.num_rows
    file.close()
    return Roster(str(path), names, rows, lambda: _parquet_chunks(path))


def _parquet_chunks(path: Path) -> Iterator[pa.Table]:
    with pyarrow.parquet.ParquetFile(path) as file:
        yield from even(file.iter_batches(ROWS), ROWS)
