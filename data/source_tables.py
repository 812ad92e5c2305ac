"""Rows of a database, in chunks: a table of SQLite or PostgreSQL, or what a query of it gives."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from data.database_tables import TableAddress, answering, hidden, read_url
from data.errors import BadInput
from data.yaml_files import is_file, shortened

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
        address = TableAddress(self.url, self.table or "")
        with answering(str(self)), address.open().connect() as connection:
            if self.query is not None:
                statement: sa.Executable = _text(self.query)
            else:
                table = address.reflect(connection.engine)
                wanted = [column for column in table.columns if columns is None or column.name in columns]
                statement = sa.select(*wanted).order_by(*table.primary_key.columns)
            yield _read(connection, statement)

    def names(self) -> list[str]:
        """Return the names of all the columns; raises BadInput."""
        address = TableAddress(self.url, self.table or "")
        if self.table:
            return [column.name for column in address.reflect(address.open()).columns]
        nothing = sa.select(sa.text("*")).select_from(self._asked()).limit(0)
        with (
            answering(str(self)),
            address.open().connect() as connection,
            _read(connection, nothing) as found,
        ):
            return list(found.keys())

    def count(self) -> int:
        """Return the number of rows; raises BadInput."""
        with answering(str(self)), TableAddress(self.url, "").open().connect() as connection:
            return int(_read(connection, sa.select(sa.func.count()).select_from(self._asked())).scalar_one())

    def _asked(self) -> sa.Subquery | sa.TableClause:
        if self.query is not None:
            return _text(self.query.rstrip("; \n") + "\n").columns().subquery("asked")
        return sa.table(self.table or "")


def _existing(url: sa.URL) -> sa.URL:
    """Refuse a SQLite file that is not there, which opening it would make."""
    if url.drivername.startswith("sqlite") and not is_file(url.database or ""):
        shown = shortened(url.database or "sqlite://")
        raise BadInput("there is no such database.", file=shown, remedy="Check the path.")
    return url


def _text(query: str) -> sa.TextClause:
    """Return a query as it is: a colon in it names no parameter."""
    return sa.text(query.replace(":", r"\:"))


def _read(connection: sa.Connection, statement: sa.Executable) -> "sa.CursorResult[Any]":
    """Run one statement in a transaction that can only read.

    PostgreSQL runs it for a cursor of its own, which takes a single statement: no second one can end the
    transaction.
    """
    sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("PRAGMA query_only = ON" if sqlite else "SET TRANSACTION READ ONLY")
    return connection.execution_options(yield_per=ROWS).execute(statement)
