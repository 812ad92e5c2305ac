"""Read records from where they are: a CSV or Parquet file, or a generated cohort, as a raw frame."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd

from data.cohorts import CohortPlan, generate_cohort
from data.columns import PSEUDONYM
from data.contract import Contract
from data.csv_files import no_rows, read_csv, read_texts
from data.errors import BadInput
from data.frames import FIRST_ROW, refuse_missing, refuse_twice
from data.parquet_files import parquet_names, read_parquet

DEFAULT = "cohort://2392"
READERS = ".csv .tsv .txt .parquet"
WELL_FORMED = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Records:
    """A raw frame with where it came from; `generated` is the plan of a generated cohort."""

    frame: pd.DataFrame
    uri: str
    sha256: str
    undeclared: tuple[str, ...] = ()
    generated: CohortPlan | None = None


def read_records(uri: str, contract: Contract, *, labelled: bool = True) -> Records:
    """Read the declared columns of a source, to train on (labelled) or to score.

    `cohort://ROWS?seed=N&scenario=NAME&strength=X` generates a cohort; anything else is the path of
    a CSV (comma, semicolon or tab; UTF-8) or Parquet file. A Parquet file to train on may have, in place
    of ids, the `pseudonym` of each student. Raises BadInput.
    """
    path = check_source(uri)
    if path is None:
        generated, plan = generate_cohort(uri, contract)
        content = pd.util.hash_pandas_object(generated, index=False).to_numpy()
        return Records(generated, uri, hashlib.sha256(content.tobytes()).hexdigest(), generated=plan)
    if is_parquet(path):
        frame, header = _read_parquet(path, contract, labelled=labelled)
    else:
        frame, header = read_csv(path, contract, labelled=labelled)
    if not len(frame):
        raise no_rows(path)
    known = {*contract.columns, contract.target.column, *frame.columns}
    undeclared = tuple(name for name in header if name not in known)
    return Records(frame, str(path), _sha256(path), undeclared)


def check_source(uri: str) -> Path | None:
    """Return the file of a source, None for a cohort; raises BadInput where there is no file to read."""
    parts = urlsplit(uri)
    if parts.scheme == "cohort":
        return None
    if "://" in uri and parts.scheme != "file":
        raise BadInput(f"{uri}: nothing here reads {parts.scheme}://.", remedy="Give the path of a file.")
    path = Path(unquote(parts.path) if parts.scheme == "file" else uri)
    _check_file(path, uri)
    return path


def read_whole(uri: str) -> pd.DataFrame:
    """Read every column of a CSV, its cells as text, or of a Parquet file; raises BadInput."""
    path = check_source(uri)
    if path is None:
        raise BadInput(f"{uri}: a generated cohort has its contract.", remedy="Give a file.")
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


def _read_parquet(path: Path, contract: Contract, *, labelled: bool) -> tuple[pd.DataFrame, list[str]]:
    names = parquet_names(path)
    refuse_twice(names, path)
    refuse_missing(names, contract, labelled=labelled, file=path)
    pseudonymous = labelled and PSEUDONYM in names
    wanted = contract.readable | ({PSEUDONYM} if pseudonymous else set())
    frame = read_parquet(path, [name for name in names if name in wanted])
    return (_of_pseudonyms(frame, contract, path) if pseudonymous else frame), names


def _of_pseudonyms(frame: pd.DataFrame, contract: Contract, path: Path) -> pd.DataFrame:
    """Return a frame without ids, and with every audit column, empty where none was given."""
    wrong = ~frame[PSEUDONYM].astype(str).str.fullmatch(WELL_FORMED).to_numpy()
    if wrong.any():
        remedy = "Leave the column out and give the id, or give 32 hex digits."
        row = int(wrong.argmax()) + FIRST_ROW
        raise BadInput("this is no pseudonym.", file=path, row=row, column=PSEUDONYM, remedy=remedy)
    unasked = {column.name: None for column in contract.audit if column.name not in frame}
    ids = [contract.id.name] if contract.id else []
    return frame.assign(**unasked).drop(columns=ids, errors="ignore")


def _check_file(path: Path, uri: str) -> None:
    if uri and path.is_dir():
        raise BadInput("this is a directory.", file=path, remedy="Give the file in it.")
    if not path.is_file():
        raise BadInput(
            "there is no such file.", file=path, remedy="Check the path; it is taken from where you are."
        )
    if path.stat().st_size == 0:
        raise BadInput("the file is empty.", file=path, remedy="Give one with a header and students in it.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
