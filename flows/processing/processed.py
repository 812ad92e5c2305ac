"""Processed records on disk, and the ways to read as much of them as fits."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet
from pydantic import BaseModel, ConfigDict

from data.cohorts import CohortPlan
from data.columns import OWN, Role
from data.contract import Contract
from data.frames import FIRST_ROW
from data.storage import read_blocks, read_frame, read_rows
from flows.processing.sampling import stratified
from flows.processing.writing import FAULTS, PARSED


class Processed(BaseModel):
    """Where the processed records are, and what became of them."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    contract: str
    source: str
    sha256: str
    generated: CohortPlan | None
    undeclared: tuple[str, ...]
    fingerprint: str
    rows: int
    clean: int
    train_rows: int
    test_rows: int
    quarantined: dict[str, int]
    reused: bool = False

    @property
    def bad_share(self) -> float:
        """Return the share of rows in quarantine."""
        return (self.rows - self.clean) / self.rows

    def parsed(self, contract: Contract, split: str | None = None) -> pd.DataFrame:
        """Read all rows as parsed, with their pseudonym, split and reasons of quarantine; or a split's."""
        kept = None if split is None else [("split", "==", split)]
        return read_frame(self.folder / PARSED, contract, kept)

    def split(self, contract: Contract, name: str) -> pd.DataFrame:
        """Read the clean rows of the train or test split."""
        kept = [("split", "==", name), ("quarantine", "==", "")]
        return read_frame(self.folder / PARSED, contract, kept)

    def blocks(self, contract: Contract, name: str) -> Iterator[pd.DataFrame]:
        """Yield the clean rows of a split, without their ids, part after part."""
        for block in self.all_blocks(contract):
            yield block[(block["split"] == name) & (block["quarantine"] == "")]

    def all_blocks(self, contract: Contract) -> Iterator[pd.DataFrame]:
        """Yield all rows, clean or not, without their ids, part after part; rows keep their positions."""
        columns = [column.name for column in contract.columns.values() if column.role is not Role.ID]
        path = self.folder / PARSED
        there = set(pyarrow.parquet.read_schema(path).names)
        wanted = [name for name in (*columns, contract.target.column, *OWN) if name in there]
        return read_blocks(path, contract, list(dict.fromkeys(wanted)))

    def sample(
        self, contract: Contract, rows: int, split: str | None = None, *, clean: bool = False, seed: int = 0
    ) -> pd.DataFrame:
        """Read a sample of so many rows, seeded, with the shares of class and of sound rows kept.

        All rows where there are no more. The index holds the rows' positions in the source.
        """
        path = self.folder / PARSED
        places = stratified(path, contract.target.column, rows, split=split, clean=clean, seed=seed)
        return read_rows(path, contract, places)

    def faults(self, rows: pd.Index | None = None) -> pd.DataFrame:
        """Read what is wrong: row, column, value, reason; of the rows at some positions, or of all."""
        with pyarrow.parquet.ParquetFile(self.folder / FAULTS) as file:
            found = [file.schema_arrow.empty_table().to_pandas()]
            for group in range(file.num_row_groups):
                part = file.read_row_group(group).to_pandas()
                found.append(part if rows is None else part[part["row"].isin(rows + FIRST_ROW)])
        return pd.concat(found, ignore_index=True)
