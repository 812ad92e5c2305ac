"""Many rows into the prediction log at once, given as columns: JSON is text already."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

import sqlalchemy as sa

from data.log_tables import predictions

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
