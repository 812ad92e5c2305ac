"""Move the log to another database, from SQLite to PostgreSQL as a rule: `python -m data.log.move FROM TO`.

FROM and TO are SQLAlchemy's URLs. Every row is copied, then every row is compared; the old log stays as
it is. It may be repeated, after an interruption or while the predictor writes to the new one already.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from data.errors import BadInput
from data.log.database import create_tables, insert_missing, open_log, tables
from data.sources.databases import hidden

BATCH = 1_000  # rows


def move_log(source: sa.Engine, target: sa.Engine) -> dict[str, int]:
    """Copy the rows that the target does not have, compare all, and return how many a table has.

    Raises:
        BadInput: both are the same, the source has no log, or a row of it is another in the target.
        sqlalchemy.exc.SQLAlchemyError: a database is away or locked; it may be repeated.
    """
    if source.url == target.url:
        raise BadInput("both addresses are of the same database.")
    missing = source.dialect.name == "sqlite" and not Path(source.url.database or "").is_file()
    if missing or not sa.inspect(source).has_table("predictions"):
        raise BadInput("there is no log there.", file=hidden(source.url))
    for engine in (source, target):
        with engine.connect() as connection:
            create_tables(connection)
    return {table.name: _move_table(table, source, target) for table in tables.sorted_tables}


def _move_table(table: sa.Table, source: sa.Engine, target: sa.Engine) -> int:
    rows = 0
    for batch in _batches(table, source):
        with target.connect() as connection:
            insert_missing(connection, table, batch)
            connection.rollback()
            _compare(table, connection, batch)
        rows += len(batch)
    return rows


def _batches(table: sa.Table, source: sa.Engine) -> Iterator[list[dict[str, Any]]]:
    """Yield all rows, in the order of the key."""
    query = sa.select(table).order_by(*table.primary_key.columns)
    with source.connect().execution_options(yield_per=BATCH) as connection:
        for rows in connection.execute(query).mappings().partitions():
            yield [dict(row) for row in rows]


def _compare(table: sa.Table, connection: sa.Connection, batch: list[dict[str, Any]]) -> None:
    """Raise BadInput unless the target has each row, with the same values."""
    key = tuple(table.primary_key.columns)
    wanted = {tuple(row[column.name] for column in key): row for row in batch}
    query = sa.select(table).where(sa.tuple_(*key).in_(list(wanted)))
    found = {
        tuple(row[column.name] for column in key): dict(row) for row in connection.execute(query).mappings()
    }
    for name, row in wanted.items():
        if found.get(name) != row:
            remedy = "Move into an empty log."
            raise BadInput(f"row {name} of {table.name} is another one in the target.", remedy=remedy)


def main(arguments: Sequence[str] | None = None) -> int:
    """Move a log; exit 0 when every row has arrived, 1 when a database is away, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m data.log.move", description=__doc__)
    parser.add_argument("source", metavar="FROM", help="sqlite:////path/to/predictions.db")
    parser.add_argument("target", metavar="TO", help="postgresql+psycopg://user:password@host/name")
    given = parser.parse_args(arguments)
    try:
        moved = move_log(open_log(given.source), open_log(given.target))
    except BadInput as error:
        print(f"log_move: {error}", file=sys.stderr)
        return 2
    except sa.exc.SQLAlchemyError as error:
        print(f"log_move: {getattr(error, 'orig', error)}. Nothing is lost: try again.", file=sys.stderr)
        return 1
    for name, rows in moved.items():
        print(f"{name}: {rows} rows, each compared")
    return 0


if __name__ == "__main__":
    sys.exit(main())
