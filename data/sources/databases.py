"""Records in databases: addresses without their secrets, SQL tables and queries, MongoDB, row by row."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlencode, urlsplit, urlunsplit

import pandas as pd
import sqlalchemy as sa

from data.contract.yaml_files import is_file, shortened
from data.errors import BadInput

PASSWORD = "GRADECAST_SOURCE_PASSWORD"  # noqa: S105  the name of a variable
SET_ASIDE = "GRADECAST_SECRETS_SET_ASIDE"
"""The variable from which child processes have what was taken out of addresses; nobody sets it."""
SECRET = re.compile(r"pass|pwd|secret|token|credential|signature|key|mechanism_?properties", re.IGNORECASE)
"""Names of options that are secrets, or files with one: password, passfile, sslpassword, sslkey, …"""
Given = TypeVar("Given", str, str | None)


class _Address(NamedTuple):
    """The parts of an address: the password unquoted, the options as they are written."""

    scheme: str
    user: str
    password: str
    place: str
    options: tuple[str, ...]

    @property
    def server(self) -> str:
        """Return what secrets are those of: a user of a database."""
        return f"{self.scheme}://{self.user}@{self.place}"

    def __str__(self) -> str:
        password = f":{quote(self.password, safe='')}" if self.password else ""
        user = f"{self.user}{password}@" if self.user or password else ""
        options = f"?{'&'.join(self.options)}" if self.options else ""
        return f"{self.scheme}://{user}{self.place}{options}"


def scheme_of(uri: str) -> str:
    """Return what stands before :// in an address, in small letters; nothing for a path."""
    scheme, mark, _ = uri.partition("://")
    return scheme.lower() if mark else ""


def without_secrets(uri: str) -> str:
    """Return an address that can be shown and kept."""
    try:
        read = _read(uri)
    except BadInput:
        return f"{uri.partition('://')[0]}://…"
    if read is None or not _secrets(read):
        return uri
    options = tuple(option for option in read.options if not SECRET.search(_name(option)))
    return str(read._replace(password="", options=options))


def with_secrets(uri: str) -> str:
    """Return an address with the secrets that were taken out of it, or the environment's password.

    The latter where it names a user and no password. Raises BadInput for an address that cannot be read.
    """
    read = _read(uri)
    if read is None:
        return uri
    kept: Mapping[str, Any] = json.loads(os.environ.get(SET_ASIDE) or "{}").get(read.server, {})
    password = read.password or kept.get("password", "")
    if read.user and not password:
        password = os.environ.get(PASSWORD, "")
    named = {_name(option) for option in read.options}
    options = tuple(option for option in kept.get("options", ()) if _name(option) not in named)
    if not password and not options:
        return uri
    return str(read._replace(password=password, options=read.options + options))


def set_aside(uris: Iterable[Given]) -> list[Given]:
    """Take the secrets out of addresses and into the environment.

    Raises BadInput where they hold different ones for one user of one database.
    """
    given = list(uris)
    kept: dict[str, dict[str, Any]] = {}
    for read in filter(None, (_read(uri) for uri in given if uri)):
        secrets = _secrets(read)
        if secrets and kept.setdefault(read.server, secrets) != secrets:
            remedy = "Give the one that is right, in both or in one."
            raise BadInput("two addresses of one user with two different passwords.", remedy=remedy)
    if kept:
        os.environ[SET_ASIDE] = json.dumps(kept)
    return [without_secrets(uri) if uri else uri for uri in given]


def _read(uri: str) -> _Address | None:
    """Return the parts of an address; None for a path. Raises BadInput where a password ends them early."""
    scheme, mark, rest = uri.partition("://")
    if not mark or not re.fullmatch(r"[A-Za-z][\w+.-]*", scheme):
        return None
    before, _, query = rest.partition("?")
    user, at, place = before.rpartition("@")
    name, _, password = user.partition(":")
    if not at or "/" in name:  # then it is of a path
        name, password, place = "", "", before
    if not at and not place.startswith("/") and "@" in query.partition("=")[0]:
        remedy = "Write ? / # @ % and & of a password as %3F %2F %23 %40 %25 and %26."
        raise BadInput(f"{scheme}://…: the address cannot be read.", remedy=remedy)
    return _Address(scheme, name, unquote(password), place, tuple(query.split("&")) if query else ())


def _secrets(read: _Address) -> dict[str, Any]:
    """Return what of an address is secret, as it is kept."""
    options = [option for option in read.options if SECRET.search(_name(option))]
    return {"password": read.password, "options": options} if read.password or options else {}


def _name(option: str) -> str:
    return unquote_plus(option.partition("=")[0])


DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
ADDRESS_REMEDY = "Write sqlite:///path/to/file.db?table=NAME or postgresql://user@host/database?table=NAME."
ROWS = 50_000  # of a chunk
QUERY_REMEDY = (
    "Write sqlite:///path/to/file.db?table=NAME or postgresql://user@host/database?query=SELECT …, "
    "with & and + of a query as %26 and %2B."
)
READING = re.compile(r"\s*(?:select|with|values|table)\b", re.IGNORECASE)


@dataclass(frozen=True)
class SqlAddress:
    """A database and the name of one of its tables, or a query that reads it."""

    url: sa.URL
    table: str
    query: str = ""

    @classmethod
    def of(cls, uri: str) -> Self:
        """Read the address of a table; raises BadInput, which never shows a password."""
        url = read_url(uri)
        table = url.query.get("table")
        if not isinstance(table, str) or not table:
            raise BadInput(f"{hidden(url)}: it names no table.", remedy=ADDRESS_REMEDY)
        return cls(url.difference_update_query(["table"]), table)

    @classmethod
    def to_read(cls, uri: str) -> Self:
        """Read the address of a table or a query that is to be read; raises BadInput as `of` does."""
        if "query=" not in uri:
            found = cls.of(uri)
        else:
            url = read_url(uri)
            query = url.query.get("query")
            if not isinstance(query, str) or not READING.match(query) or "table" in url.query:
                shown = hidden(url.set(query={}))
                raise BadInput(f"{shown}: give one table, or one SELECT.", remedy=QUERY_REMEDY)
            found = cls(url.difference_update_query(["query"]), "", query)
        database = found.url.database or ""
        if found.url.drivername.startswith("sqlite") and not is_file(database):  # opening it would make it
            shown = shortened(database or "sqlite://")
            raise BadInput("there is no such database.", file=shown, remedy="Check the path.")
        return found

    def __str__(self) -> str:
        """Return the address without its password."""
        return f"{hidden(self.url)}, {f'table {self.table}' if self.table else 'a query'}"

    def open(self) -> sa.Engine:
        """Open the database, connecting to nothing yet; raises BadInput where there is no driver for it."""
        try:
            return sa.create_engine(self.url, poolclass=sa.NullPool)
        except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
            raise BadInput(f"{hidden(self.url)}: {error}.", remedy=ADDRESS_REMEDY) from error

    @contextmanager
    def rows(self, columns: frozenset[str] | None = None) -> Iterator["sa.CursorResult[Any]"]:
        """Run what is read, in a transaction that can only read; of a table the named columns alone.

        Raises BadInput where the database does not answer or does not know what is asked for.
        """
        with answering(str(self)), self.open().connect() as connection:
            if self.query:
                statement: sa.Executable = _text(self.query)
            else:
                table = self._reflected(connection.engine)
                wanted = [column for column in table.columns if columns is None or column.name in columns]
                statement = sa.select(*wanted).order_by(*table.primary_key.columns)
            yield _read_rows(connection, statement)

    def names(self) -> list[str]:
        """Return the names of all the columns; raises BadInput."""
        with answering(str(self)), self.open().connect() as connection:
            if not self.query:
                return [column.name for column in self._reflected(connection.engine).columns]
            nothing = sa.select(sa.text("*")).select_from(self._asked()).limit(0)
            with _read_rows(connection, nothing) as found:
                return list(found.keys())

    def count(self) -> int:
        """Return the number of rows; raises BadInput."""
        counted = sa.select(sa.func.count()).select_from(self._asked())
        with answering(str(self)), self.open().connect() as connection:
            return int(_read_rows(connection, counted).scalar_one())

    def _asked(self) -> sa.Subquery | sa.TableClause:
        if self.query:
            return _text(self.query.rstrip("; \n") + "\n").columns().subquery("asked")
        return sa.table(self.table)

    def _reflected(self, engine: sa.Engine) -> sa.Table:
        try:
            return sa.Table(self.table, sa.MetaData(), autoload_with=engine)
        except sa.exc.NoSuchTableError as error:
            names = ", ".join(sorted(sa.inspect(engine).get_table_names())) or "none"
            raise BadInput(f"{self}: there is no such table.", remedy=f"There are: {names}.") from error


@contextmanager
def answering(shown: str, remedy: str = ADDRESS_REMEDY) -> Iterator[None]:
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
        raise BadInput(
            f"{shown}: the address of the database cannot be read.", remedy=ADDRESS_REMEDY
        ) from error
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def hidden(url: sa.URL) -> str:
    """Return a URL that can be shown: without its secrets."""
    return without_secrets(url.render_as_string(hide_password=False))


def _text(query: str) -> sa.TextClause:
    """Return a query as it is: a colon in it names no parameter."""
    return sa.text(query.replace(":", r"\:"))


def _read_rows(connection: sa.Connection, statement: sa.Executable) -> "sa.CursorResult[Any]":
    """Run one statement in a transaction that can only read.

    PostgreSQL runs it for a cursor of its own, which takes a single statement: no second one can end the
    transaction.
    """
    sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("PRAGMA query_only = ON" if sqlite else "SET TRANSACTION READ ONLY")
    return connection.execution_options(yield_per=ROWS).execute(statement)


if TYPE_CHECKING:
    from pymongo.collection import Collection

SCHEMES = frozenset({"mongodb", "mongodb+srv"})
PATIENCE = 5_000  # milliseconds for a server to answer
MONGO_REMEDY = f"Write mongodb://user@host/database?collection=NAME, with the password in {PASSWORD}."


def is_collection(uri: str) -> bool:
    """Tell whether an address is meant to be that of a MongoDB collection."""
    return scheme_of(uri) in SCHEMES


def open_collection(uri: str) -> "Collection[Mapping[str, Any]]":
    """Open a collection, connecting to nothing yet; raises BadInput, which never shows a password."""
    try:
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError
    except ImportError as error:
        raise BadInput(
            "the package pymongo is not there.", remedy="Install the Pipfile's packages."
        ) from error
    address = with_secrets(uri)
    try:
        parts = urlsplit(address)
    except ValueError as error:
        reason = f"{without_secrets(uri)}: the address cannot be read."
        raise BadInput(reason, remedy=MONGO_REMEDY) from error
    options = dict(parse_qsl(parts.query))
    name, database = options.pop("collection", ""), parts.path.strip("/")
    if not name or not database:
        raise BadInput(f"{without_secrets(uri)}: it names no database or no collection.", remedy=MONGO_REMEDY)
    options.setdefault("serverSelectionTimeoutMS", str(PATIENCE))
    plain = urlunsplit(parts._replace(query=urlencode(options)))
    try:
        client: MongoClient[Mapping[str, Any]] = MongoClient(plain, connect=False, tz_aware=True)
    except (PyMongoError, ValueError) as error:
        raise BadInput(f"{without_secrets(uri)}: the address cannot be read.", remedy=MONGO_REMEDY) from error
    return client[database][name]


@contextmanager
def _mongo_answering(uri: str) -> Iterator["Collection[Mapping[str, Any]]"]:
    collection = open_collection(uri)
    from pymongo.errors import PyMongoError

    try:
        with collection.database.client:
            yield collection
    except PyMongoError as error:
        reason = str(error).partition(",")[0]
        remedy = "Is the server up, and may you read?"
        raise BadInput(f"{without_secrets(uri)}: {reason}.", remedy=remedy) from error


def document_chunks(documents: Iterable[Mapping[str, Any]]) -> Iterator[pd.DataFrame]:
    """Yield frames of up to 50,000 documents each, at least one; a field that one lacks is missing there."""
    rows = iter(documents)
    chunk = list(islice(rows, ROWS))
    yield _frame(chunk)
    while chunk := list(islice(rows, ROWS)):
        yield _frame(chunk)


def _frame(documents: list[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{k: _plain(v) for k, v in row.items()} for row in documents], dtype=object)


def _plain(value: Any) -> Any:
    """Return a value of BSON's own types as one of Python's."""
    from bson import Decimal128, ObjectId

    if isinstance(value, Decimal128):
        return value.to_decimal()
    return str(value) if isinstance(value, ObjectId) else value


def is_database(uri: str) -> bool:
    """Tell whether an address is meant to be that of a table, a query or a collection."""
    return is_table(uri) or is_collection(uri)


def shape_of(uri: str) -> tuple[tuple[str, ...], int]:
    """Return the columns of a table or a query, or the first document's fields, and about how many rows.

    Raises BadInput.
    """
    if is_table(uri):
        source = SqlAddress.to_read(uri)
        return tuple(source.names()), source.count()
    with _mongo_answering(uri) as collection:
        first = collection.find_one(sort=[("_id", 1)]) or {}
        return tuple(name for name in first if name != "_id"), collection.estimated_document_count()


def database_chunks(uri: str, columns: frozenset[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield all rows, or columns of them, as the database gives them, in frames of up to 50,000.

    A table in the order of its primary key, a collection in that of its `_id`: at least one frame, in which
    a field that no document has is no column. Raises BadInput.
    """
    if is_table(uri):
        with SqlAddress.to_read(uri).rows(columns) as found:
            names = list(found.keys())
            for rows in found.partitions():
                yield pd.DataFrame(list(rows), columns=names, dtype=object)
        return
    wanted = None if columns is None else dict.fromkeys(sorted(columns), 1)
    with _mongo_answering(uri) as collection:
        yield from document_chunks(collection.find(projection=wanted, batch_size=ROWS).sort("_id"))


class DatabaseRows:
    """A source that is read a first time to learn what it has; a single chunk of it is kept.

    names: the columns, or the fields that any document has. kept: all rows, where they are one chunk.
    """

    def __init__(self, uri: str, columns: frozenset[str]) -> None:
        self._uri, self._columns = uri, columns
        self.names = SqlAddress.to_read(uri).names() if is_table(uri) else []
        self.kept: pd.DataFrame | None = None

    def first_time(self) -> Iterator[pd.DataFrame]:
        """Yield the chunks, and learn the names and whether one chunk is all."""
        number = 0
        for number, frame in enumerate(self._chunks(), start=1):
            self.names += [name for name in map(str, frame.columns) if name not in self.names]
            self.kept = frame if number == 1 else None
            yield frame
        if not number:
            self.kept = pd.DataFrame(columns=[name for name in self.names if name in self._columns])

    def again(self) -> Iterator[pd.DataFrame]:
        """Yield the chunks, each with all the columns: a document may lack a field that others have."""
        declared = [name for name in self.names if name in self._columns]
        for frame in self._chunks():
            yield frame if list(frame.columns) == declared else frame.reindex(columns=declared)

    def _chunks(self) -> Iterator[pd.DataFrame]:
        for frame in database_chunks(self._uri, self._columns):
            yield frame[[name for name in frame.columns if name in self._columns]]
