"""Whom a version learned from and was judged on: kept beside it, so that later rows can be told apart."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from data.contract import Contract
from data.frames import matrix, target_index
from data.storage import as_stored

TRAINED = "lineage/trained.parquet"
BAD = "quarantine"
"""The split of rows that were set aside, in a lineage."""
COLUMNS = [("pseudonym", pa.string()), ("split", pa.string()), ("mark", pa.uint64())]
SCHEMA = pa.schema(COLUMNS, metadata={BAD: "marked"})


@dataclass(frozen=True)
class Lineage:
    """The students of a version's source."""

    trained: frozenset[str]
    """Pseudonyms of those it was trained on."""
    met: frozenset[int]
    """Marks of all its rows, those of the test split and of the quarantine too."""
    whole: bool = True
    """Whether the quarantine's rows have marks: in versions of before they had none."""

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """Read what `lineage_of` gave; versions of before have pseudonyms of the train split alone."""
        table = pyarrow.parquet.read_table(file)
        rows = table.to_pandas()
        if "split" not in rows:
            return cls(frozenset(rows["pseudonym"]), frozenset(), whole=False)
        trained = rows.loc[rows["split"] == "train", "pseudonym"]
        return cls(frozenset(trained), frozenset(rows["mark"]), BAD.encode() in (table.schema.metadata or {}))

    def has_trained_on(self, pseudonyms: pd.Series) -> np.ndarray:
        """Tell for each pseudonym (n,) whether that student was trained on."""
        return pseudonyms.isin(self.trained).to_numpy()

    def has_met(self, frame: pd.DataFrame, contract: Contract) -> np.ndarray:
        """Tell for each row (n,) whether it was in the source, with the same answers and grade."""
        return marks(frame, contract).isin(self.met).to_numpy()


def lineage_of(rows: pd.DataFrame, contract: Contract) -> pa.Table:
    """Return pseudonym, split and mark of each row, as it is written."""
    split = rows["split"].where(rows["quarantine"] == "", BAD)
    found = rows[["pseudonym"]].assign(split=split, mark=marks(rows, contract))
    return pa.Table.from_pandas(found, SCHEMA, preserve_index=False).replace_schema_metadata(SCHEMA.metadata)


def marks(frame: pd.DataFrame, contract: Contract) -> pd.Series:
    """Return a 64-bit mark of each row: of who it is, what is asked and the grade.

    A student who comes again with another record or grade has another mark.
    """
    bad = frame["quarantine"] != ""
    return pd.concat([_marks(frame[~bad], contract), _marks_of_bad(frame[bad], contract)]).reindex(
        frame.index
    )


def _marks(frame: pd.DataFrame, contract: Contract) -> pd.Series:
    """Mark clean rows by what the model reads."""
    features = pd.DataFrame(matrix(frame, contract), index=frame.index).rename(columns=str)
    rows = features.assign(pseudonym=frame["pseudonym"].astype(str), grade=target_index(frame, contract))
    return pd.util.hash_pandas_object(rows, index=False)


def _marks_of_bad(frame: pd.DataFrame, contract: Contract) -> pd.Series:
    """Mark rows that no model can read by their cells."""
    names = ["pseudonym", contract.target.column, *(c.name for c in contract.asked)]
    cells = as_stored(frame.reindex(columns=names)).astype(str)
    return pd.util.hash_pandas_object(cells, index=False)
