"""A source of records, whatever it is: checked, opened, read in chunks, named by its content."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from data.cohorts.addresses import CohortPlan, generate_cohort
from data.contract.columns import OF_COHORT, PERSON, PSEUDONYM
from data.contract.contract import Contract
from data.durable import digest
from data.errors import BadInput
from data.rows.frames import refuse_missing, refuse_twice
from data.rows.notation import Settled
from data.rows.spreadsheets import FIRST_ROW
from data.sources.databases import (
    DatabaseRows,
    SqlAddress,
    is_collection,
    is_database,
    is_table,
    open_collection,
    without_secrets,
)
from data.sources.files import (
    Header,
    check_store,
    csv_chunks,
    fetched,
    is_parquet,
    is_stored,
    local_files,
    named_columns,
    no_rows,
    parquet_chunks,
    parquet_shape,
    read_header,
    read_parquet,
    read_texts,
    settled_of,
    split_sheet,
)

DEFAULT = "cohort://2392"
KINDS = "CSV, Parquet file or workbook, folder, pattern, s3://…, database's table or query, collection, cohort://ROWS"
WELL_FORMED = re.compile(r"[0-9a-f]{32}")


def check_source(uri: str) -> None:
    """Raise BadInput where it can be told, without reading much, that a source cannot be read."""
    if is_table(uri):
        SqlAddress.to_read(uri).names()
    elif is_collection(uri):
        open_collection(uri)
    elif is_stored(uri):
        check_store(uri)
    elif not is_cohort(uri):
        local_files(uri)


def is_cohort(uri: str) -> bool:
    """Tell whether an address asks for a generated cohort."""
    return uri.partition(":")[0].lower() == "cohort"


@contextmanager
def opened_files(uri: str) -> Iterator[list[Path]]:
    """Give the files of an address, on this machine for as long as they are needed."""
    if is_stored(uri):
        with fetched(uri) as files:
            yield files
    else:
        yield local_files(uri)


class WholeFile(NamedTuple):
    """Every column of a file, the cells of a text or a sheet as text; of those, its header."""

    frame: pd.DataFrame
    path: Path
    header: Header | None = None


def read_whole(uri: str) -> WholeFile:
    """Read a file from end to end; raises BadInput."""
    if is_cohort(uri):
        raise BadInput(f"{uri}: a generated cohort has its contract.", remedy="Give a file.")
    if is_database(uri) or is_stored(uri):
        remedy = "Save its rows as CSV or Parquet, and give that."
        raise BadInput(f"{without_secrets(uri)}: a file alone is looked at here.", remedy=remedy)
    path = local_files(uri)[0]
    if is_parquet(path):
        found = WholeFile(read_parquet(path), path)
    else:
        frame, header = read_texts(path)
        found = WholeFile(frame, path, header)
    if not len(found.frame):
        raise no_rows(path)
    return found


def of_pseudonyms(
    frame: pd.DataFrame, contract: Contract, path: Path, first_row: int = FIRST_ROW
) -> pd.DataFrame:
    """Return a frame without ids, and with every audit column, empty where none was given.

    Raises BadInput where a pseudonym is none; the frame's first row is the file's row `first_row`.
    """
    wrong = ~frame[PSEUDONYM].astype(str).str.fullmatch(WELL_FORMED).to_numpy()
    if wrong.any():
        remedy = "Leave the column out and give the id, or give 32 hex digits."
        row = int(wrong.argmax()) + first_row
        raise BadInput("this is no pseudonym.", file=path, row=row, column=PSEUDONYM, remedy=remedy)
    unasked = {column.name: None for column in contract.audit if column.name not in frame}
    ids = [contract.id.name] if contract.id else []
    return frame.assign(**unasked).drop(columns=ids, errors="ignore")


def of_log(contract: Contract) -> set[str]:
    """Return the columns that say who a row of the log is of; of dated records, person and cohort too."""
    return {PSEUDONYM, PERSON, OF_COHORT} if contract.dated else {PSEUDONYM}


def take_in(digest: "hashlib._Hash", frame: pd.DataFrame) -> None:
    """Take the next rows into a digest, which is the same in one frame and in several."""
    if not frame.columns.empty:
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())


def digest_of_frames(frames: Iterable[pd.DataFrame]) -> str:
    """Return the SHA-256 of rows, in one frame or one frame after the other."""
    found = hashlib.sha256()
    for frame in frames:
        take_in(found, frame)
    return found.hexdigest()


def digest_of_files(files: list[Path]) -> str:
    """Return the digest of one file, or of the digests of several; a sheet's is its own."""
    parts = map(split_sheet, files)
    digests = [digest(file) + (f"#{sheet}" if sheet else "") for file, sheet in parts]
    return (
        digests[0]
        if len(digests) == 1 and "#" not in digests[0]
        else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    )


ROWS = 50_000  # of a chunk

Frames = Iterator[pd.DataFrame]


@dataclass(frozen=True)
class SetAside:
    """The records of dated tables that were set aside: rows in all by table, and what is wrong.

    faults: one line for each bad record, with its table, row, column, value and reason.
    """

    rows: dict[str, int]
    faults: pd.DataFrame

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the bad records by table and reason."""
        found: dict[str, dict[str, int]] = {name: {} for name in self.rows}
        for name, reason in zip(self.faults["table"], self.faults["reason"], strict=True):
            found[name][reason] = found[name].get(reason, 0) + 1
        return found


@dataclass(frozen=True)
class ChunkedRecords:
    """Raw records in chunks, and where they came from.

    read: gives the chunks in order, from the first again at each call; raises BadInput where there are no
    rows. pseudonymous: the rows have the log's pseudonyms in place of ids. generated: the plan of a cohort.
    set_aside: of dated records, those that no row was made of.
    """

    uri: str
    sha256: str
    read: Callable[[], Frames]
    undeclared: tuple[str, ...] = ()
    pseudonymous: bool = False
    generated: CohortPlan | None = None
    set_aside: SetAside | None = None
    assumed: list[str] = field(default_factory=list)
    """What was assumed of the files, and at their end of what was skipped."""


@contextmanager
def open_chunks(uri: str, contract: Contract, rows: int = ROWS) -> Iterator[ChunkedRecords]:
    """Open records to train on, by the addresses that `data.sources` tells of.

    A database is read twice, the first time for the digest of its rows. Raises BadInput.
    """
    shown = without_secrets(uri)
    if is_cohort(uri):
        generated, plan = generate_cohort(uri, contract)
        yield ChunkedRecords(
            uri, digest_of_frames([generated]), partial(_slices, generated, rows), generated=plan
        )
    elif is_database(uri):
        yield _of_database(uri, shown, contract)
    else:
        with opened_files(uri) as files:
            yield _of_files(shown, files, contract, rows)


def _slices(frame: pd.DataFrame, rows: int) -> Frames:
    for start in range(0, len(frame), rows):
        yield frame.iloc[start : start + rows].reset_index(drop=True)


def _of_database(uri: str, shown: str, contract: Contract) -> ChunkedRecords:
    """Read all rows once for their names and their digest; a single chunk is kept for the second time."""
    rows = DatabaseRows(uri, contract.headings)
    digest = digest_of_frames(rows.first_time())
    names = contract.named(rows.names)
    refuse_twice(names, shown)
    refuse_missing(names, contract, file=shown)
    known = {*contract.columns, *contract.ignored, contract.target.column}
    undeclared = tuple(name for name in names if name not in known)

    def read() -> Frames:
        for frame in _not_none(_same(rows, digest, shown), shown):
            yield frame.set_axis(contract.named(frame.columns), axis=1)

    return ChunkedRecords(shown, digest, read, undeclared)


def _same(rows: DatabaseRows, digest: str, shown: str) -> Frames:
    """Yield the rows the second time; they must be those of the first."""
    if rows.kept is not None:
        yield rows.kept
        return
    found = hashlib.sha256()
    for frame in rows.again():
        take_in(found, frame)
        yield frame
    if found.hexdigest() != digest:
        remedy = "Run again when nobody writes to it."
        raise BadInput("its rows changed while they were read.", file=shown, remedy=remedy)


def _of_files(shown: str, files: list[Path], contract: Contract, rows: int) -> ChunkedRecords:
    texts = {path: read_header(path, contract) for path in files if not is_parquet(path)}
    found = {path: _names_of(path, texts.get(path), contract) for path in files}
    names = dict.fromkeys(name for some in found.values() for name in some)
    pseudonymous = {is_parquet(path) and PSEUDONYM in some for path, some in found.items()}
    if len(pseudonymous) > 1:
        remedy = "Give files that all have it, or none."
        raise BadInput(f"some files have the column {PSEUDONYM}, some do not.", file=shown, remedy=remedy)
    known = {
        *contract.columns,
        *contract.ignored,
        contract.target.column,
        *(of_log(contract) if any(pseudonymous) else ()),
    }
    settled = {path: settled_of(path, header, contract) for path, header in texts.items()}
    assumed: list[str] = []
    return ChunkedRecords(
        shown,
        digest_of_files(files),
        lambda: _told(
            _not_none(_file_chunks(files, contract, rows, texts, settled), shown), texts, settled, assumed
        ),
        tuple(name for name in names if name not in known),
        any(pseudonymous),
        assumed=assumed,
    )


def _names_of(path: Path, header: Header | None, contract: Contract) -> list[str]:
    """Return the names of a file's columns under a contract; raises BadInput where they do not fit."""
    names = [name for name in header.names if name] if header else contract.named(named_columns(path))
    refuse_twice(names, path)
    refuse_missing(names, contract, file=path)
    return names


def _told(
    frames: Frames, texts: Mapping[Path, Header], settled: Mapping[Path, Settled], assumed: list[str]
) -> Frames:
    """Yield the frames, and at their end say what was assumed of each file."""
    yield from frames
    assumed[:] = []
    for path, header in texts.items():
        where = f"{path.name}: " if len(texts) > 1 else ""
        assumed += [f"{where}{note}" for note in (*header.notes, *settled[path].notes)]


def _file_chunks(
    files: list[Path],
    contract: Contract,
    rows: int,
    texts: Mapping[Path, Header],
    settled: Mapping[Path, Settled],
) -> Frames:
    for path in files:
        if path in texts:
            yield from csv_chunks(path, contract, rows, texts[path], settled[path])
            continue
        names, first_row = parquet_shape(path)[0], FIRST_ROW
        wanted = contract.headings | (of_log(contract) if PSEUDONYM in names else set())
        for table in parquet_chunks(path, [n for n in names if n in wanted], rows):
            frame = table.to_pandas(ignore_metadata=True)
            frame = frame.set_axis(contract.named(frame.columns), axis=1)
            yield of_pseudonyms(frame, contract, path, first_row) if PSEUDONYM in names else frame
            first_row += len(frame)


def _not_none(frames: Frames, shown: str) -> Frames:
    some = False
    for frame in frames:
        some = some or len(frame) > 0
        yield frame
    if not some:
        raise no_rows(shown)
