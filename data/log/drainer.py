"""From the spool's files into the database's tables."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from pydantic import ValidationError

from data.log.database import create_tables, insert_missing, outcomes, overrides, predictions
from data.log.entries import read_entry
from data.log.spool import REFUSED, drained_alone, take, taken, whole_lines

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
    with drained_alone(folder):
        left = _drain_files(engine, folder, taken(folder))  # by a drainer that was killed or gave up
        new = _drain_files(engine, folder, take(folder))
    return Drained(left.lines + new.lines, left.refused + new.refused)


def _drain_files(engine: sa.Engine, folder: Path, files: list[Path]) -> Drained:
    total = refused = 0
    if files:
        with engine.connect() as connection:
            create_tables(connection)
            for path in files:
                for lines in _batches(path):
                    total += len(lines)
                    refused += _insert(connection, folder, lines)
                path.unlink()
    return Drained(total, refused)


def _batches(path: Path) -> Iterator[list[bytes]]:
    lines = whole_lines(path)
    while batch := list(islice(lines, BATCH)):
        yield batch


def _insert(connection: sa.Connection, folder: Path, lines: list[bytes]) -> int:
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
    if refused:
        with (folder / REFUSED).open("ab") as file:
            file.writelines(_refusal(line, reason) for line, reason in refused)


def _refusal(line: bytes, reason: str) -> bytes:
    said = {"at": datetime.now(UTC), "reason": reason, "line": line.decode(errors="replace")}
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
