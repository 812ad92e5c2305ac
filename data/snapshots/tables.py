"""The tables of dated records, wherever they are: found, unpacked, fetched, written out of a database."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet

from data.contract.dated import Dated
from data.errors import BadInput
from data.sources.databases import READING, SqlAddress, database_chunks, is_table
from data.sources.files import READERS, fetched, is_stored

UNPACKED = 16 << 30  # bytes that a ZIP may hold in all
SUFFIXES = ("", *READERS.split())
"""What may be left off the name of a file."""


def are_tables(uri: str) -> bool:
    """Tell whether an address holds tables rather than one file of rows."""
    if is_stored(uri):
        return uri.endswith("/")
    if is_table(uri):
        return "table=" not in uri and "query=" not in uri
    path = _local(uri)
    return path.is_dir() or is_packed(path)


def is_packed(path: Path) -> bool:
    """Tell whether a file is a ZIP of tables; a workbook, which is one too, is not."""
    return path.suffix.lower() == ".zip" and path.is_file() and zipfile.is_zipfile(path)


def _local(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


@contextmanager
def staged(uri: str, dated: Dated) -> Iterator[dict[str, Path]]:
    """Give the file of each table for as long as it is needed; raises BadInput for one that is not there.

    `uri` is a folder, a ZIP, a folder of an object store, or a database, whose tables are written out. What
    a ZIP lacks may lie beside it.
    """
    sources = {table.source for table in dated.tables.values()}
    with TemporaryDirectory(prefix="gradecast-") as scratch:
        folder = Path(scratch)
        if is_stored(uri):
            there = {source: _fetched(uri, source, folder) for source in sources}
        elif is_table(uri):
            there = {source: _written_out(uri, source, folder) for source in sources}
        else:
            there = _found(uri, dated, folder)
        yield {name: there[table.source] for name, table in dated.tables.items()}


def _found(uri: str, dated: Dated, scratch: Path) -> dict[str, Path]:
    """Return the file of each source in a folder or a ZIP; raises BadInput."""
    path = _local(uri)
    if not path.exists():
        remedy = "Give a folder, a ZIP or a database that holds the tables of the contract."
        raise BadInput("there is no such folder or file.", file=uri, remedy=remedy)
    beside = files_in(path.parent if path.is_file() else path)
    if not is_packed(path):
        return {t.source: _one(t.source, beside, name, path) for name, t in dated.tables.items()}
    with _unpacking(path) as packed:
        inside = members_of(packed, path)
        members = {t.source: _named(t.source, inside) for t in dated.tables.values()}
        unpacked = unpack(packed, [member for member in members.values() if member], scratch, path)
    wanted = {t.source: name for name, t in dated.tables.items()}
    return {
        source: unpacked[member]
        if member
        else _one(source, {one: p for one, p in beside.items() if p != path}, wanted[source], path, [*inside])
        for source, member in members.items()
    }


def files_in(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their names."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}


def _named(source: str, there: Mapping[str, object]) -> str | None:
    """Return the name of a source among those that are there: itself, or with one of the known suffixes."""
    return next((f"{source}{suffix}" for suffix in SUFFIXES if f"{source}{suffix}" in there), None)


def _one(
    source: str, there: Mapping[str, Path], name: str, shown: Path, inside: list[str] | None = None
) -> Path:
    found = _named(source, there)
    if found is None:
        listed = ", ".join(there if inside is None else inside) or "no file"
        remedy = f"The contract wants it as the table {name}; found: {listed}."
        raise BadInput(f"there is no {source}.", file=shown, remedy=remedy)
    return there[found]


@contextmanager
def _unpacking(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as packed:
            yield packed
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise BadInput(f"it cannot be unpacked: {error}.", file=path, remedy="Pack it again.") from error


def members_of(packed: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a ZIP by their own names, without those of folders; raises BadInput.

    Two of one name would be one table or the other.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    for member in packed.infolist():
        name = Path(member.filename).name
        if member.is_dir() or name.startswith(".") or "__MACOSX" in member.filename:
            continue
        if name in found:
            remedy = "Give each table a name of its own."
            raise BadInput(f"there are two files named {name}.", file=path, remedy=remedy)
        found[name] = member
    return found


def unpack(packed: zipfile.ZipFile, names: list[str], folder: Path, path: Path) -> dict[str, Path]:
    """Unpack files of a ZIP by their own names into a folder; raises BadInput for more than 16 GiB."""
    members = members_of(packed, path)
    if sum(members[name].file_size for name in names) > UNPACKED:
        raise BadInput("it unpacks to more than 16 GiB.", file=path, remedy="Give a folder instead.")
    for name in names:
        with packed.open(members[name]) as source, (folder / name).open("wb") as target:
            while block := source.read(1 << 20):
                target.write(block)
    return {name: folder / name for name in names}


def _fetched(uri: str, source: str, folder: Path) -> Path:
    """Fetch one file of a folder of an object store; raises BadInput."""
    name = source if Path(source).suffix else f"{source}.csv"
    with fetched(uri + name) as files:
        return files[0].rename(folder / name)


def _written_out(uri: str, source: str, folder: Path) -> Path:
    """Write a database's table, or what a query gives, as a file of texts; raises BadInput."""
    option = "query" if READING.match(source) and " " in source.strip() else "table"
    asked = source.replace("%", "%25").replace("&", "%26").replace("+", "%2B")
    address = f"{uri}{'&' if '?' in uri else '?'}{option}={asked}"
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    names = SqlAddress.to_read(address).names()
    schema = pa.schema([(name, pa.string()) for name in names])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for frame in database_chunks(address):
            cells = [frame[name].map(_cell).astype(object) for name in names]
            writer.write_table(pa.Table.from_arrays([pa.array(c, pa.string()) for c in cells], schema=schema))
    return path


def _cell(value: object) -> str | None:
    return None if value is None or value != value else str(value)
