"""Records in files: found by name or pattern, CSV and Parquet, whole and in chunks."""

import csv
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from data.contract.contract import Contract
from data.contract.yaml_files import shortened
from data.errors import BadInput
from data.rows.frames import from_arrow, refuse_twice
from data.rows.notation import (
    Notation,
    Settled,
    evidence_of,
    notation_columns,
    settle,
    settle_freely,
    with_fallbacks,
)
from data.rows.spreadsheets import FIRST_ROW
from data.sources.databases import scheme_of, without_secrets
from data.sources.tables import Copies, Table, TableError, open_table, rows_below

READERS = ".csv .tsv .txt .xlsx .ods .parquet"
WORKBOOKS = (".xlsx", ".ods")
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
    if not split_sheet(path)[0].is_file():
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
        if split_sheet(file)[0].stat().st_size == 0:
            raise BadInput(
                "the file is empty.", file=file, remedy="Give one with a header and students in it."
            )
    return files


BLOCK = 1 << 23  # bytes of a CSV that are read at a time


@dataclass(frozen=True)
class Header:
    """The header of a text: names without the spaces around them, what parts it, the line it ends in.

    text: where it is to be read in UTF-8, the file itself or a copy, which is there as long as this is.
    notes: what was assumed, and what is skipped.
    """

    names: list[str]
    delimiter: str
    line: int
    text: Path
    table: Table = field(repr=False)

    @property
    def notes(self) -> list[str]:
        """What was assumed of the file."""
        return self.table.notes

    @property
    def bom(self) -> bool:
        """Whether what is written of it begins with a mark of UTF-8: it did, or was in something else."""
        return self.table.bom or self.table.rewritten


def read_texts(path: Path) -> tuple[pd.DataFrame, Header]:
    """Read every named column of a text or a sheet, its cells as text, and its header; raises BadInput."""
    header = read_header(path)
    named = [name for name in header.names if name]
    refuse_twice(named, path)
    with reading_csv(path, header, named) as reader:
        table = _without_empty(reader.read_all(), header)
    return pd.DataFrame({name: from_arrow(table[name], None) for name in named}), header


@contextmanager
def reading_csv(
    path: Path, header: Header, columns: list[str] | None = None, *, missing: bool = True
) -> Iterator[pyarrow.csv.CSVStreamingReader]:
    """Open columns of a CSV, or all of them, to be read in batches of texts; empty ones stand for none.

    Raises BadInput for a file without rows, and where it turns out that a row does not fit the header.
    """
    try:
        yield pyarrow.csv.open_csv(
            header.text,
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


def read_header(path: Path, contract: Contract | None = None) -> Header:
    """Look at a text or a sheet: the header, what parts its cells, what was assumed.

    Under a contract the columns have its names in place of aliases.
    Raises BadInput where it is no text, has no header or no rows below it.
    """
    file, sheet = split_sheet(path)
    with ExitStack() as held:
        opened = held.enter_context(file.open("rb"))
        try:
            table = open_table(opened, Copies(held), sheet)
        except TableError as error:
            raise BadInput(error.message, file=path, row=error.row, remedy=error.remedy) from error
        if table.whole and not table.sample:
            raise no_rows(path)
        text = _kept(table) if table.rewritten else file
    names = contract.named(table.names) if contract else table.names
    return Header(names, table.delimiter, table.line, text, table)


def _kept(table: Table) -> Path:
    """Return the name of a copy of a table's text that is there for as long as the table is."""
    with tempfile.NamedTemporaryFile(prefix="gradecast-", suffix=".csv", delete=False) as file:
        weakref.finalize(table, Path(file.name).unlink, missing_ok=True)
        table.file.seek(0)
        shutil.copyfileobj(table.file, file)
        return Path(file.name)


def split_sheet(path: Path) -> tuple[Path, str]:
    """Return a workbook's path and the sheet that is named after a #; of any other path, itself."""
    name, mark, sheet = str(path).rpartition("#")
    if mark and not path.exists() and Path(name).is_file():
        return Path(name), sheet
    return path, ""


def settled_of(path: Path, header: Header, contract: Contract) -> Settled:
    """Find how columns of a file write their numbers, of a plain CSV from its first rows; raises BadInput."""
    columns = notation_columns(contract)
    found = {name: evidence_of(columns[name]) for name in header.names if name in columns}
    for name, evidence in found.items():
        place = header.names.index(name)
        evidence.take([row[place] for row in header.table.sample if place < len(row)])
    plain = header.delimiter == "," and all(evidence.is_plain for evidence in found.values())
    if found and not plain and not header.table.whole:
        found = {name: evidence_of(columns[name]) for name in found}
        with reading_csv(path, header, list(found)) as reader:
            for batch in reader:
                for name, evidence in found.items():
                    evidence.take(batch[name].to_pylist())
    settled = settle(found, header.delimiter)
    if settled.questions:
        name, question = next(iter(settled.questions.items()))
        raise BadInput(f"{question}.", file=path, column=name, remedy=ASKED)
    return with_fallbacks(settled, contract, header.names)


def settled_freely(path: Path, header: Header, names: Sequence[str]) -> Settled:
    """Find how columns write numbers and dates that no contract describes, where not as programs do.

    They are looked at from end to end where the first rows give reason to. Raises BadInput.
    """

    def told(columns: Mapping[str, Iterable[Iterable[str | None]]]) -> Settled:
        return settle_freely(columns, header.delimiter)

    places = {name: header.names.index(name) for name in names}
    sample = {n: [[row[at] for row in header.table.sample if at < len(row)]] for n, at in places.items()}
    settled = told(sample)
    odd = [*settled.questions, *(name for name, one in settled.notations.items() if one.special)]
    if odd and not header.table.whole:
        cells: dict[str, list[list[str | None]]] = {name: [] for name in odd}
        with reading_csv(path, header, odd) as reader:
            for batch in reader:
                for name, parts in cells.items():
                    parts.append(batch[name].unique().to_pylist())
        settled = told(cells)
    for name, question in settled.questions.items():
        raise BadInput(f"{question}.", file=path, column=name, remedy="Write it in the file as it is meant.")
    return replace(settled, notations={n: one for n, one in settled.notations.items() if one.special})


ASKED = "Write it in the file as it is meant, or say it in the contract: min, max and unit of the column."
EMPTY = "rows without anything in them are skipped, and not counted"


def as_plain(frame: pd.DataFrame, notations: Mapping[str, Notation]) -> pd.DataFrame:
    """Return cells as text with the numbers of the columns as programs write them."""
    columns = {
        name: frame[name].astype(object).map(partial(_plain_cell, notation))
        for name, notation in notations.items()
        if name in frame and (notation.special or not notation.reads_plainly)
    }
    return frame.assign(**columns)


def _plain_cell(notation: Notation, cell: Any) -> Any:
    return notation.plain(cell) if isinstance(cell, str) else cell


def without_empty_texts(table: pa.Table) -> pa.Table:
    """Return a table of texts without the rows in which none says anything."""
    kept = None
    for column in table.columns:
        empty = pc.equal(column, "")
        kept = empty if kept is None else pc.and_(kept, empty)
        if not pc.any(kept).as_py():
            return table
    return table if kept is None else table.filter(pc.invert(kept))


def _without_empty(table: pa.Table, header: Header) -> pa.Table:
    """Return a table without the rows in which nothing is."""
    kept = None
    for column in table.columns:
        if column.null_count == 0:
            return table
        missing = pc.is_null(column)
        kept = missing if kept is None else pc.and_(kept, missing)
    if kept is None or not pc.any(kept).as_py():
        return table
    if EMPTY not in header.notes:
        header.notes.append(EMPTY)
    return table.filter(pc.invert(kept))


def no_rows(path: Path | str) -> BadInput:
    """Return the error of a file without students."""
    return BadInput("the file has a header and no rows.", file=path, remedy="Give one with students in it.")


def _broken(path: Path, header: Header, error: pa.ArrowInvalid) -> BadInput:
    """Return the error that says which row has more or fewer cells than the header, or an open quote."""
    wanted, number = len(header.names), FIRST_ROW - 1
    with header.text.open("rb") as file:
        try:
            with closing(rows_below(replace(header.table, file=file))) as rows:
                for number, row in enumerate(rows, start=FIRST_ROW):
                    if len(row) != wanted:
                        reason = f"the header has {wanted} cells, this row {len(row)}."
                        remedy = "Give every row the same cells, and quote one that holds a separator."
                        return BadInput(reason, file=path, row=number, remedy=remedy)
        except csv.Error:
            remedy = "Close the quotes of this row, or leave them out."
            return BadInput("a quoted cell does not end.", file=path, row=number + 1, remedy=remedy)
    return BadInput(f"{error}.", file=path, remedy="Save it as a plain CSV in UTF-8.")


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file from a text or a workbook by its suffix; raises BadInput where it is neither."""
    suffix = _suffix(split_sheet(path)[0].name)
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


def csv_chunks(
    path: Path, contract: Contract, rows: int, header: Header | None = None, settled: Settled | None = None
) -> Iterator[pd.DataFrame]:
    """Yield the declared columns of a text or a sheet, so many rows at a time.

    Coded columns and ids as text categories, numbers as numbers, or as text where one of them is none.
    Raises BadInput.
    """
    header = header or read_header(path, contract)
    settled = settled or settled_of(path, header, contract)
    declared = [name for name in header.names if name in contract.readable]
    with reading_csv(path, header, declared) as reader:
        for table in even((_without_empty(batch, header) for batch in reader), rows):
            yield pd.DataFrame(
                {n: from_arrow(table[n], contract.columns.get(n), settled.notations.get(n)) for n in declared}
            )


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
