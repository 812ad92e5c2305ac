"""How the prediction log's database is opened and written: SQLite or PostgreSQL."""

import json
from typing import Any

import orjson
import sqlalchemy as sa

from data.errors import BadInput
from data.migrations import FOLDER, HEAD, VERSION_TABLE

DIALECTS = ("sqlite", "postgresql")
LOCK = 0x67726164  # of PostgreSQL, while tables are changed


def open_log(url: str, *, patience: float = 30) -> sa.Engine:
    """Open the log's database, connecting to nothing yet; its tables are made by `create_tables`.

    Args:
        url: a SQLAlchemy URL.
        patience: seconds to wait for a lock that somebody else holds.

    Raises:
        BadInput: the URL cannot be read, or names another kind of database.
    """
    remedy = "Set GRADECAST_LOG_URL to sqlite:////path/to/file or postgresql+psycopg://user@host/name."
    try:
        dialect = sa.make_url(url).get_backend_name()
        if dialect not in DIALECTS:
            raise BadInput(f"the log is kept in SQLite or PostgreSQL, not in {dialect}.", remedy=remedy)
        # No pool: a database that was replaced or started again is found as it is now.
        engine = sa.create_engine(
            url,
            poolclass=sa.NullPool,
            connect_args=_waits(dialect, patience),
            json_serializer=_json,
            json_deserializer=_loads,
        )
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise BadInput(f"the log's URL cannot be used: {error}.", remedy=remedy) from error
    if dialect == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def create_tables(connection: sa.Connection) -> None:
    """Make the tables, or bring those of an older Gradecast to where this one needs them, in a transaction.

    Raises:
        BadInput: they were made by a newer one.
    """
    with connection.begin():
        found = _schema_version(connection)
        if found != HEAD:
            _alone(connection)
            found = _schema_version(connection)  # somebody else may have been first
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            remedy = "Run the newer one, or restore the backup from before it."
            raise BadInput(f"the log's tables are of a newer Gradecast ({found}, not {HEAD}).", remedy=remedy)
        _upgrade(connection)


def insert_missing(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows in one transaction, ignoring those whose id is there."""
    if rows:
        statement = _insert(connection.dialect.name)(table).on_conflict_do_nothing()
        with connection.begin():
            connection.execute(statement, rows)


def _schema_version(connection: sa.Connection) -> str | None:
    """Return the last step that a database has taken; None for one that has none, or nothing at all."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(
        sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))
    ).scalar()


def _alone(connection: sa.Connection) -> None:
    """Keep others from changing tables until the transaction ends, and the driver from ending it early."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _upgrade(connection: sa.Connection) -> None:
    """Take the steps that are missing."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER))
    command.upgrade(config, "head")


def _waits(dialect: str, patience: float) -> dict[str, Any]:
    """Return what a driver is told about waiting for locks, and for a server that does not answer."""
    if dialect == "sqlite":
        return {"timeout": patience}
    return {"options": f"-c lock_timeout={int(1_000 * patience)}", "connect_timeout": max(2, int(patience))}


def _insert(dialect: str) -> Any:
    from sqlalchemy.dialects import postgresql, sqlite

    return postgresql.insert if dialect == "postgresql" else sqlite.insert


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Let readers and the one writer work at once, and leave nothing of what is deleted.

    What is committed is on the disk: the spool, which had it until then, is removed after.
    """
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits
        return json.dumps(value)


def _loads(text: str | bytes) -> Any:
    return orjson.loads(text)
