"""What the monitor measured of a window of the log: rows that reports, dashboards and /metrics read."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from data.log_database import create_tables
from data.log_tables import measurements


class Measurement(NamedTuple):
    """One figure, with the 90 % interval where it has one, of so many rows.

    `about` names the column, the group (Column=label) or the class; it is empty for the whole.
    """

    name: str
    value: float | None
    rows: int
    low: float | None = None
    high: float | None = None
    about: str = ""
    verdict: str = ""


class Frame(NamedTuple):
    """Of what was measured: contract, the champion's version, and the window [since, until)."""

    contract: str
    model_version: str
    since: datetime
    until: datetime


def write_measurements(engine: sa.Engine, frame: Frame, found: Iterable[Measurement]) -> None:
    """Write figures in one transaction; of a window measured before they take the place of the former."""
    about = frame._asdict()
    now = datetime.now(UTC)
    rows = [{"measurement_id": uuid.uuid4().hex, "at": now, **about, **figure._asdict()} for figure in found]
    same = [measurements.c[name] == value for name, value in about.items()]
    names = {row["name"] for row in rows}
    with engine.connect() as connection:
        create_tables(connection)
        with connection.begin():
            connection.execute(sa.delete(measurements).where(*same, measurements.c.name.in_(names)))
            if rows:
                connection.execute(sa.insert(measurements), rows)


def read_measurements(
    engine: sa.Engine, contract: str, *, names: Sequence[str] = (), before: datetime | None = None
) -> list[dict[str, Any]]:
    """Return figures, by the end of their window, oldest first: all of a contract, or those of some names.

    With `before`, of windows that ended no later. None where nothing was ever measured.
    """
    if not sa.inspect(engine).has_table(measurements.name):
        return []
    query = sa.select(measurements).where(measurements.c.contract == contract)
    if names:
        query = query.where(measurements.c.name.in_(names))
    if before is not None:
        query = query.where(measurements.c.until <= before)
    query = query.order_by(measurements.c.until, measurements.c.at, measurements.c.name, measurements.c.about)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def latest_measurements(engine: sa.Engine, contract: str) -> list[dict[str, Any]]:
    """Return the figures of the window that was measured last."""
    found = read_measurements(engine, contract)
    newest = max(found, key=lambda row: row["at"], default=None)
    if newest is None:
        return []
    window = {name: newest[name] for name in ("model_version", "since", "until")}
    return [row for row in found if all(row[name] == value for name, value in window.items())]
