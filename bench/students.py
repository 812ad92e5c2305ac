"""Files of many generated students, written a piece at a time."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from data.cohorts.grades import generate

PIECE, FIRST_ID = 250_000, 1_001


def write_students(path: Path, rows: int, seed: int) -> Path:
    """Write so many students as Parquet or CSV, by the file's suffix; nobody is there twice."""
    starts = range(0, rows, PIECE)
    pieces = (
        generate(min(PIECE, rows - start), seed=seed + start, first_id=FIRST_ID + start) for start in starts
    )
    tables = (pa.Table.from_pandas(piece, preserve_index=False) for piece in pieces)
    first = next(tables)
    opened = pyarrow.parquet.ParquetWriter if path.suffix == ".parquet" else pyarrow.csv.CSVWriter
    with opened(str(path), first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
    return path
