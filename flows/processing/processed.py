"""The processed folder: written chunk by chunk, sampled, read again."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from pydantic import BaseModel, ConfigDict

from data.cohorts.addresses import CohortPlan
from data.contract.columns import OWN, Role
from data.contract.contract import Contract
from data.rows.kinds import Reason
from data.rows.quarantine import count_reasons
from data.rows.spreadsheets import FIRST_ROW, neutralised, neutralised_column
from data.sources.storage import appended, read_blocks, read_frame, read_rows
from flows.processing.chunks import Chunk


def stratified(
    path: Path, target: str, rows: int, *, split: str | None = None, clean: bool = False, seed: int = 0
) -> np.ndarray:
    """Return the ascending positions of about so many rows, or of all that are asked for if no more.

    Each stratum, a class of sound or of quarantined rows, keeps its share, and has a row at least.
    """
    strata = _strata(path, target, split, clean)
    asked = np.flatnonzero(strata >= 0)
    if len(asked) <= rows:
        return asked
    rng = np.random.default_rng(seed)
    chosen = []
    for stratum in np.unique(strata[asked]):
        members = np.flatnonzero(strata == stratum)
        size = max(1, round(rows * len(members) / len(asked)))
        chosen.append(rng.choice(members, size, replace=False))
    return np.sort(np.concatenate(chosen))


def seeded_places(count: int, rows: int, seed: int = 0) -> np.ndarray:
    """Return the ascending places of so many rows drawn of `count`, or of all if there are no more."""
    if count <= rows:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, rows, replace=False))


def _strata(path: Path, target: str, split: str | None, clean: bool) -> np.ndarray:
    """Return each row's stratum, -1 for one that is not asked for."""
    found = []
    with pyarrow.parquet.ParquetFile(path, read_dictionary=["split", "quarantine"]) as file:
        classes: dict[str | None, int] = {}
        for group in range(file.num_row_groups):
            part = file.read_row_group(group, columns=[target, "split", "quarantine"])
            codes = _codes(part[target], classes)
            sound = _is(part["quarantine"], "")
            asked = sound if clean else np.ones(len(part), dtype=bool)
            asked = asked if split is None else asked & _is(part["split"], split)
            found.append(np.where(asked, 2 * codes + sound, -1).astype(np.int32))
    return np.concatenate(found)


def _codes(column: pa.ChunkedArray, known: dict[str | None, int]) -> np.ndarray:
    """Return the place of each text among all texts met so far, missing ones at a place of their own."""
    encoded = column.combine_chunks()
    table = [known.setdefault(text, len(known)) for text in (*encoded.dictionary.to_pylist(), None)]
    places = encoded.indices.fill_null(len(table) - 1).to_numpy()
    return np.array(table)[places]


def _is(column: pa.ChunkedArray, text: str) -> np.ndarray:
    encoded = column.combine_chunks()
    same = np.array([value == text for value in encoded.dictionary.to_pylist()] or [False])
    return same[encoded.indices.to_numpy()]


PARSED, FAULTS, QUARANTINE = "parsed.parquet", "faults.parquet", "quarantine.csv"
SUMMARY, SET_ASIDE = "summary.json", "set_aside.csv"
FAULT_SCHEMA = pa.schema(
    [("row", pa.int64()), ("column", pa.string()), ("value", pa.string()), ("reason", pa.string())]
)


class Written:
    """What was written into an empty folder so far, in numbers; `target` is the column of the class.

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

    def append(self, chunk: Chunk) -> None:
        """Write a chunk, and count it."""
        self._write_rows(chunk.table)
        self._write_faults(pa.Table.from_pandas(chunk.faults, FAULT_SCHEMA, preserve_index=False))
        self._write_bad(chunk)
        self._count(chunk)

    def close(self) -> None:
        """End the files."""
        self._files.close()

    def _write_bad(self, chunk: Chunk) -> None:
        wrong = pc.not_equal(chunk.table["quarantine"], "").to_numpy(zero_copy_only=False)
        bad = _to_be_read(chunk.table.filter(pa.array(wrong))).to_pandas()
        bad["row"] = np.flatnonzero(wrong) + chunk.first + FIRST_ROW
        bad.to_csv(self._folder / QUARANTINE, mode="a", header=not self.rows, index=False)

    def _count(self, chunk: Chunk) -> None:
        self.rows += len(chunk.table)
        self.bad += chunk.faults["row"].nunique()
        self.reasons.update(count_reasons(chunk.faults))
        self.faults.update(by_reason(chunk.faults))
        sound = chunk.table.filter(pc.equal(chunk.table["quarantine"], ""))
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


def by_reason(faults: pd.DataFrame) -> Counter[tuple[str, str]]:
    """Count the rows with each fault, by reason and column."""
    told = faults.drop_duplicates(["row", "column", "reason"])
    return Counter(zip(told["reason"], told["column"], strict=True))


def _counts(texts: pa.ChunkedArray) -> dict[str, int]:
    return {
        str(one["values"]): int(one["counts"]) for one in pc.value_counts(texts.cast(pa.string())).to_pylist()
    }


class Processed(BaseModel):
    """Where the processed records are, and what became of them."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    contract: str
    source: str
    sha256: str
    generated: CohortPlan | None
    undeclared: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    """What was assumed of the files: encoding, header, how numbers are written."""
    fingerprint: str
    rows: int
    clean: int
    train_rows: int
    test_rows: int
    quarantined: dict[str, int]
    set_aside: dict[str, dict[str, int]] = {}
    """Of dated tables: the records that no row was made of, by table and reason."""
    dated_rows: dict[str, int] = {}
    reused: bool = False

    @property
    def bad_share(self) -> float:
        """Return the share of rows in quarantine, of those that do not wait for their outcome."""
        known = self.rows - self.waiting
        return (known - self.clean) / known if known else 0.0

    @property
    def waiting(self) -> int:
        """Return the rows whose outcome is not yet known."""
        return self.quarantined.get(Reason.WAITING, 0)

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
