"""The barest way to score a file: pyarrow reads it, the model answers, pyarrow writes. Nothing is checked."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from data.bundle.bundle import Bundle


def main(folder: str, source: str, target: str) -> None:
    """Score a CSV or Parquet file whose columns are numbers with the bundle in a folder."""
    bundle, columnar = Bundle.load(Path(folder)), source.endswith(".parquet")
    table = pyarrow.parquet.read_table(source) if columnar else pyarrow.csv.read_csv(source)
    matrix = np.stack([table[name].to_numpy().astype(np.float32) for name in bundle.space.names], axis=1)
    probabilities = bundle.probabilities(matrix)
    labels = np.array(bundle.manifest.labels)
    table = table.append_column("grade_class", pa.array(labels[probabilities.argmax(axis=1)]))
    for place, label in enumerate(labels):
        table = table.append_column(f"probability_{label}", pa.array(probabilities[:, place]))
    if columnar:
        pyarrow.parquet.write_table(table, target)
    else:
        pyarrow.csv.write_csv(table, target)


main(*sys.argv[1:])
