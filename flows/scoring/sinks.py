"""Where a scored roster goes: a CSV, a Parquet file or a new table, whole or not at all."""

import codecs
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import sqlalchemy as sa

from data.contract.yaml_files import shortened
from data.errors import BadInput
from data.rows.spreadsheets import FIRST_BYTES, neutralised, neutralised_column
from data.sources.databases import SqlAddress, answering, is_table, without_secrets
from flows.runtime.workspace import finished_file
from flows.scoring.forecasts import is_text


def has_byte(column: pa.ChunkedArray, marks: bytes) -> bool:
    """Tell whether one of these bytes is anywhere in the texts."""
    return any(mark in text for _, text in _buffers(column) for mark in _each(marks))


def has_first_byte(column: pa.ChunkedArray, marks: bytes) -> bool:
    """Tell whether a text begins with one of these bytes."""
    wanted = np.isin(np.arange(256), np.frombuffer(marks, np.uint8))
    for offsets, text in _buffers(column):
        begins = offsets[:-1][offsets[1:] > offsets[:-1]] - offsets[0]
        if wanted[np.frombuffer(text, np.uint8)[begins]].any():
            return True
    return False


def _buffers(column: pa.ChunkedArray) -> Iterator[tuple[np.ndarray, bytes]]:
    """Yield each chunk's offsets and the bytes from the first to the last."""
    for chunk in column.chunks:
        _, starts, text = chunk.buffers()
        if not len(chunk) or text is None:
            continue
        kind = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
        offsets = np.frombuffer(starts, kind)[chunk.offset : chunk.offset + len(chunk) + 1]
        yield offsets, text[int(offsets[0]) : int(offsets[-1])].to_pybytes()


def _each(marks: bytes) -> list[bytes]:
    return [bytes([mark]) for mark in marks]


SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
DRAFT = "_gradecast_draft"
AT_ONCE = 2_000  # rows of one INSERT


def check_sink(uri: str) -> None:
    """Raise BadInput where nothing can be written."""
    if is_table(uri):
        address = SqlAddress.of(uri)
        with _database(address) as engine:
            if sa.inspect(engine).has_table(address.table):
                remedy = "Name another table, or drop this one yourself."
                raise BadInput(f"{address}: the table is there already.", remedy=remedy)
    elif Path(uri).suffix.lower() not in SUFFIXES:
        reason, remedy = "not a kind of file that can be written.", f"Name one of: {' '.join(SUFFIXES)}."
        raise BadInput(reason, file=shortened(without_secrets(uri)), remedy=remedy)
    else:
        _check_name(Path(uri))


def _check_name(path: Path) -> None:
    try:
        path.exists()
    except OSError as error:
        reason = f"it cannot be written: {error.strerror}."
        raise BadInput(reason, file=shortened(path), remedy="Name another.") from error


def write_sink(uri: str, parts: Iterator[pa.Table], delimiter: str = ",", *, bom: bool = False) -> None:
    """Write the parts to where they go; what was under a file's name is replaced by the whole of it."""
    if is_table(uri):
        _to_table(SqlAddress.of(uri), parts)
    elif Path(uri).suffix.lower() == ".parquet":
        finished_file(Path(uri), lambda draft: _to_parquet(draft, parts))
    else:
        finished_file(Path(uri), lambda draft: _to_csv(draft, parts, delimiter, bom=bom))


def _to_parquet(path: Path, parts: Iterator[pa.Table]) -> None:
    first = next(parts)
    with pyarrow.parquet.ParquetWriter(path, first.schema.remove_metadata()) as writer:
        for part in (first, *parts):
            writer.write_table(part.replace_schema_metadata().cast(first.schema.remove_metadata()))


def _to_csv(path: Path, parts: Iterator[pa.Table], delimiter: str, *, bom: bool) -> None:
    with path.open("wb") as file:
        file.write(codecs.BOM_UTF8 if bom else b"")
        for place, part in enumerate(parts):
            table = _neutralised(_written_out(part))
            special = f'"\r\n{delimiter}'
            options = pyarrow.csv.WriteOptions(
                include_header=place == 0,
                delimiter=delimiter,
                quoting_style=_quoting(table.columns, special),
                quoting_header=_quoting([pa.chunked_array([table.column_names])], special),
            )
            pyarrow.csv.write_csv(table, file, options)


def _written_out(table: pa.Table) -> pa.Table:
    """Return a table of plain columns: Parquet may have categories, and texts with longer offsets."""
    for place, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        kind = pa.string() if is_text(kind) else kind
        if kind != field.type:
            table = table.set_column(place, field.name, table[place].cast(kind))
    return table


def _quoting(columns: Sequence[pa.ChunkedArray], special: str) -> str:
    """Return how to quote: PyArrow does it with every text or with none."""
    marks = special.encode()
    return "needed" if any(has_byte(c, marks) for c in columns if is_text(c.type)) else "none"


def _neutralised(table: pa.Table) -> pa.Table:
    """Return a table without metadata, with no name and no text that a spreadsheet would run."""
    table = table.replace_schema_metadata()
    for place, field in enumerate(table.schema):
        if is_text(field.type) and has_first_byte(table[place], FIRST_BYTES):
            table = table.set_column(place, field.name, neutralised_column(table[place]))
    return table.rename_columns([neutralised(name) for name in table.column_names])


def _to_table(address: SqlAddress, parts: Iterator[pa.Table]) -> None:
    """Write a draft of the table, then rename it: a killed run leaves none under the final name."""
    first = next(parts)
    with _database(address) as engine:
        table = sa.Table(address.table + DRAFT, sa.MetaData(), *map(_column, first.schema))
        with engine.begin() as connection:
            table.drop(connection, checkfirst=True)
            table.create(connection)
        try:
            for part in (first, *parts):
                with engine.begin() as connection:
                    for batch in part.to_batches(AT_ONCE):
                        connection.execute(table.insert(), batch.to_pylist())
        except BadInput:  # of the roster: there will be no table
            table.drop(engine)
            raise
        quote = engine.dialect.identifier_preparer.quote
        with engine.begin() as connection:
            rename = f"ALTER TABLE {quote(table.name)} RENAME TO {quote(address.table)}"
            connection.execute(sa.text(rename))


@contextmanager
def _database(address: SqlAddress) -> Iterator[sa.Engine]:
    """Yield a table's database; one that does not answer is said to be so."""
    engine = address.open()
    remedy = "Start it or correct the address; what was scored is kept, and the next run goes on."
    try:
        with answering(str(address), remedy):
            yield engine
    finally:
        engine.dispose()


def _column(field: pa.Field) -> "sa.Column[object]":
    kinds: list[tuple[Callable[[pa.DataType], bool], type[sa.types.TypeEngine[Any]]]] = [
        (pa.types.is_boolean, sa.Boolean),
        (pa.types.is_integer, sa.BigInteger),
        (pa.types.is_floating, sa.Double),
        (pa.types.is_timestamp, sa.DateTime),
        (pa.types.is_date, sa.Date),
    ]
    kind = next((kind for fits, kind in kinds if fits(field.type)), sa.Text)
    return sa.Column(field.name, kind)
