"""Files as relations of DuckDB: cells as they are written, and what they say as text, number or day.

Columns have names of ours, `t0_3`, and not those of the file: a name may hold quotes, be a word of SQL, or
differ from another in its case alone, which DuckDB does not tell apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from data.contract.columns import ALWAYS_MISSING, MISSING_MARKS
from data.contract.dated import ContractTable
from data.contract.expressions import texts_in, to_sql
from data.errors import BadInput
from data.rows.frames import in_plain, refuse_twice
from data.rows.spreadsheets import FIRST_ROW, split_header
from data.sources.files import is_parquet, parquet_shape, read_header, reading_csv, settled_freely

MEMORY = "2GB"
ROW = "_row"
SHORT = 1 << 16  # bytes of a text that may be a header alone
LARGEST = 10**15
"""What a number to be summed stays below: ten million of them are added without loss."""

MACROS = """
create macro said(cell) as case when lower(trim(cell)) not in ({nothing}) then trim(cell) end;
create macro is_mark(cell) as lower(cell) in ({marks});
create macro name_of(cell) as case when cell like '%.0' or cell like '%.00'
    then regexp_replace(cell, '^(-?[0-9]+)\\.0+$', '\\1') else cell end;
create macro finite(number) as case when abs(number) < {largest} then number end;
create macro number_in(cell) as case when not contains(cell, '_') then finite(try_cast(cell as double)) end;
create macro whole(number) as case when number % 1 = 0 then try_cast(number as integer) end;
create macro date_in(cell) as case
    when regexp_full_match(cell, '[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}([T ].*)?')
        and try_cast(cell as timestamp) is not null
    then try_cast(split_part(replace(cell, 'T', ' '), ' ', 1) as date) end;
"""
"""How cells are read: ids as everywhere, a day as it stands, in a time of any zone; is_mark(c) is true of
what is a mark for nothing, and so neither a number nor a day."""


@dataclass(frozen=True)
class Relation:
    """Something with rows: the SQL that gives them, and our columns and their types by the file's names."""

    sql: str
    columns: Mapping[str, str]
    types: Mapping[str, str]
    clean: frozenset[str] = frozenset()
    """The columns whose cells are texts that were cleaned as they were read."""

    def text(self, name: str) -> str:
        """Return a cell as it is written, without spaces around it; null where nothing is."""
        own = self.columns[name]
        return own if name in self.clean else f"said(cast({own} as varchar))"

    def key(self, name: str) -> str:
        """Return a cell as the name of somebody or something: 1001.0 is 1001."""
        own, kind = self.columns[name], self.types[name]
        return f"cast({own} as varchar)" if kind in WHOLE else f"name_of({self.text(name)})"

    def number(self, name: str) -> str:
        """Return a cell as a finite number; null where it is none."""
        own, kind = self.columns[name], self.types[name]
        plain = kind in WHOLE or kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL")
        return f"finite(cast({own} as double))" if plain else f"number_in({self.text(name)})"

    def day(self, name: str, *, dates: bool) -> str:
        """Return a cell as a date, or as a whole number of days; null where it is none."""
        own, kind = self.columns[name], self.types[name]
        if not dates:
            return f"try_cast({own} as integer)" if kind in WHOLE else f"whole({self.number(name)})"
        timed = kind == "DATE" or kind.startswith("TIMESTAMP")
        return f"try_cast({own} as date)" if timed else f"date_in({self.text(name)})"

    def missing(self, name: str) -> str:
        """Return the condition that a cell has nothing in it, or a mark for nothing."""
        return f"({self.text(name)} is null or is_mark({self.text(name)}))"

    def unread(self, name: str, read: str) -> str:
        """Return the condition that a cell says something and cannot be read as what it should be."""
        text = self.text(name)
        return only_where(f"{read} is null", f"{text} is not null and not is_mark({text})")


WHOLE = frozenset(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG")) | {
    "INTEGER",
    "UINTEGER",
}


def quoted(text: object) -> str:
    """Return a text as SQL writes it."""
    return "'" + str(text).replace("'", "''") + "'"


def only_where(first: str, then: str) -> str:
    """Return the condition that two hold, of which the second is looked at only where the first does."""
    return f"(case when {first} then {then} else false end)"


@contextmanager
def engine(scratch: Path, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in the scratch folder, where it spills to as well."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "threads": threads,
        "temp_directory": str(scratch / "spilled"),
        "preserve_insertion_order": False,
    }
    listed = {"nothing": ALWAYS_MISSING, "marks": MISSING_MARKS}
    marks = {name: ", ".join(map(quoted, sorted(texts))) for name, texts in listed.items()}
    with duckdb.connect(scratch / "tables.duckdb", config=settings) as connection:
        connection.execute(MACROS.format(largest=LARGEST, **marks))
        yield connection


class Terms(NamedTuple):
    """How a text is read: columns that are names, as they are written; and where to say what is assumed."""

    keys: frozenset[str]
    notes: list[str]


def opened(
    connection: duckdb.DuckDBPyConnection,
    alias: str,
    path: Path,
    table: ContractTable,
    wanted: frozenset[str],
    terms: "Terms",
) -> Relation:
    """Open a file as a relation with the columns that are wanted, and the number of each row in `_row`.

    The number is what a spreadsheet shows. A table's own `rename` and `where` are followed. Raises BadInput.
    """
    names = columns_of(path)
    refuse_twice(names, path)
    ours = [table.rename.get(name, name) for name in names]
    refuse_twice(ours, path)
    places = [n for n, name in enumerate(ours) if name in wanted]
    own = [f"{alias}_{n}" for n in places]
    if is_parquet(path):
        every = ", ".join(f"{alias}_{n}" for n in range(len(names)))
        file = f"read_parquet({quoted(path)}, file_row_number = true) as f({every}, {ROW})"
        cells = "".join(f", {column}" for column in own)
        connection.execute(f"create view {alias} as select {ROW} + {FIRST_ROW} as {ROW}{cells} from {file}")
    else:
        held = {*terms.keys, *table.key, *(name for some in table.join.values() for name in some)}
        as_written = frozenset(name for name, one in zip(names, ours, strict=True) if one in held)
        _read_in(connection, alias, path, [names[n] for n in places], own, Terms(as_written, terms.notes))
    shape = connection.execute(f"select * from {alias} limit 0").description or ()
    types = {str(column): str(kind) for column, kind, *_ in shape}
    listed = {ours[n]: column for n, column in zip(places, own, strict=True)}
    clean = frozenset() if is_parquet(path) else frozenset(listed)
    found = Relation(alias, listed, {name: types[column] for name, column in listed.items()}, clean)
    return found if table.where is None else _filtered(found, table.where)


def columns_of(path: Path) -> list[str]:
    """Return the names of a file's columns, without those of a text that have none; raises BadInput."""
    if is_parquet(path):
        return list(parquet_shape(path)[0])
    return [name for name in (_header_alone(path) or read_header(path).names) if name]


def _header_alone(path: Path) -> list[str] | None:
    """Return the names in a text that has a header and nothing below it, as at the start of a year."""
    if path.suffix.lower() not in (".csv", ".tsv", ".txt") or path.stat().st_size > SHORT:
        return None
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return split_header(lines[0])[0] if len(lines) == 1 else None


def _read_in(
    connection: duckdb.DuckDBPyConnection,
    alias: str,
    path: Path,
    names: list[str],
    own: list[str],
    terms: "Terms",
) -> None:
    """Read columns of a text into a table, as texts and with their row's number."""
    made = "".join(f", {column} varchar" for column in own)
    connection.execute(f"create table {alias} ({ROW} bigint{made})")
    if _header_alone(path) or not own:
        return
    failed: list[BadInput] = []
    reader = pa.RecordBatchReader.from_batches(
        pa.schema([(ROW, pa.int64()), *((column, pa.string()) for column in own)]),
        _numbered(path, names, own, terms, failed),
    )
    try:
        connection.register("stream", reader)
        connection.execute(f"insert into {alias} select * from stream")
    except duckdb.Error:
        if failed:
            raise failed[0] from None
        raise
    finally:
        connection.unregister("stream")


def _numbered(
    path: Path, names: list[str], own: list[str], terms: "Terms", failed: list[BadInput]
) -> Iterator[pa.RecordBatch]:
    """Yield a text's batches under our names, with the number of each row; keep the error that ends them.

    Numbers and dates are as programs write them, but for keys, which are names.
    """
    first = FIRST_ROW
    try:
        header = read_header(path)
        settled = settled_freely(path, header, [name for name in names if name not in terms.keys])
        notes = [f"{path.name}: {note}" for note in (*header.notes, *settled.notes)]
        terms.notes.extend(note for note in notes if note not in terms.notes)
        with reading_csv(path, header, names) as reader:
            for batch in reader:
                rows = pa.array(range(first, first + batch.num_rows), pa.int64())
                cells = [in_plain(batch[name], settled.notations.get(name)) for name in names]
                yield pa.RecordBatch.from_arrays([rows, *map(_cleaned, cells)], [ROW, *own])
                first += batch.num_rows
    except BadInput as error:
        failed.append(error)
        raise


def _cleaned(cells: pa.Array) -> pa.Array:
    """Return texts without spaces around them, null where they say that nothing is there."""
    trimmed = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.is_in(trimmed, NOTHING), None, trimmed)


NOTHING = pa.array(
    sorted({"".join(cased) for mark in ALWAYS_MISSING for cased in product(*({c, c.upper()} for c in mark))})
)
"""What a cell that holds nothing always says, in any case."""


def _filtered(table: Relation, where: str) -> Relation:
    """Return the rows of a table for which a condition holds."""
    texts = texts_in(where)
    holds = to_sql(where, lambda name: table.text(name) if name in texts else table.number(name))
    return replace(table, sql=f"(select * from {table.sql} where {holds})")


def joined(left: Relation, right: Relation, keys: Sequence[str]) -> Relation:
    """Return a relation with what another says of each row; where both have a column, its own stays."""
    more = {name: column for name, column in right.columns.items() if name not in left.columns}
    added = "".join(f", r.{column}" for column in more.values())
    listed = ", ".join(f"{right.key(key)} as k{n}" for n, key in enumerate(keys))
    whole = f"(select {listed}{''.join(f', {c}' for c in more.values())} from {right.sql}) r"
    same = " and ".join(f"{left.key(key)} = r.k{n}" for n, key in enumerate(keys))
    sql = f"(select l.*{added} from {left.sql} l left join {whole} on {same})"
    types = {**{name: right.types[name] for name in more}, **left.types}
    clean = left.clean | (right.clean & more.keys())
    return Relation(sql, {**left.columns, **more}, types, clean)


def first_repeated(
    connection: duckdb.DuckDBPyConnection, table: Relation, keys: Sequence[str]
) -> tuple[int, str] | None:
    """Return the row and the key of the first that is there a second time; None where each is there once."""
    listed = [table.key(key) for key in keys]
    some = " and ".join(f"{cell} is not null" for cell in listed)
    again = f"row_number() over (partition by {', '.join(listed)} order by {ROW})"
    shown = (
        f"concat_ws(', ', {', '.join(f'concat({quoted(key)}, chr(32), {table.key(key)})' for key in keys)})"
    )
    found = connection.execute(
        f"select {ROW}, {shown} from (select * from {table.sql} where {some} qualify {again} = 2) "
        f"order by {ROW} limit 1"
    ).fetchone()
    return (int(found[0]), str(found[1])) if found else None
