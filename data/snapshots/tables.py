"""The tables of dated records, wherever they are, opened in DuckDB as texts with the number of each row."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet

from data.contract.columns import ALWAYS_MISSING, MISSING_MARKS
from data.contract.dated import Dated
from data.errors import BadInput
from data.rows.spreadsheets import FIRST_ROW
from data.sources.databases import database_chunks, is_table, without_secrets
from data.sources.files import fetched, is_parquet, is_stored, local_files, parquet_shape, read_header

MEMORY = "2GB"
UNPACKED = 16 << 30  # bytes that a ZIP may hold in all


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def text(value: object) -> str:
    """Return a text as SQL writes it."""
    return "'" + str(value).replace("'", "''") + "'"


@contextmanager
def opened(scratch: Path, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in the scratch folder, where it spills to as well."""
    settings: dict[str, str | bool | int | float | list[str]]
    settings = {"memory_limit": MEMORY, "threads": threads, "temp_directory": str(scratch / "spilled")}
    marks = ", ".join(map(text, sorted(MISSING_MARKS)))
    with duckdb.connect(scratch / "tables.duckdb", config=settings) as connection:
        connection.execute(
            f"create macro given(cell) as case when lower(cell) not in ({marks}) then cell end"
        )
        yield connection


@contextmanager
def staged(uri: str, dated: Dated) -> Iterator[dict[str, Path]]:
    """Give the file of each table for as long as it is needed; raises BadInput for one that is not there.

    `uri` is a folder, a ZIP, a folder of an object store, or a database, whose tables are written out.
    """
    if is_table(uri) or is_stored(uri):
        with TemporaryDirectory(prefix="gradecast-") as folder:
            yield {name: _brought(uri, table.source, Path(folder)) for name, table in dated.tables.items()}
    elif zipfile.is_zipfile(path := _path(uri)):
        with TemporaryDirectory(prefix="gradecast-") as folder:
            _unpack(path, Path(folder))
            yield _found(Path(folder), dated, shown=str(path))
    else:
        yield _found(path, dated, shown=str(path))


def are_tables(uri: str) -> bool:
    """Tell whether an address holds tables rather than one file of rows."""
    if is_stored(uri):
        return uri.endswith("/")
    if is_table(uri):
        return "table=" not in uri and "query=" not in uri
    try:
        path = _path(uri)
    except BadInput:
        return False
    return path.is_dir() or (path.is_file() and zipfile.is_zipfile(path))


def _path(uri: str) -> Path:
    path = Path(uri.removeprefix("file://"))
    if not path.exists():
        remedy = "Give a folder, a ZIP or a database that holds the tables of the contract."
        raise BadInput("there is no such folder or file.", file=uri, remedy=remedy)
    return path


def _found(folder: Path, dated: Dated, shown: str) -> dict[str, Path]:
    there = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    found = {}
    for name, table in dated.tables.items():
        path = (
            there.get(table.source)
            or there.get(f"{table.source}.csv")
            or there.get(f"{table.source}.parquet")
        )
        if path is None:
            remedy = f"The contract wants it as the table {name}; found: {', '.join(there) or 'no file'}."
            raise BadInput(f"there is no {table.source}.", file=shown, remedy=remedy)
        found[name] = local_files(str(path))[0]
    return found


def _unpack(path: Path, folder: Path) -> None:
    """Unpack the plain files of a ZIP, by their own names alone."""
    try:
        with zipfile.ZipFile(path) as packed:
            members = [one for one in packed.infolist() if not one.is_dir()]
            if sum(one.file_size for one in members) > UNPACKED:
                raise BadInput("it unpacks to more than 16 GiB.", file=path, remedy="Give a folder instead.")
            for one in members:
                with packed.open(one) as source, (folder / Path(one.filename).name).open("wb") as target:
                    while block := source.read(1 << 20):
                        target.write(block)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise BadInput(f"it cannot be unpacked: {error}.", file=path, remedy="Pack it again.") from error


def _brought(uri: str, source: str, folder: Path) -> Path:
    """Bring a table of a database, or a file of a store, into a folder."""
    if is_stored(uri):
        with fetched(uri + source) as files:
            return files[0].rename(folder / source)
    path = folder / f"{source}.parquet"
    mark = "&" if "?" in uri else "?"
    writer = None
    for frame in database_chunks(f"{uri}{mark}table={source}"):
        table = pa.Table.from_pandas(frame.astype(object).map(_cell), preserve_index=False)
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is None:
        raise BadInput(f"{without_secrets(uri)}: the table {source} has no rows.")
    writer.close()
    return path


def _cell(value: object) -> str | None:
    return None if value is None or value != value else str(value)


def open_texts(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> list[str]:
    """Open a file as the table `raw_NAME`, every column a text, missing ones null; return its columns.

    Its column `row` has the number that a spreadsheet shows. Raises BadInput.
    """
    if is_parquet(path):
        columns = list(parquet_shape(path)[0])
        numbered = f"read_parquet({text(path)}, file_row_number = true)"
        rows = f'select *, file_row_number as "row" from {numbered}'
    else:
        header = read_header(path)
        columns = [column for column in header.names if column]
        typed = ", ".join(f"{text(n or f'unnamed {i}')}: 'VARCHAR'" for i, n in enumerate(header.names))
        rows = (
            f'select *, row_number() over () - 1 as "row" from read_csv({text(path)}, header = false, '
            f"skip = {header.line}, delim = {text(header.delimiter)}, quote = '\"', escape = '\"', "
            f"auto_detect = false, columns = {{{typed}}}, null_padding = false)"
        )
    marks = ", ".join(map(text, sorted(ALWAYS_MISSING)))
    cells = ", ".join(_cleaned(column, marks) for column in columns)
    made = f"create table {quoted('raw_' + name)}"
    connection.execute(f'{made} as select {cells}, "row" + {FIRST_ROW} as "row" from ({rows})')
    return columns


def _cleaned(column: str, marks: str) -> str:
    """Return the cell of a column without spaces around it, null where it says that nothing is there."""
    own = f"trim(cast({quoted(column)} as varchar))"
    return f"case when lower({own}) not in ({marks}) then {own} end as {quoted(column)}"


def broken(error: duckdb.Error, path: Path) -> BadInput:
    """Return the error of a file that could not be read as a table."""
    first = str(error).strip().splitlines()[0]
    return BadInput(f"{first}.", file=path, remedy="Save it as a plain CSV in UTF-8, or as Parquet.")
