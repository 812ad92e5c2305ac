"""Parsed frames on disk: coded columns as the text of their codes, so that they parse back as they were."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from data.contract.columns import OWN
from data.contract.contract import Contract
from data.rows.frames import json_values, parse

CODES = pa.dictionary(pa.int32(), pa.string())


def as_stored(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose category columns hold text."""
    coded = frame.select_dtypes("category")
    texts = {str(name): column.cat.rename_categories(str) for name, column in coded.items()}
    return frame.assign(**texts)


def stored_table(frame: pd.DataFrame) -> pa.Table:
    """Return a parsed frame as the table that is written of it: the same types whatever the rows."""
    schema = pa.schema([(name, _type(frame[name])) for name in frame.columns])
    return pa.Table.from_pandas(as_stored(frame), schema, preserve_index=False).replace_schema_metadata()


def read_frame(
    path: Path, contract: Contract, filters: list[tuple[str, str, str]] | None = None
) -> pd.DataFrame:
    """Read a parsed frame, with the columns of ours that it has, from Parquet (rows filtered) or CSV."""
    if path.suffix == ".csv":
        stored = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    else:
        stored = pd.read_parquet(path, filters=filters)
    return parse_stored(stored, contract, path)


def read_blocks(
    path: Path, contract: Contract, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Yield a stored frame, or columns of it, one row group after the other; rows keep their positions."""
    first = 0
    with pyarrow.parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            stored = file.read_row_group(group, columns=columns).to_pandas()
            block = parse_stored(stored, contract, path)
            block.index = pd.RangeIndex(first, first + len(stored))
            first += len(stored)
            yield block


def read_rows(path: Path, contract: Contract, positions: np.ndarray) -> pd.DataFrame:
    """Read the rows at ascending positions (n,), which are the index of what is returned."""
    found, first = [], 0
    with pyarrow.parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            wanted = positions[slice(*np.searchsorted(positions, (first, last)))] - first
            if len(wanted):
                found.append(file.read_row_group(group).take(pa.array(wanted)))
            first = last
        stored = pa.concat_tables(found or [file.schema_arrow.empty_table()]).to_pandas()
    return parse_stored(stored, contract, path).set_axis(pd.Index(positions), axis=0)


def parse_stored(stored: pd.DataFrame, contract: Contract, path: Path) -> pd.DataFrame:
    """Parse a frame as it is stored, keeping the columns of ours that it has."""
    own = {name: stored[name].fillna("").to_numpy() for name in OWN if name in stored}
    dates = [column for column in contract.columns.values() if column.dated and column.name in stored]
    cells = {c.name: json_values(stored[c.name].astype(float), c) for c in dates}  # what was taken from them
    return parse(stored.assign(**cells), contract, partial=True, file=path).assign(**own)


@contextmanager
def appended(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Give what writes tables of the same columns into one Parquet file, each a row group of its own."""
    with ExitStack() as held:
        files: list[pyarrow.parquet.ParquetWriter] = []

        def append(table: pa.Table) -> None:
            if not files:
                files.append(held.enter_context(pyarrow.parquet.ParquetWriter(path, table.schema)))
            files[0].write_table(table, row_group_size=max(1, len(table)))

        yield append


def _type(series: pd.Series) -> pa.DataType:
    if isinstance(series.dtype, pd.CategoricalDtype):
        return CODES
    return pa.float64() if series.dtype.kind == "f" else pa.string()
