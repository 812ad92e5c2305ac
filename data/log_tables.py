"""The tables of the prediction log, and how its database is opened: SQLite or PostgreSQL."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateIndex, CreateTable

from data.errors import BadInput

DIALECTS = ("sqlite", "postgresql")
DIGITS = 32  # of a prediction's id and of a pseudonym


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment in UTC; SQLite, which knows no time zones, is given it without one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return a moment as the database keeps it."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Return a moment of the database in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


Json = sa.JSON().with_variant(JSONB(), "postgresql")
tables = sa.MetaData()

predictions = sa.Table(
    "predictions",
    tables,
    sa.Column("prediction_id", sa.String(DIGITS), primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True, comment="when it was answered"),
    sa.Column("contract", sa.String, nullable=False),
    sa.Column("model_version", sa.String, nullable=False),
    sa.Column("student", sa.String(DIGITS), comment="pseudonym; null where no id was given"),
    sa.Column("record", Json, nullable=False, comment="what was asked, without the id"),
    sa.Column("grade_class", sa.String, nullable=False),
    sa.Column("grade_class_index", sa.Integer, nullable=False, comment="0 is the best class"),
    sa.Column("at_risk", sa.Float, nullable=False),
    sa.Column("probabilities", Json, nullable=False),
    sa.Column("grade_set", Json, nullable=False),
    sa.Index("predictions_of_student", "student", "at"),
)

outcomes = sa.Table(
    "outcomes",
    tables,
    sa.Column("outcome_id", sa.String(DIGITS), primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True, comment="when it was reported"),
    sa.Column("contract", sa.String, nullable=False),
    sa.Column("prediction_id", sa.String(DIGITS), index=True, comment="the forecast that it settles"),
    sa.Column("student", sa.String(DIGITS), comment="pseudonym; or all forecasts of a student"),
    sa.Column("outcome", sa.String, nullable=False, comment="label of the class that it came to be"),
    sa.Column("outcome_index", sa.Integer, nullable=False),
    sa.Column("score", sa.Float, comment="the score that it was derived from, where one was given"),
    sa.Index("outcomes_of_student", "student", "at"),
)


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
    """Make the tables and indexes that are not there yet, in a transaction."""
    with connection.begin():
        for table in tables.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))


def insert_missing(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows in one transaction, ignoring those whose id is there."""
    if rows:
        statement = _insert(connection.dialect.name)(table).on_conflict_do_nothing()
        with connection.begin():
            connection.execute(statement, rows)


def _waits(dialect: str, patience: float) -> dict[str, Any]:
    """Return what a driver is told about waiting for locks, and for a server that does not answer."""
    if dialect == "sqlite":
        return {"timeout": patience}
    return {"options": f"-c lock_timeout={int(1_000 * patience)}", "connect_timeout": max(2, int(patience))}


def _insert(dialect: str) -> Any:
    from sqlalchemy.dialects import postgresql, sqlite

    return postgresql.insert if dialect == "postgresql" else sqlite.insert


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Let readers and the one writer work at once, and leave nothing of what is deleted."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits
        return json.dumps(value)


def _loads(text: str | bytes) -> Any:
    return orjson.loads(text)
