"""From the log's database into the file of what was measured last: done by the drainer, every so often."""

import time
from pathlib import Path

import sqlalchemy as sa

from data.log_tables import history, measurements
from serving.measured import ASKED, Figure, write_measured

EVERY = 15.0  # seconds, as often as Prometheus asks


class MeasuredFile:
    """Keeps the file of a home as fresh as Prometheus can see."""

    def __init__(self, home: Path) -> None:
        self._home, self._written = home, float("-inf")

    def refresh(self, engine: sa.Engine) -> None:
        """Write what was measured last, if it is time. Raises SQLAlchemyError or OSError."""
        now = time.monotonic()
        if now - self._written >= EVERY:
            write_measured(self._home, measured_last(engine))
            self._written = now


def measured_last(engine: sa.Engine) -> list[Figure]:
    """Return the figures of each contract's window that was measured last, and what waits for a person."""
    with engine.connect() as connection:
        found = list[Figure]()
        tables = sa.inspect(connection)
        if tables.has_table(measurements.name):
            contracts = connection.execute(sa.select(measurements.c.contract).distinct()).scalars()
            found = [figure for contract in contracts.all() for figure in _of_contract(connection, contract)]
        return found + (_asked(connection) if tables.has_table(history.name) else [])


def _asked(connection: sa.Connection) -> list[Figure]:
    """Return the versions that a person is asked about, where nothing was decided of their model since."""
    table = history.c
    newest = sa.select(table.model, sa.func.max(table.entry).label("entry")).group_by(table.model).subquery()
    last = sa.and_(table.model == newest.c.model, table.entry == newest.c.entry)
    query = sa.select(table.model, table.version, table.at).join(newest, last).where(table.event == ASKED)
    return [
        Figure(contract=model, model_version=version, at=at, name=ASKED)
        for model, version, at in connection.execute(query)
    ]


def _of_contract(connection: sa.Connection, contract: str) -> list[Figure]:
    table = measurements.c
    own = table.contract == contract
    last = sa.select(table.model_version, table.since, table.until).where(own)
    version, since, until = connection.execute(last.order_by(table.at.desc()).limit(1)).one()
    window = own, table.model_version == version, table.since == since, table.until == until
    rows = connection.execute(sa.select(measurements).where(*window).order_by(table.at)).mappings()
    newest = {(row["name"], row["about"]): row for row in rows}  # a series may be told once
    return [Figure.model_validate(dict(row)) for row in newest.values()]
