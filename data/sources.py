"""Where records are, by address.

`cohort://ROWS?seed=N&scenario=NAME&strength=X` generates a cohort. `sqlite:///file.db?table=NAME`,
`postgresql://…?table=NAME` or `?query=SELECT …`, and `mongodb://…?collection=NAME` are read from their
database. Anything else is a path, a folder, a pattern or `s3://…`, of CSV (comma, semicolon or tab; UTF-8) or
Parquet files; the rows of several are counted on from one to the next, in the order of their names. A Parquet
file to train on may have, in place of ids, the `pseudonym` of each student.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from data.columns import PSEUDONYM
from data.contract import Contract
from data.csv_files import no_rows, read_texts
from data.database_tables import is_table
from data.errors import BadInput
from data.frames import FIRST_ROW
from data.parquet_files import read_parquet
from data.source_files import READERS, check_store, fetched, is_stored, local_files
from data.source_mongo import is_collection, open_collection
from data.source_secrets import without_secrets
from data.source_tables import RowSource

DEFAULT = "cohort://2392"
KINDS = "CSV or Parquet file, folder, pattern, s3://…, database's table or query, collection, cohort://ROWS"
WELL_FORMED = re.compile(r"[0-9a-f]{32}")


def check_source(uri: str) -> None:
    """Raise BadInput where it can be told, without reading much, that a source cannot be read."""
    if is_table(uri):
        RowSource.of(uri).names()
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


def read_whole(uri: str) -> pd.DataFrame:
    """Read every column of a CSV, its cells as text, or of a Parquet file; raises BadInput."""
    if is_cohort(uri):
        raise BadInput(f"{uri}: a generated cohort has its contract.", remedy="Give a file.")
    if is_table(uri) or is_collection(uri) or is_stored(uri):
        remedy = "Save its rows as CSV or Parquet, and give that."
        raise BadInput(f"{without_secrets(uri)}: a file alone is looked at here.", remedy=remedy)
    path = local_files(uri)[0]
    frame = read_parquet(path) if is_parquet(path) else read_texts(path)
    if not len(frame):
        raise no_rows(path)
    return frame


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file from a CSV by its suffix; raises BadInput where it is neither."""
    suffix = path.suffix.lower()
    if suffix not in READERS.split():
        reason = f"{path.suffix or 'no suffix'}: not a kind of file that can be read."
        raise BadInput(reason, file=path, remedy=f"Give one of: {READERS}.")
    return suffix == ".parquet"


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


class FramesDigest:
    """The SHA-256 of rows as they are read, one frame after the other."""

    def __init__(self) -> None:
        self._found = hashlib.sha256()

    def update(self, frame: pd.DataFrame) -> None:
        """Take in the next rows."""
        if frame.columns.empty:
            return
        self._found.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())

    def hexdigest(self) -> str:
        """Return the digest of what was taken in so far."""
        return self._found.hexdigest()


def digest_of_frames(frames: Iterable[pd.DataFrame]) -> str:
    """Return the digest of rows, in one frame or one frame after the other."""
    found = FramesDigest()
    for frame in frames:
        found.update(frame)
    return found.hexdigest()


def digest_of_files(files: list[Path]) -> str:
    """Return the digest of one file, or of the digests of several."""
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
