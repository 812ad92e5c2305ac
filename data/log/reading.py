"""What the log holds: forecasts with their outcomes, and what the monitor measured."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from data.log.database import create_tables, measurements, outcomes, predictions

AT_ONCE = 5_000  # rows fetched at a time
FAR = sa.literal(datetime(9999, 1, 1, tzinfo=UTC), predictions.c.at.type)


def read_log(
    engine: sa.Engine,
    contract: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    student: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield forecasts answered in [since, until), oldest first, with all columns of `predictions`.

    Beside them: `outcome`, `outcome_index`, `score` and `outcome_at`, all None while there is no outcome.
    An outcome with a prediction_id settles that forecast. One with a student settles the student's
    forecasts since the last such outcome; a later one replaces it, unless a forecast was asked for in
    between: then it is about that. Of several the latest counts, and all are kept.
    """
    chosen = outcomes.alias("chosen")
    answer = sa.func.coalesce(_of_prediction(), _of_student())
    columns = (chosen.c.outcome, chosen.c.outcome_index, chosen.c.score, chosen.c.at.label("outcome_at"))
    query = (
        sa.select(predictions, *columns)
        .select_from(predictions.outerjoin(chosen, chosen.c.outcome_id == answer))
        .where(predictions.c.contract == contract)
        .order_by(predictions.c.at, predictions.c.prediction_id)
    )
    if since is not None:
        query = query.where(predictions.c.at >= since)
    if until is not None:
        query = query.where(predictions.c.at < until)
    if student is not None:
        query = query.where(predictions.c.student == student)
    with engine.connect() as connection:
        found = connection.execution_options(yield_per=AT_ONCE).execute(query)
        names = list(map(str, found.keys()))
        for row in found:
            yield dict(zip(names, row, strict=True))


def summary(engine: sa.Engine) -> list[dict[str, Any]]:
    """Return how many forecasts each version of each contract made, and when the first and the last."""
    group = (predictions.c.contract, predictions.c.model_version)
    first, last = sa.func.min(predictions.c.at), sa.func.max(predictions.c.at)
    counted = (sa.func.count().label("predictions"), first.label("first"), last.label("last"))
    with engine.connect() as connection:
        rows = connection.execute(sa.select(*group, *counted).group_by(*group).order_by(*group))
        return [{str(name): value for name, value in row.items()} for row in rows.mappings()]


def count_outcomes(engine: sa.Engine) -> int:
    """Return how many outcomes are kept."""
    with engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(outcomes)).scalar_one()


def _of_prediction() -> sa.ScalarSelect[str]:
    """The latest outcome that names the forecast itself."""
    own = outcomes.alias("own")
    return _latest(own, own.c.prediction_id == predictions.c.prediction_id)


def _of_student() -> sa.ScalarSelect[str]:
    """The latest outcome of the student before the next forecast that follows the first such outcome."""
    first, later, asked = outcomes.alias("first"), outcomes.alias("later"), predictions.alias("asked")
    settled = sa.select(sa.func.min(first.c.at)).where(_after(first)).scalar_subquery()
    asked_again = (
        sa.select(sa.func.min(asked.c.at))
        .where(asked.c.student == predictions.c.student, asked.c.contract == predictions.c.contract)
        .where(asked.c.at > settled.correlate(predictions))
        .scalar_subquery()
    )
    before = later.c.at < sa.func.coalesce(asked_again.correlate(predictions), FAR)
    return _latest(later, sa.and_(_after(later), before))


def _after(table: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.student == predictions.c.student,
        table.c.contract == predictions.c.contract,
        table.c.prediction_id.is_(None),
        table.c.at >= predictions.c.at,
    )


def _latest(table: sa.FromClause, condition: sa.ColumnElement[bool]) -> sa.ScalarSelect[str]:
    newest = sa.select(table.c.outcome_id).where(condition).order_by(table.c.at.desc(), table.c.outcome_id)
    return newest.limit(1).correlate(predictions).scalar_subquery()


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
    """Return the figures of the window that was measured last, in the order in which they were."""
    if not sa.inspect(engine).has_table(measurements.name):
        return []
    table = measurements.c
    own = table.contract == contract
    last = sa.select(table.model_version, table.since, table.until).where(own).order_by(table.at.desc())
    with engine.connect() as connection:
        window = connection.execute(last.limit(1)).mappings().one_or_none()
        same = [table[str(name)] == value for name, value in (window or {}).items()]
        query = sa.select(measurements).where(own, *same).order_by(table.at, table.name, table.about)
        return [dict(row) for row in connection.execute(query).mappings()]
