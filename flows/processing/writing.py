"""The processed folder, written chunk by chunk: rows, faults, quarantine, and what is counted of them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.formulas import neutralised, neutralised_column
from data.frames import FIRST_ROW
from data.quarantine import count_reasons
from data.storage import appended
from flows.processing.pieces import Piece

PARSED, FAULTS, QUARANTINE = "parsed.parquet", "faults.parquet", "quarantine.csv"
FAULT_SCHEMA = pa.schema(
    [("row", pa.int64()), ("column", pa.string()), ("value", pa.string()), ("reason", pa.string())]
)


class Written:
    """What was written so far, in numbers.

    split_rows: sound rows by split. class_rows: sound rows of the train split by the text of their class.
    """

    def __init__(self, folder: Path, target: str) -> None:
        self.rows = self.clean = self.bad = 0
        self.reasons: Counter[str] = Counter()
        self.faults: Counter[tuple[str, str]] = Counter()
        self.split_rows: Counter[str] = Counter()
        self.class_rows: Counter[str] = Counter()
        self._folder, self._target = folder, target
        self._files = ExitStack()
        self._write_rows = self._files.enter_context(appended(folder / PARSED))
        self._write_faults = self._files.enter_context(appended(folder / FAULTS))

    def append(self, piece: Piece) -> None:
        """Write a piece, and count it."""
        self._write_rows(piece.table)
        self._write_faults(pa.Table.from_pandas(piece.faults, FAULT_SCHEMA, preserve_index=False))
        self._write_bad(piece)
        self._count(piece)

    def close(self) -> None:
        """End the files."""
        self._files.close()

    def _write_bad(self, piece: Piece) -> None:
        wrong = pc.not_equal(piece.table["quarantine"], "").to_numpy(zero_copy_only=False)
        bad = _to_be_read(piece.table.filter(pa.array(wrong))).to_pandas()
        bad["row"] = np.flatnonzero(wrong) + piece.first + FIRST_ROW
        bad.to_csv(self._folder / QUARANTINE, mode="a", header=not self.rows, index=False)

    def _count(self, piece: Piece) -> None:
        self.rows += len(piece.table)
        self.bad += piece.faults["row"].nunique()
        self.reasons.update(count_reasons(piece.faults))
        self.faults.update(by_reason(piece.faults))
        sound = piece.table.filter(pc.equal(piece.table["quarantine"], ""))
        self.clean += len(sound)
        self.split_rows.update(_counts(sound["split"]))
        self.class_rows.update(_counts(sound.filter(pc.equal(sound["split"], "train"))[self._target]))


def _to_be_read(table: pa.Table) -> pa.Table:
    """Return a table in which no text, nor the name of a column, would be run by a spreadsheet."""
    for place, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            table = table.set_column(place, field.name, neutralised_column(table[place].cast(kind)))
    return table.rename_columns([neutralised(name) for name in table.column_names])


@contextmanager
def written(folder: Path, target: str) -> Iterator[Written]:
    """Write into an empty folder; `target` is the column of the class."""
    with closing(Written(folder, target)) as files:
        yield files


def by_reason(faults: pd.DataFrame) -> Counter[tuple[str, str]]:
    """Count the rows with each fault, by reason and column."""
    told = faults.drop_duplicates(["row", "column", "reason"])
    return Counter(zip(told["reason"], told["column"], strict=True))


def _counts(texts: pa.ChunkedArray) -> dict[str, int]:
    return {
        str(one["values"]): int(one["counts"]) for one in pc.value_counts(texts.cast(pa.string())).to_pylist()
    }
