"""Rows of a database, in chunks: a table of SQLite or PostgreSQL, or what a query of it gives."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
import sqlalchemy as sa

from data.database_tables import TableAddress, hidden, read_url
from data.errors import BadInput

ROWS = 50_000  # of a chunk
REMEDY = (
    "Write sqlite:///path/to/file.db?table=NAME or postgresql://user@host/database?query=SELECT …, "
    "with & and + of a query as %26 and %2B."
)
READING = re.compile(r"\s*(?:select|with|values|table)\b", re.IGNORECASE)


@dataclass(frozen=True)
class RowSource:
    """A database and what is read of it."""

    url: sa.URL
    table: str | None
    query: str | None

    @classmethod
    def of(cls, uri: str) -> Self:
        """Read an address; raises BadInput, which never shows a password."""
        if "query=" not in uri:
            address = TableAddress.of(uri)
            return cls(_existing(address.url), address.table, None)
        url = read_url(uri)
        query = url.query.get("query")
        if not isinstance(query, str) or not READING.match(query) or "table" in url.query:
            raise BadInput(f"{hidden(url.set(query={}))}: give one table, or one SELECT.", remedy=REMEDY)
        return cls(_existing(url.difference_update_query(["query"])), None, query)

    def __str__(self) -> str:
        """Return the address without its password."""
        return f"{hidden(self.url)}, {f'table {self.table}' if self.table else 'a query'}"

    @contextmanager
    def open(self, columns: frozenset[str] | None = None) -> Iterator["sa.CursorResult[Any]"]:
        """Run what is read, in a transaction that can only read; of a table the named columns alone.

        Raises BadInput where the database does not answer or does not know what is asked for.
        """
        engine = TableAddress(self.url, self.table or "").open()
        with _answering(self), engine.connect() as connection:
            _only_read(connection)
            yield connection.execution_options(yield_per=ROWS).execute(self._statement(engine, columns))

    def names(self) -> list[str]:
        """Return the names of all the columns; raises BadInput."""
        if self.table:
            engine = TableAddress(self.url, self.table).open()
            return [column.name for column in TableAddress(self.url, self.table).reflect(engine).columns]
        with _answering(self), TableAddress(self.url, "").open().connect() as connection:
            _only_read(connection)
            statement = sa.select(sa.text("*")).select_from(self._asked()).limit(0)
            return list(connection.execute(statement).keys())

    def count(self) -> int:
        """Return the number of rows; raises BadInput."""
        engine = TableAddress(self.url, self.table or "").open()
        with _answering(self), engine.connect() as connection:
            _only_read(connection)
            return int(connection.execute(sa.select(sa.func.count()).select_from(self._asked())).scalar_one())

    def _asked(self) -> sa.Subquery | sa.TableClause:
        if self.query:
            return sa.text(self.query.rstrip("; \n")).columns().subquery("asked")
        return sa.table(self.table or "")

    def _statement(self, engine: sa.Engine, columns: frozenset[str] | None) -> sa.Executable:
        if self.query:
            return sa.text(self.query)
        table = TableAddress(self.url, self.table or "").reflect(engine)
        wanted = [column for column in table.columns if columns is None or column.name in columns]
        return sa.select(*wanted).order_by(*table.primary_key.columns)


def read_rows(source: RowSource, columns: frozenset[str]) -> pd.DataFrame:
    """Read the named columns that a source has, chunk by chunk; raises BadInput."""
    with source.open(columns) as found:
        names = list(found.keys())
        chunks = [pd.DataFrame(list(rows), columns=names, dtype=object) for rows in found.partitions()]
    frame = pd.concat(chunks, ignore_index=True) if chunks else pd.DataFrame(columns=names)
    return frame[[name for name in names if name in columns]]


@contextmanager
def _answering(source: RowSource) -> Iterator[None]:
    """Say in words what a database answers to what it cannot do."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        first = str(error.orig).strip().partition("\n")[0]
        raise BadInput(f"{source}: the database says: {first}.", remedy=REMEDY) from error


def _existing(url: sa.URL) -> sa.URL:
    """Refuse a SQLite file that is not there, which opening it would make."""
    if url.drivername.startswith("sqlite") and not Path(url.database or "").is_file():
        raise BadInput(
            "there is no such database.", file=url.database or "sqlite://", remedy="Check the path."
        )
    return url


def _only_read(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    else:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
