"""Read Parquet files; whatever a damaged one ends in is said to be one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from data.errors import BadInput


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Say of whatever a damaged file ends in that it is none."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput("this is not a Parquet file.", file=path, remedy="Write it again.") from error


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read columns of a Parquet file, or all of them; one that was an index is a column. Raises BadInput."""
    with reading_parquet(path):
        return pyarrow.parquet.read_table(path, columns=columns).to_pandas(ignore_metadata=True)


def parquet_names(path: Path) -> list[str]:
    """Return the names of a Parquet file's columns; raises BadInput."""
    with reading_parquet(path):
        return list(pyarrow.parquet.read_schema(path).names)
