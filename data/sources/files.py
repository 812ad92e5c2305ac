"""Records in files: found by name or pattern, CSV and Parquet, whole and in chunks."""

import codecs
import csv
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from data.contract.contract import Contract
from data.contract.yaml_files import shortened
from data.errors import BadInput
from data.rows.frames import from_arrow, refuse_twice
from data.rows.spreadsheets import FIRST_ROW, split_header
from data.sources.databases import scheme_of, without_secrets

READERS = ".csv .tsv .txt .parquet"
STORES = frozenset({"s3"})
"""Schemes that are fetched through fsspec, each with a package of its own."""
CHECK = "Check the path; it is taken from where you are."
PATTERN = re.compile(r"[*?\[]")


def is_stored(uri: str) -> bool:
    """Tell whether an address is that of an object store."""
    return scheme_of(uri) in STORES


def check_store(uri: str) -> None:
    """Raise BadInput where an address names no bucket."""
    if not uri.partition("://")[2].partition("/")[0]:
        remedy = "Write s3://bucket/file.csv, s3://bucket/folder/ or a pattern."
        raise BadInput(f"{without_secrets(uri)}: it names no bucket.", remedy=remedy)


def local_files(uri: str) -> list[Path]:
    """Return the files of a path, a `file://` address, a folder or a pattern, in the order of their names.

    Raises BadInput where there is none, and where one is empty.
    """
    scheme = scheme_of(uri)
    if scheme not in ("", "file"):
        remedy = "Give a path, a database's table, a MongoDB collection or s3://…."
        raise BadInput(f"{without_secrets(uri)}: nothing here reads {scheme}://.", remedy=remedy)
    try:
        return _found(uri, Path(unquote(urlsplit(uri).path) if scheme else uri))
    except BadInput:
        raise
    except (OSError, ValueError) as error:  # a name too long, a pattern that is none
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"it cannot be looked for: {reason}.", file=shortened(uri), remedy=CHECK) from error


def _found(uri: str, path: Path) -> list[Path]:
    if uri and path.is_dir():
        return _checked(_readable(path.iterdir()), f"{path}: no file in this folder can be read.")
    if PATTERN.search(str(path)) and not path.exists():
        root = Path(path.anchor) if path.is_absolute() else Path()
        found = root.glob(str(path.relative_to(path.anchor)))
        return _checked(_readable(found), f"{path}: no file that can be read matches this.")
    if not path.is_file():
        raise BadInput("there is no such file.", file=path, remedy=CHECK)
    return _checked([path], "")


@contextmanager
def fetched(uri: str) -> Iterator[list[Path]]:
    """Fetch the objects of an address into a temporary folder for as long as they are needed.

    `s3://bucket/key`, a prefix that ends in `/`, or a pattern. Credentials are those of the store's own
    chain: the AWS_… variables, a profile, the machine's role. Raises BadInput.
    """
    check_store(uri)
    with tempfile.TemporaryDirectory(prefix="gradecast-") as folder:
        try:
            store, path = _store(uri)
            names = _names(store, path)
            files = [Path(folder) / f"{number:05d}-{Path(name).name}" for number, name in enumerate(names)]
            for name, file in zip(names, files, strict=True):
                store.get_file(name, str(file))
        except _errors_of_stores() as error:
            reason = str(error) or type(error).__name__
            raise BadInput(
                f"{without_secrets(uri)}: it cannot be fetched: {reason}.", remedy="Check name and rights."
            ) from error
        yield _checked(files, f"{without_secrets(uri)}: no object that can be read is there.")


def _store(uri: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # half a second to import

    try:
        store, path = url_to_fs(uri)
    except ImportError as error:
        remedy = f"Install it: {urlsplit(uri).scheme}fs, of the Pipfile's packages."
        raise BadInput(
            f"{without_secrets(uri)}: the package for this store is not there.", remedy=remedy
        ) from error
    return store, str(path)


def _errors_of_stores() -> tuple[type[Exception], ...]:
    """Return what a store raises: beside the errors of files, no credentials, no such host."""
    try:
        from botocore.exceptions import BotoCoreError
    except ImportError:
        return OSError, ValueError
    return OSError, ValueError, BotoCoreError


def _names(store: Any, path: str) -> list[str]:
    if PATTERN.search(path):
        return sorted(name for name in store.glob(path) if _suffix(name) in READERS.split())
    if store.isdir(path):
        return sorted(name for name in store.ls(path, detail=False) if _suffix(name) in READERS.split())
    return [path]


def _readable(paths: Iterator[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file() and _suffix(path.name) in READERS.split())


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _checked(files: list[Path], none: str) -> list[Path]:
    if not files:
        raise BadInput(none, remedy=f"It takes files ending in: {READERS}.")
    for file in files:
        if file.stat().st_size == 0:
            raise BadInput(
                "the file is empty.", file=file, remedy="Give one with a header and students in it."
            )
    return files


SNIFFED = 1 << 20  # bytes that are looked at at once
BLOCK = 1 << 23  # bytes of a CSV that are read at a time


class Header(NamedTuple):
    """The names in a CSV's first line, without the spaces around them; where it is, and what parts it."""

    names: list[str]
    delimiter: str
    line: int


def read_texts(path: Path) -> pd.DataFrame:
    """Read every named column of a CSV, its cells as text; raises BadInput."""
    header = read_header(path)
    named = [name for name in header.names if name]
    refuse_twice(named, path)
    with reading_csv(path, header, named) as reader:
        table = reader.read_all()
    return pd.DataFrame({name: from_arrow(table[name], None) for name in named})


@contextmanager
def reading_csv(
    path: Path, header: Header, columns: list[str] | None = None, *, missing: bool = True
) -> Iterator[pyarrow.csv.CSVStreamingReader]:
    """Open columns of a CSV, or all of them, to be read in batches of texts; empty ones stand for none.

    Raises BadInput for a file without rows, and where it turns out that a row does not fit the header.
    """
    try:
        yield pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(
                column_names=header.names, skip_rows=header.line, block_size=BLOCK
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns or header.names, pa.string()),
                include_columns=columns,  # none stands for all
                null_values=[""],  # other marks mean nothing or a label, by what their column is
                strings_can_be_null=missing,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _broken(path, header, error) from error


def read_header(path: Path) -> Header:
    """Read the first line that says something; the delimiter is what parts it into most cells.

    Raises BadInput where the file is not UTF-8 or has no rows below it.
    """
    _check_utf8(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        number, line = next(((n, text) for n, text in enumerate(file, start=1) if text.strip()), (0, ""))
        more = file.read(1)
    if not line:
        raise BadInput("the file is empty.", file=path, remedy="Give one with a header and students in it.")
    if not more:
        raise no_rows(path)
    return Header(*split_header(line), number)


def no_rows(path: Path | str) -> BadInput:
    """Return the error of a file without students."""
    return BadInput("the file has a header and no rows.", file=path, remedy="Give one with students in it.")


def _check_utf8(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            for block in iter(lambda: file.read(SNIFFED), b""):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        _refuse_line(path)


def _refuse_line(path: Path) -> None:
    """Raise BadInput for the line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                remedy = "Save the file as UTF-8 (CSV UTF-8 in a spreadsheet)."
                raise BadInput("not UTF-8 text.", file=path, row=number, remedy=remedy) from error


def _broken(path: Path, header: Header, error: pa.ArrowInvalid) -> BadInput:
    """Return the error that says which row has more or fewer cells than the header, or an open quote."""
    wanted, number = len(header.names), FIRST_ROW - 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=header.delimiter, strict=True)
        try:
            for number, row in enumerate(filter(None, rows), start=1):
                if len(row) != wanted:
                    reason = f"the header has {wanted} cells, this row {len(row)}."
                    remedy = "Give every row the same cells, and quote one that holds a separator."
                    return BadInput(reason, file=path, row=number, remedy=remedy)
        except csv.Error:
            remedy = "Close the quotes of this row, or leave them out."
            return BadInput("a quoted cell does not end.", file=path, row=number + 1, remedy=remedy)
    return BadInput(f"{error}.", file=path, remedy="Save it as a plain CSV in UTF-8.")


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file from a CSV by its suffix; raises BadInput where it is neither."""
    suffix = _suffix(path.name)
    if suffix not in READERS.split():
        reason = f"{path.suffix or 'no suffix'}: not a kind of file that can be read."
        raise BadInput(reason, file=path, remedy=f"Give one of: {READERS}.")
    return suffix == ".parquet"


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Say of whatever a damaged file ends in that it is none."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput("this is not a Parquet file.", file=path, remedy="Write it again.") from error


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file; what was an index is a column. Raises BadInput."""
    with reading_parquet(path):
        return pyarrow.parquet.read_table(path).to_pandas(ignore_metadata=True)


def named_columns(path: Path) -> list[str]:
    """Return the names of a file's columns, without those of a CSV that have none; raises BadInput."""
    if is_parquet(path):
        return list(parquet_shape(path)[0])
    return [name for name in read_header(path).names if name]


def parquet_shape(path: Path) -> tuple[tuple[str, ...], int]:
    """Return the names of a Parquet file's columns and how many rows there are; raises BadInput."""
    with reading_parquet(path), pyarrow.parquet.ParquetFile(path) as file:
        return tuple(file.schema_arrow.names), file.metadata.num_rows


def parquet_chunks(path: Path, columns: list[str] | None, rows: int) -> Iterator[pa.Table]:
    """Yield columns of a Parquet file, or all of them, so many rows at a time; raises BadInput."""
    with reading_parquet(path), pyarrow.parquet.ParquetFile(path) as file:
        yield from even(file.iter_batches(rows, columns=columns), rows)


def csv_chunks(path: Path, contract: Contract, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the declared columns of a CSV, so many rows at a time.

    Coded columns and ids as text categories, numbers as numbers, or as text where one of them is none.
    Raises BadInput.
    """
    header = read_header(path)
    declared = [name for name in header.names if name in contract.readable]
    with reading_csv(path, header, declared) as reader:
        for table in even(reader, rows):
            yield pd.DataFrame({n: from_arrow(table[n], contract.columns.get(n)) for n in declared})


def even(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Yield tables of so many rows each but for the last, however the batches come."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        while count >= rows:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, rows)
            waiting = table.slice(rows).to_batches()
            count -= rows
    if count:
        yield pa.Table.from_batches(waiting)
