"""A table of a database as an address: `sqlite:///file.db?table=students`, `postgresql://…?table=…`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl

import sqlalchemy as sa

from data.errors import BadInput
from data.source_secrets import scheme_of, with_secrets, without_secrets

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
REMEDY = "Write sqlite:///path/to/file.db?table=NAME or postgresql://user@host/database?table=NAME."


@dataclass(frozen=True)
class TableAddress:
    """A database and the name of one of its tables."""

    url: sa.URL
    table: str

    @classmethod
    def of(cls, uri: str) -> Self:
        """Read an address; raises BadInput, which never shows a password."""
        url = read_url(uri)
        table = url.query.get("table")
        if not isinstance(table, str) or not table:
            raise BadInput(f"{hidden(url)}: it names no table.", remedy=REMEDY)
        return cls(url.difference_update_query(["table"]), table)

    def __str__(self) -> str:
        """Return the address without its password."""
        return f"{hidden(self.url)}, table {self.table}"

    def open(self) -> sa.Engine:
        """Open the database, connecting to nothing yet; raises BadInput where there is no driver for it."""
        try:
            return sa.create_engine(self.url, poolclass=sa.NullPool)
        except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
            raise BadInput(f"{hidden(self.url)}: {error}.", remedy=REMEDY) from error

    def reflect(self, engine: sa.Engine) -> sa.Table:
        """Read what columns the table has; raises BadInput where there is no such table or database."""
        with answering(str(self)):
            try:
                return sa.Table(self.table, sa.MetaData(), autoload_with=engine)
            except sa.exc.NoSuchTableError as error:
                names = ", ".join(sorted(sa.inspect(engine).get_table_names())) or "none"
                raise BadInput(f"{self}: there is no such table.", remedy=f"There are: {names}.") from error


@contextmanager
def answering(shown: str, remedy: str = REMEDY) -> Iterator[None]:
    """Say in words that a database does not answer, or what it says to what it cannot do."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        asked = isinstance(error, sa.exc.DBAPIError) and error.statement is not None
        said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        reason = f"the database {'says' if asked else 'does not answer'}: {said}."
        raise BadInput(f"{shown}: {reason}", remedy=remedy) from error


def is_table(uri: str) -> bool:
    """Tell whether an address is meant to be that of a database's table."""
    return scheme_of(uri).partition("+")[0] in DRIVERS


def read_url(uri: str) -> sa.URL:
    """Read the address of a database, with its driver and secrets; raises BadInput, which never shows one.

    Its options are read apart from it: SQLAlchemy takes an @ in a query for the end of a password.
    """
    base, _, options = with_secrets(uri).partition("?")
    try:
        url = sa.make_url(base).update_query_pairs(parse_qsl(options))
    except (sa.exc.ArgumentError, ValueError) as error:
        shown = without_secrets(uri)
        raise BadInput(f"{shown}: the address of the database cannot be read.", remedy=REMEDY) from error
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def hidden(url: sa.URL) -> str:
    """Return a URL that can be shown: without its secrets."""
    return without_secrets(url.render_as_string(hide_password=False))
