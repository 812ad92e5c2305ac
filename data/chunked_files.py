"""The declared columns of CSV and Parquet files, chunk by chunk."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from data.columns import MISSING_TEXTS, Role
from data.contract import Contract
from data.csv_files import Header, broken, read_header
from data.parquet_files import reading_parquet

BLOCK = 1 << 23  # bytes of a CSV that are read at a time


def parquet_chunks(path: Path, columns: list[str], rows: int) -> Iterator[pd.DataFrame]:
    """Yield columns of a Parquet file, so many rows at a time; raises BadInput."""
    with reading_parquet(path), pyarrow.parquet.ParquetFile(path) as file:
        for table in even(file.iter_batches(rows, columns=columns), rows):
            yield table.to_pandas(ignore_metadata=True)


def csv_chunks(path: Path, contract: Contract, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the declared columns of a CSV, so many rows at a time.

    Coded columns and ids as text categories, numbers as numbers, or as text where one of them is none.
    Raises BadInput.
    """
    header = read_header(path)
    declared = [name for name in header.names if name in contract.readable]
    numbers = {c.name for c in contract.columns.values() if not c.coded and c.role is not Role.ID}
    try:
        for table in even(_texts(path, header, declared), rows):
            yield pa.table({name: _typed(table[name], name in numbers) for name in declared}).to_pandas()
    except pa.ArrowInvalid as error:
        raise broken(path, header, error) from error


def even(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Yield tables of so many rows each but for the last, however the batches come."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        while count >= rows:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, rows)
            waiting = table.slice(rows).to_batches()
            count -= rows
    if count:
        yield pa.Table.from_batches(waiting)


def _texts(path: Path, header: Header, declared: list[str]) -> Iterator[pa.RecordBatch]:
    yield from pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(
            column_names=header.names, skip_rows=header.line, block_size=BLOCK
        ),
        parse_options=pyarrow.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(declared, pa.string()),
            include_columns=declared,
            null_values=list(MISSING_TEXTS),
            strings_can_be_null=True,
        ),
    )


def _typed(texts: pa.ChunkedArray, number: bool) -> pa.ChunkedArray:
    if number:
        try:
            return texts.cast(pa.float64())
        except pa.ArrowInvalid:  # a cell says something else: it is told with its row where it is parsed
            pass
    return texts.combine_chunks().dictionary_encode()
