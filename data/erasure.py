"""Taking rows out of the prediction log for good: a student's, or those past their time."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from data.errors import BadInput
from data.log_tables import outcomes, overrides, predictions
from data.spool import REFUSED, drained_alone, keep_lines, take, whole_lines, worked_on

PATIENCE = 10  # seconds for workers to let go of their files, which they do every second
HEX = re.compile(r"[0-9a-f]{32}")
PART = 500  # ids of one statement


class Removed(NamedTuple):
    """How many rows of each table went from the database, and lines from the spool."""

    predictions: int
    outcomes: int
    spooled: int
    overrides: int


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
    """Remove what is older than so many days; what the spool holds is drained first, and removed then."""
    before = datetime.now(UTC) - timedelta(days=days)
    with engine.begin() as connection:
        asked = connection.execute(sa.delete(predictions).where(predictions.c.at < before)).rowcount
        late = connection.execute(sa.delete(outcomes).where(outcomes.c.at < before)).rowcount
        said = connection.execute(sa.delete(overrides).where(overrides.c.at < before)).rowcount
    if asked or late or said:
        _forget(engine)
    with drained_alone(folder):
        refused = folder / REFUSED
        gone = keep_lines(refused, lambda line: _moment(line) >= before) if refused.exists() else 0
    return Removed(asked, late, gone, said)


def _all_files(folder: Path) -> list[Path]:
    """Take all that workers have written by now; raises BadInput where one does not let go."""
    begun, end = worked_on(folder), time.monotonic() + PATIENCE
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
    parts = (table.c.prediction_id.in_(some) for some in _in_parts(sorted(ids)))
    return sum(connection.execute(sa.delete(table).where(part)).rowcount for part in parts)


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


def _in_parts(ids: list[str]) -> Iterator[list[str]]:
    return (ids[start : start + PART] for start in range(0, len(ids), PART))


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


def _moment(line: bytes) -> datetime:
    """Return when a refused line was refused."""
    return datetime.fromisoformat(_parsed(line)["at"])
