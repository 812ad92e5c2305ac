"""The log of answered predictions and of the outcomes that came later, for people and for the monitor.

`python -m data.log list [ID]` shows what is kept, of all or of one student; `erase ID` removes a
student from the database and the spool; `purge` removes what is older than GRADECAST_RETENTION_DAYS.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from data.contract.contract import load_contract
from data.errors import BadInput
from data.log.database import create_tables, open_log
from data.log.erasure import erase, purge
from data.log.reading import count_outcomes, read_log, summary
from data.log.settings import LogSettings
from data.log.spool import backlog
from data.rows.ids import PUBLIC_KEY, canonical_id, pseudonym
from data.sources.databases import hidden

__all__ = ["create_tables", "erase", "main", "open_log", "purge", "read_log"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; exit 0 when it is done, 1 when the database is away, 2 for bad usage."""
    given = _parser().parse_args(arguments)
    settings = LogSettings.from_environment()
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        engine = open_log(settings.database_url)
        with engine.connect() as connection:
            create_tables(connection)
        print(given.command(given, settings, engine), end="")
    except BadInput as error:
        print(f"predictions: {error}", file=sys.stderr)
        return 2
    except sa.exc.SQLAlchemyError as error:
        where = hidden(sa.make_url(settings.database_url))
        print(
            f"predictions: {where}: {getattr(error, 'orig', error)}. Nothing is lost: try again.",
            file=sys.stderr,
        )
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data.log", description=__doc__)
    commands = parser.add_subparsers(required=True)
    show = commands.add_parser("list", help="show what is kept, in all or of one student")
    show.add_argument("id", nargs="?", help="the student's id, as the school writes it")
    gone = commands.add_parser("erase", help="remove a student from the database and the spool")
    which = gone.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", help="the student's id, as the school writes it")
    which.add_argument("--prediction", help="or the id of a forecast, for a student without an id")
    for command in (show, gone):
        command.add_argument("--contract", default="grade_class", help="contract of the id (name or path)")
    old = commands.add_parser("purge", help="remove what is older than GRADECAST_RETENTION_DAYS")
    old.add_argument("--days", type=int, help="older than so many days instead")
    for command, run in ((show, _list), (gone, _erase), (old, _purge)):
        command.set_defaults(command=run)
    return parser


def _list(given: argparse.Namespace, settings: LogSettings, engine: sa.Engine) -> str:
    if given.id is not None:
        student = _student(given, settings)
        rows = read_log(engine, load_contract(given.contract).name, student=student)
        return "".join(f"{json.dumps(row, default=str)}\n" for row in rows)
    lines = [_line_of(row) for row in summary(engine)] or ["no predictions yet"]
    waiting = backlog(settings.home)
    lines.append(f"{count_outcomes(engine)} outcomes")
    lines.append(f"{waiting.bytes} bytes wait in the spool, the oldest for {waiting.oldest_seconds:.0f} s")
    return "\n".join(lines) + "\n"


def _erase(given: argparse.Namespace, settings: LogSettings, engine: sa.Engine) -> str:
    removed = erase(engine, settings.spool, given.prediction or _student(given, settings))
    return f"erased: {removed} from the database, {removed.spooled} entries from the spool\n"


def _purge(given: argparse.Namespace, settings: LogSettings, engine: sa.Engine) -> str:
    days = settings.retention_days if given.days is None else given.days
    if days <= 0:
        return "nothing is purged: GRADECAST_RETENTION_DAYS is 0\n"
    removed = purge(engine, settings.spool, days)
    return f"purged: {removed} older than {days} days\n"


def _student(given: argparse.Namespace, settings: LogSettings) -> str:
    """Return the pseudonym of the id that was given."""
    column = load_contract(given.contract).id
    student = canonical_id(given.id, whole=column is not None and column.whole)
    if not student:
        raise BadInput(f"{given.id!r} is no id.", remedy="Give it as the school writes it.")
    if settings.id_key == PUBLIC_KEY:
        print(
            "predictions: GRADECAST_ID_KEY is not set: ids are hashed with the public default.",
            file=sys.stderr,
        )
    return pseudonym(student, settings.id_key)


def _line_of(row: dict[str, Any]) -> str:
    first, last = (f"{row[name]:%Y-%m-%d %H:%M}" for name in ("first", "last"))
    name = f"{row['contract']} version {row['model_version']}"
    return f"{name}: {row['predictions']} predictions, {first} to {last} UTC"


if __name__ == "__main__":
    sys.exit(main())
