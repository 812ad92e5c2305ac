"""Whom a version learned from and was judged on: kept beside it, so that later rows can be told apart."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from data.contract import Contract
from data.frames import matrix, target_index

TRAINED = "lineage/trained.parquet"


@dataclass(frozen=True)
class Lineage:
    """The students of a version's source."""

    trained: frozenset[str]
    """Pseudonyms of those it was trained on."""
    met: frozenset[int]
    """Marks of all its clean rows, those of the test split too."""

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """Read what `lineage_of` gave; versions of before have pseudonyms of the train split alone."""
        rows = pd.read_parquet(file)
        if "split" not in rows:
            return cls(frozenset(rows["pseudonym"]), frozenset())
        return cls(frozenset(rows.loc[rows["split"] == "train", "pseudonym"]), frozenset(rows["mark"]))

    def has_trained_on(self, pseudonyms: pd.Series) -> np.ndarray:
        """Tell for each pseudonym (n,) whether that student was trained on."""
        return pseudonyms.isin(self.trained).to_numpy()

    def has_met(self, frame: pd.DataFrame, contract: Contract) -> np.ndarray:
        """Tell for each clean row (n,) whether it was in the source, with the same answers and grade."""
        return marks(frame, contract).isin(self.met).to_numpy()


def lineage_of(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return pseudonym, split and mark of each clean row."""
    return rows[["pseudonym", "split"]].assign(mark=marks(rows, contract))


def marks(frame: pd.DataFrame, contract: Contract) -> pd.Series:
    """Return a 64-bit mark of each clean row: of who it is, what is asked and the grade.

    A student who comes again with another record or grade has another mark.
    """
    features = pd.DataFrame(matrix(frame, contract), index=frame.index).rename(columns=str)
    rows = features.assign(pseudonym=frame["pseudonym"].astype(str), grade=target_index(frame, contract))
    return pd.util.hash_pandas_object(rows, index=False)
