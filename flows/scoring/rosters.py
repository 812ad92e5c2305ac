"""Rosters as chunks of rows, with all their columns as they are: from a CSV, a Parquet file or a table."""

import codecs
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import sqlalchemy as sa

from data.contract import Contract
from data.csv_files import Header, broken, read_header
from data.database_tables import TableAddress, is_table
from data.errors import BadInput
from data.frames import refuse_missing, refuse_twice
from data.sources import check_source

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


def open_roster(uri: str, contract: Contract) -> Roster:
    """Open a roster; raises BadInput where it cannot be read or lacks a feature's column."""
    if is_table(uri):
        roster = _table(TableAddress.of(uri))
    else:
        path = check_source(uri)
        if path is None:
            remedy = "Give a CSV or Parquet file, or a database's table."
            raise BadInput(f"{uri}: a generated cohort is no roster.", remedy=remedy)
        roster = _file(path)
    names = [name for name in roster.columns if name]
    refuse_twice(names, roster.name)
    refuse_missing(names, contract, labelled=False, file=roster.name)
    return roster


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
        yield from _even(iter(reader))
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
        yield from _even(file.iter_batches(ROWS))


def _table(address: TableAddress) -> Roster:
    engine = address.open()
    table = address.reflect(engine)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    names = tuple(column.name for column in table.columns)
    return Roster(str(address), names, rows, lambda: _table_chunks(engine, table))


def _table_chunks(engine: sa.Engine, table: sa.Table) -> Iterator[pa.Table]:
    """Yield rows in the order of the primary key, so that a run that goes on meets the same chunks."""
    query = sa.select(table).order_by(*table.primary_key.columns)
    names = [column.name for column in table.columns]
    with engine.connect() as connection:
        found = connection.execution_options(yield_per=ROWS).execute(query)
        for rows in found.partitions():
            columns = zip(*rows, strict=True)
            yield pa.table({name: pa.array(cells) for name, cells in zip(names, columns, strict=True)})


def _even(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield tables of `ROWS` rows each but for the last, however the batches come."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        while rows >= ROWS:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, ROWS)
            waiting = table.slice(ROWS).to_batches()
            rows -= ROWS
    if rows:
        yield pa.Table.from_batches(waiting)
