"""The log's database: tables, migrations, connections, bulk inserts, and how the spool comes into it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import JSONB

from data.errors import BadInput
from data.log.entries import read_entry
from data.log.migrations import FOLDER, HEAD, VERSION_TABLE
from data.log.spool import REFUSED, TAKEN, drained_alone, spooled, take, whole_lines

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
    sa.Column("via", sa.String, nullable=False, server_default="predict", comment="how it was asked for"),
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

overrides = sa.Table(
    "overrides",
    tables,
    sa.Column("override_id", sa.String(DIGITS), primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True, comment="when it was noted"),
    sa.Column("contract", sa.String, nullable=False),
    sa.Column("prediction_id", sa.String(DIGITS), nullable=False, index=True),
    sa.Column("verdict", sa.String, nullable=False, comment="agree or disagree"),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False, comment="who noted it"),
)

measurements = sa.Table(
    "measurements",
    tables,
    sa.Column("measurement_id", sa.String(DIGITS), primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True, comment="when it was measured"),
    sa.Column("contract", sa.String, nullable=False),
    sa.Column("model_version", sa.String, nullable=False),
    sa.Column("since", Moment, nullable=False, comment="start of the window"),
    sa.Column("until", Moment, nullable=False, comment="end of the window, not in it"),
    sa.Column("name", sa.String, nullable=False, comment="drift_share, estimated_accuracy, …"),
    sa.Column("about", sa.String, nullable=False, comment="column, group or class; empty for the whole"),
    sa.Column("value", sa.Float),
    sa.Column("low", sa.Float, comment="of the 90 % interval"),
    sa.Column("high", sa.Float),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String, nullable=False, comment="pass, drift, loss, too few rows, …; or empty"),
)

history = sa.Table(
    "history",
    tables,
    sa.Column("entry", sa.Integer, primary_key=True, autoincrement=False, comment="1, 2, 3, … for a model"),
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("event", sa.String, nullable=False, comment="asked, promoted, rejected or rolled back"),
    sa.Column("version", sa.String, nullable=False, comment="of which it was decided"),
    sa.Column("champion", sa.String, comment="the champion after it"),
    sa.Column("by", sa.String, nullable=False, comment="who or what decided"),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("evidence", Json, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, comment="SHA-256 of this entry and the one before"),
)


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
            json_deserializer=orjson.loads,
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


CACHE_KIBIBYTES = 64_000
"""Of pages that SQLite keeps in memory: with fewer, each new row reads its place in an index anew."""


def insert_forecasts(connection: sa.Connection, columns: Mapping[str, Any]) -> None:
    """Insert rows of `predictions` in one transaction, ignoring those whose id is there.

    Each column is a list, or the one value of all rows.
    """
    insert = _into_postgresql if connection.dialect.name == "postgresql" else _into_sqlite
    with connection.begin():
        insert(connection, columns)


def _into_sqlite(connection: sa.Connection, columns: Mapping[str, Any]) -> None:
    """Give the driver tuples as it wants them; SQLAlchemy would look at every value."""
    from sqlalchemy.dialects.sqlite import insert

    plain = sa.table(predictions.name, *map(sa.column, columns))
    statement = insert(plain).on_conflict_do_nothing()
    text = str(statement.compile(dialect=connection.dialect, column_keys=list(columns)))
    ready = [_ready(connection, name, value) for name, value in columns.items()]
    rows = list(zip(*(value if _is_list(value) else repeat(value) for value in ready), strict=False))
    connection.exec_driver_sql(f"PRAGMA cache_size=-{CACHE_KIBIBYTES}")
    connection.exec_driver_sql(text, rows)


def _into_postgresql(connection: sa.Connection, columns: Mapping[str, Any]) -> None:
    """Give the server whole columns as arrays; one that is a single value stands beside them."""
    from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

    kinds = {name: predictions.c[name].type for name in columns}
    sent = {name: sa.Text() if isinstance(kind, sa.JSON) else kind for name, kind in kinds.items()}
    lists = {name: value for name, value in columns.items() if _is_list(value)}
    arrays = [sa.bindparam(name, value, type_=ARRAY(sent[name])) for name, value in lists.items()]
    named = (sa.column(name, sent[name]) for name in lists)
    given = sa.func.unnest(*arrays).table_valued(*named).render_derived()
    picked = [given.c[n] if n in lists else sa.literal(value, kinds[n]) for n, value in columns.items()]
    read = [
        sa.cast(cell, JSONB) if isinstance(kind, sa.JSON) else cell
        for cell, kind in zip(picked, kinds.values(), strict=True)
    ]
    statement = insert(predictions).from_select(list(columns), sa.select(*read)).on_conflict_do_nothing()
    connection.execute(statement)


def _ready(connection: sa.Connection, name: str, value: Any) -> Any:
    """Return a moment as the driver wants it; everything else is so already."""
    if not isinstance(value, datetime):
        return value
    process = predictions.c[name].type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return process(value) if process else value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


BATCH = 5_000  # lines of one transaction
TABLES = {"prediction": predictions, "outcome": outcomes, "override": overrides}


class Drained(NamedTuple):
    """How many lines were dealt with, and how many of them no database would take."""

    lines: int
    refused: int


def drain(engine: sa.Engine, folder: Path) -> Drained:
    """Insert what waits in the spool, then remove it there; what is in the database already is ignored.

    Raises sqlalchemy.exc.SQLAlchemyError while the database is away or locked, after which all that it
    does not have is still in the spool.
    """
    total = refused = 0
    with drained_alone(folder):
        waiting = _waiting(folder)
        first = next(waiting, None)
        if first is None:
            return Drained(0, 0)
        with engine.connect() as connection:
            create_tables(connection)
            for path in chain([first], waiting):
                lines = whole_lines(path)
                while batch := list(islice(lines, BATCH)):
                    total += len(batch)
                    refused += _insert_lines(connection, folder, batch)
                path.unlink()
    return Drained(total, refused)


def _waiting(folder: Path) -> Iterator[Path]:
    """Yield the files that a drainer left that was killed or gave up; once they are drained, new ones."""
    yield from spooled(folder, TAKEN)
    yield from take(folder)


def _insert_lines(connection: sa.Connection, folder: Path, lines: list[bytes]) -> int:
    """Insert lines; return how many were refused, by us or by the database, and set aside."""
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in TABLES}
    refused = []
    for line in lines:
        try:
            entry: dict[str, Any] = {**read_entry(line)}
        except ValidationError as error:
            refused.append((line, str(error)))
        else:
            rows[entry.pop("kind")].append(entry)
    for entry in rows["prediction"]:
        entry.setdefault("via", "predict")
    for kind, table in TABLES.items():
        refused += _insert_rows(connection, table, rows[kind])
    _set_aside(folder, refused)
    return len(refused)


def _insert_rows(
    connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]
) -> list[tuple[bytes, str]]:
    """Insert rows, one by one where one of them is at fault; return those and why."""
    try:
        insert_missing(connection, table, rows)
    except sa.exc.StatementError as error:
        if not _is_of_the_row(error):
            raise
        if len(rows) == 1:
            return [(orjson.dumps(rows[0], default=str), str(error.orig))]
        return [refusal for row in rows for refusal in _insert_rows(connection, table, [row])]
    return []


def _is_of_the_row(error: sa.exc.StatementError) -> bool:
    """Whether a row is at fault and not the database: a value that it cannot hold."""
    return isinstance(error, sa.exc.DataError | sa.exc.IntegrityError) or not isinstance(
        error, sa.exc.DBAPIError
    )


def _set_aside(folder: Path, refused: list[tuple[bytes, str]]) -> None:
    for line, reason in refused:
        said = {"at": datetime.now(UTC), "reason": reason, "line": line.decode(errors="replace")}
        with (folder / REFUSED).open("ab") as file:
            file.write(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))
