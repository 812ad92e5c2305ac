"""Taking rows out of the prediction log for good: a student's, or those past their time."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from data.errors import BadInput
from data.log.database import outcomes, overrides, predictions
from data.log.spool import ACTIVE, REFUSED, drained_alone, keep_lines, spooled, take, whole_lines

PATIENCE = 10  # seconds for workers to let go of their files, which they do every second
HEX = re.compile(r"[0-9a-f]{32}")
PART = 500  # ids of one statement
DATED = (predictions, outcomes, overrides)
LONGEST_SILENCE = timedelta(days=400)
"""A school year and more: a log in which nothing was written for longer is likelier one of a wrong clock."""
FEW, SHARE = 1_000, 0.01
"""Of each table's rows so many, or so large a share, may be purged at a time when nobody watches."""


class Removed(NamedTuple):
    """How many rows of each table went from the database, and lines from the spool."""

    predictions: int
    outcomes: int
    spooled: int
    overrides: int

    def __str__(self) -> str:
        """Say how many rows went from the database."""
        return f"{self.predictions} predictions, {self.outcomes} outcomes and {self.overrides} overrides"


def erase(engine: sa.Engine, folder: Path, whose: str) -> Removed:
    """Erase all of a student (a pseudonym), or one forecast (its id), with outcomes and overrides.

    The database and the spool alike; nothing is drained meanwhile. Safe to repeat when interrupted.

    Raises:
        BadInput: `whose` is neither, or a worker that was stopped does not let go of its file.
        sqlalchemy.exc.SQLAlchemyError: the database is away or locked; the spool may be done already.
    """
    if not HEX.fullmatch(whose):  # less of it could be in anybody's line
        raise BadInput(f"{whose!r} is neither a pseudonym nor a forecast's id.", remedy="Give 32 hex digits.")
    with drained_alone(folder):
        files = _all_files(folder)
        ids = _asked_in_database(engine, whose).union(*(_asked_in_file(path, whose) for path in files))
        spooled = sum(keep_lines(path, _keeps(whose, ids)) for path in files)
        with engine.begin() as connection:
            asked = connection.execute(sa.delete(predictions).where(_is_of(predictions, whose))).rowcount
            late = connection.execute(sa.delete(outcomes).where(_is_of(outcomes, whose))).rowcount
            late += _delete_about(connection, outcomes, ids)
            said = _delete_about(connection, overrides, ids | {whose})
        _forget(engine)
    return Removed(asked, late, spooled, said)


def purge(engine: sa.Engine, folder: Path, days: int) -> Removed:
    """Remove what is older than so many days; what the spool holds is drained first, and removed then.

    This machine's clock is believed, whatever it says: see `purge_unwatched`.
    """
    return _purge(engine, folder, datetime.now(UTC) - timedelta(days=days), slowly=False)


def purge_unwatched(engine: sa.Engine, folder: Path, days: int) -> Removed:
    """Remove what is older than so many days, the oldest first, a small share at a time.

    Nobody watches, and a clock that runs years ahead makes all of a log old. Raises BadInput where that is
    likelier than a log in which nothing was written for longer than a school year; nothing is removed then.
    """
    now = datetime.now(UTC)
    before = now - timedelta(days=days)
    with engine.connect() as connection:
        if _moments(connection, sa.func.min, lambda at: at < before):
            _check_clock(connection, now)
    return _purge(engine, folder, before, slowly=True)


def _check_clock(connection: sa.Connection, now: datetime) -> None:
    """Raise BadInput where nothing was logged for longer than LONGEST_SILENCE, up to now or of late."""
    edge = now - LONGEST_SILENCE
    last = max(_moments(connection, sa.func.max, lambda at: at <= edge), default=now)
    silence = min([now, *_moments(connection, sa.func.min, lambda at: at > edge)]) - last
    if silence > LONGEST_SILENCE:
        raise BadInput(
            f"nothing older is purged: by this machine's clock, which says {now:%Y-%m-%d}, nothing was "
            f"logged in the {silence.days} days from {last:%Y-%m-%d} on.",
            remedy="Set the clock if it is wrong; else run `python -m data.log purge` once yourself.",
        )


def _moments(
    connection: sa.Connection, pick: Callable[..., Any], which: Callable[[Any], Any]
) -> list[datetime]:
    """Return the first or last moment of each table that has one of these."""
    found = (connection.scalar(sa.select(pick(table.c.at)).where(which(table.c.at))) for table in DATED)
    return [moment for moment in found if moment is not None]


def _delete_before(connection: sa.Connection, table: sa.Table, before: datetime, *, slowly: bool) -> int:
    """Delete the rows from before a moment; slowly: the oldest, no more than a share of all."""
    old = table.c.at < before
    if slowly:
        rows = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        key, most = next(iter(table.primary_key)), max(FEW, int(SHARE * rows))
        old = key.in_(sa.select(key).where(old).order_by(table.c.at).limit(most))
    return connection.execute(sa.delete(table).where(old)).rowcount


def _purge(engine: sa.Engine, folder: Path, before: datetime, *, slowly: bool) -> Removed:
    with engine.begin() as connection:
        asked, late, said = (_delete_before(connection, table, before, slowly=slowly) for table in DATED)
    if asked or late or said:
        _forget(engine)
    with drained_alone(folder):
        refused = folder / REFUSED
        gone = keep_lines(refused, lambda line: _refused_at(line) >= before) if refused.exists() else 0
    return Removed(asked, late, gone, said)


def _all_files(folder: Path) -> list[Path]:
    """Take all that workers have written by now; raises BadInput where one does not let go."""
    begun, end = spooled(folder, ACTIVE), time.monotonic() + PATIENCE
    files = take(folder)
    while any(path.exists() for path in begun):
        if time.monotonic() > end:
            remedy = "Let it go on or end it, then erase again."
            raise BadInput("a worker was stopped and keeps its file.", file=folder, remedy=remedy)
        time.sleep(0.05)
        files = take(folder)
    return files + [path for path in [folder / REFUSED] if path.exists()]


def _is_of(table: sa.Table, whose: str) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.student == whose, table.c.prediction_id == whose)


def _delete_about(connection: sa.Connection, table: sa.Table, ids: set[str]) -> int:
    """Delete what a table has about these forecasts; return how many rows that were."""
    each = sorted(ids)
    parts = (each[start : start + PART] for start in range(0, len(each), PART))
    gone = (connection.execute(sa.delete(table).where(table.c.prediction_id.in_(part))) for part in parts)
    return sum(result.rowcount for result in gone)


def _asked_in_database(engine: sa.Engine, whose: str) -> set[str]:
    """Return the ids of forecasts; their outcomes may name nothing else."""
    with engine.connect() as connection:
        query = sa.select(predictions.c.prediction_id).where(_is_of(predictions, whose))
        return set(connection.execute(query).scalars())


def _asked_in_file(path: Path, whose: str) -> set[str]:
    lines = (line for line in whole_lines(path) if whose.encode() in line)
    return {str(entry["prediction_id"]) for entry in map(_parsed, lines) if entry.get("prediction_id")}


def _keeps(whose: str, ids: set[str]) -> Callable[[bytes], bool]:
    def keeps(line: bytes) -> bool:
        return whose.encode() not in line and str(_parsed(line).get("prediction_id")) not in ids

    return keeps


def _forget(engine: sa.Engine) -> None:
    """Have SQLite write the emptied pages over the old ones now, not at some later time."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").close()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _refused_at(line: bytes) -> datetime:
    return datetime.fromisoformat(_parsed(line)["at"])
