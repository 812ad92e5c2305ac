"""From the log's database into the file of what was measured last: done by the drainer, every so often."""

import time
from pathlib import Path

import sqlalchemy as sa

from data.log_tables import measurements
from serving.measured import Figure, write_measured

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
    """Return, for each contract, the figures of the window that was measured last."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(measurements.name):
            return []
        contracts = connection.execute(sa.select(measurements.c.contract).distinct()).scalars()
        return [figure for contract in contracts.all() for figure in _of_contract(connection, contract)]


def _of_contract(connection: sa.Connection, contract: str) -> list[Figure]:
    table = measurements.c
    own = table.contract == contract
    last = sa.select(table.model_version, table.since, table.until).where(own)
    version, since, until = connection.execute(last.order_by(table.at.desc()).limit(1)).one()
    window = own, table.model_version == version, table.since == since, table.until == until
    rows = connection.execute(sa.select(measurements).where(*window).order_by(table.at)).mappings()
    newest = {(row["name"], row["about"]): row for row in rows}  # a series may be told once
    return [Figure.model_validate(dict(row)) for row in newest.values()]
