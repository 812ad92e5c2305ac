"""Read records from where they are in chunks, so that any number of them fits into memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from data.chunked_files import csv_chunks, parquet_chunks
from data.chunked_rows import DatabaseRows
from data.cohorts import CohortPlan, generate_cohort
from data.columns import PSEUDONYM
from data.contract import Contract
from data.csv_files import no_rows, read_header
from data.database_tables import is_table
from data.errors import BadInput
from data.frames import FIRST_ROW, refuse_missing, refuse_twice
from data.parquet_files import parquet_names
from data.source_mongo import is_collection
from data.source_secrets import without_secrets
from data.sources import (
    FramesDigest,
    digest_of_files,
    digest_of_frames,
    is_cohort,
    is_parquet,
    of_pseudonyms,
    opened_files,
)

ROWS = 50_000  # of a chunk

Frames = Iterator[pd.DataFrame]


@dataclass(frozen=True)
class Chunks:
    """Raw records in chunks, and where they came from.

    read: gives the chunks in order, from the first again at each call; raises BadInput where there are no
    rows. pseudonymous: the rows have the log's pseudonyms in place of ids. generated: the plan of a cohort.
    """

    uri: str
    sha256: str
    read: Callable[[], Frames]
    undeclared: tuple[str, ...] = ()
    pseudonymous: bool = False
    generated: CohortPlan | None = None


@contextmanager
def open_chunks(uri: str, contract: Contract, rows: int = ROWS) -> Iterator[Chunks]:
    """Open records to train on, by the addresses that `data.sources` tells of.

    A database is read twice, the first time for the digest of its rows. Raises BadInput.
    """
    shown = without_secrets(uri)
    if is_cohort(uri):
        generated, plan = generate_cohort(uri, contract)
        yield Chunks(uri, digest_of_frames([generated]), partial(_slices, generated, rows), generated=plan)
    elif is_table(uri) or is_collection(uri):
        yield _of_database(uri, shown, contract)
    else:
        with opened_files(uri) as files:
            yield _of_files(shown, files, contract, rows)


def _slices(frame: pd.DataFrame, rows: int) -> Frames:
    for start in range(0, len(frame), rows):
        yield frame.iloc[start : start + rows].reset_index(drop=True)


def _of_database(uri: str, shown: str, contract: Contract) -> Chunks:
    """Read all rows once for their names and their digest; a single chunk is kept for the second time."""
    rows = DatabaseRows(uri, contract.readable)
    digest = digest_of_frames(rows.first_time())
    refuse_twice(rows.names, shown)
    refuse_missing(rows.names, contract, file=shown)
    known = {*contract.columns, contract.target.column}
    undeclared = tuple(name for name in rows.names if name not in known)
    return Chunks(shown, digest, lambda: _not_none(_same(rows, digest, shown), shown), undeclared)


def _same(rows: DatabaseRows, digest: str, shown: str) -> Frames:
    """Yield the rows the second time; they must be those of the first."""
    if rows.kept is not None:
        yield rows.kept
        return
    found = FramesDigest()
    for frame in rows.again():
        found.update(frame)
        yield frame
    if found.hexdigest() != digest:
        remedy = "Run again when nobody writes to it."
        raise BadInput("its rows changed while they were read.", file=shown, remedy=remedy)


def _of_files(shown: str, files: list[Path], contract: Contract, rows: int) -> Chunks:
    names: dict[str, None] = {}
    pseudonymous = set()
    for path in files:
        found = parquet_names(path) if is_parquet(path) else [n for n in read_header(path).names if n]
        refuse_twice(found, path)
        refuse_missing(found, contract, file=path)
        names |= dict.fromkeys(found)
        pseudonymous.add(is_parquet(path) and PSEUDONYM in found)
    if len(pseudonymous) > 1:
        remedy = "Give files that all have it, or none."
        raise BadInput(f"some files have the column {PSEUDONYM}, some do not.", file=shown, remedy=remedy)
    known = {*contract.columns, contract.target.column, *([PSEUDONYM] if any(pseudonymous) else [])}
    return Chunks(
        shown,
        digest_of_files(files),
        lambda: _not_none(_file_chunks(files, contract, rows), shown),
        tuple(name for name in names if name not in known),
        any(pseudonymous),
    )


def _file_chunks(files: list[Path], contract: Contract, rows: int) -> Frames:
    for path in files:
        if not is_parquet(path):
            yield from csv_chunks(path, contract, rows)
            continue
        names = parquet_names(path)
        if PSEUDONYM not in names:
            yield from parquet_chunks(path, [name for name in names if name in contract.readable], rows)
            continue
        first_row = FIRST_ROW
        for frame in parquet_chunks(path, [n for n in names if n in contract.readable | {PSEUDONYM}], rows):
            yield of_pseudonyms(frame, contract, path, first_row)
            first_row += len(frame)


def _not_none(frames: Frames, shown: str) -> Frames:
    some = False
    for frame in frames:
        some = some or len(frame) > 0
        yield frame
    if not some:
        raise no_rows(shown)
