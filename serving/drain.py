"""Bring the spool into the log's database: one process beside the workers, `python -m serving.drain`.

It may be killed at any moment: what it had inserted and not yet removed from the spool is met again, and
ignored by its id. While the database is away or locked, the spool keeps it all.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

import sqlalchemy as sa

from data.errors import BadInput
from data.log.database import create_tables, drain, history, measurements, open_log
from data.log.erasure import purge_unwatched
from data.log.reading import latest_measurements
from data.log.settings import LogSettings
from data.rows.ids import PUBLIC_KEY
from serving.metrics import ASKED, MeasuredFigure, write_measured
from serving.processes import end_when_told
from serving.request_log import log_json_lines


def measured_last(engine: sa.Engine) -> list[MeasuredFigure]:
    """Return the figures of each contract's window that was measured last, and what waits for a person."""
    found = list[MeasuredFigure]()
    with engine.connect() as connection:
        tables = sa.inspect(connection)
        if tables.has_table(measurements.name):
            contracts = connection.execute(sa.select(measurements.c.contract).distinct()).scalars()
            for contract in contracts.all():
                rows = latest_measurements(engine, contract)
                newest = {(row["name"], row["about"]): row for row in rows}  # a series may be told once
                found += map(MeasuredFigure.model_validate, newest.values())
        return found + (_asked(connection) if tables.has_table(history.name) else [])


def _asked(connection: sa.Connection) -> list[MeasuredFigure]:
    """Return the versions that a person is asked about, where nothing was decided of their model since."""
    table = history.c
    newest = sa.select(table.model, sa.func.max(table.entry).label("entry")).group_by(table.model).subquery()
    last = sa.and_(table.model == newest.c.model, table.entry == newest.c.entry)
    query = sa.select(table.model, table.version, table.at).join(newest, last).where(table.event == ASKED)
    return [
        MeasuredFigure(contract=model, model_version=version, at=at, name=ASKED)
        for model, version, at in connection.execute(query)
    ]


INTERVAL = 0.5  # seconds between two looks at the spool
LONGEST_PAUSE = 5.0  # seconds between two tries while the database is away
PATIENCE = 1.0  # seconds for a locked database, at each try
PURGE_EVERY = 3_600.0  # seconds
TELL_EVERY = 15.0  # seconds, as often as Prometheus asks
NICENESS = 10  # answers come first

log = logging.getLogger("gradecast.drain")


class Drainer:
    """Drains, purges and tells what was measured, and says once when it cannot and once when it can again."""

    def __init__(self, settings: LogSettings) -> None:
        """Raises BadInput where the log's URL cannot be used."""
        self._settings, self._engine = settings, open_log(settings.database_url, patience=PATIENCE)
        self._failures, self._purged, self._told = 0, float("-inf"), float("-inf")

    def try_once(self) -> bool:
        """Drain what there is; return whether it worked."""
        try:
            drained = drain(self._engine, self._settings.spool)
            self._purge()
            self._tell_measured()
        except (sa.exc.SQLAlchemyError, OSError) as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("the log's database cannot be written, the spool keeps it all: %s", _why(error))
            return False
        if self._failures:
            log.warning("the log's database is written again, after %d tries", self._failures)
        if drained.refused:
            log.error("%d entries were refused; they are in %s", drained.refused, self._settings.spool)
        self._failures = 0
        return True

    @property
    def pause(self) -> float:
        """Seconds to wait before the next try."""
        return min(INTERVAL * 2 ** min(self._failures, 10), LONGEST_PAUSE)

    def _tell_measured(self) -> None:
        """Write what was measured last for the workers' /metrics, if it is time."""
        now = time.monotonic()
        if now - self._told >= TELL_EVERY:
            write_measured(self._settings.home, measured_last(self._engine))
            self._told = now

    def _purge(self) -> None:
        now, days = time.monotonic(), self._settings.retention_days
        if days and now - self._purged >= PURGE_EVERY:
            with self._engine.connect() as connection:
                create_tables(connection)
            try:
                gone = purge_unwatched(self._engine, self._settings.spool, days)
            except BadInput as doubt:
                log.error("%s", doubt)
            else:
                if any(gone):
                    log.info("purged what is older than %d days: %r", days, gone)
            self._purged = now


def main(arguments: Sequence[str] | None = None) -> int:
    """Drain until told to stop, then once more; exit 1 where that did not work, 2 for a bad setting."""
    parser = argparse.ArgumentParser(prog="python -m serving.drain", description=__doc__)
    parser.add_argument("--once", action="store_true", help="drain what there is, and end")
    once = parser.parse_args(arguments).once
    log_json_lines()
    log.setLevel(logging.INFO)
    settings = LogSettings.from_environment()
    if settings.id_key == PUBLIC_KEY:
        log.warning("GRADECAST_ID_KEY is not set: ids are logged by a hash that anyone can repeat")
    try:
        drainer = Drainer(settings)
    except BadInput as error:
        log.error("%s", error)
        return 2
    return _run(drainer, once=once)


def _run(drainer: Drainer, *, once: bool) -> int:
    stop = threading.Event()
    if not once:
        os.nice(NICENESS)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as a terminal's is beside the workers
            signal.signal(signal.SIGINT, lambda *_: stop.set())
        end_when_told(lambda *_: stop.set())
        while not stop.wait(drainer.pause):
            drainer.try_once()
    return 0 if drainer.try_once() else 1


def _why(error: Exception) -> str:
    """Return what went wrong without the statement, whose values are a student's."""
    return str(getattr(error, "orig", None) or type(error).__name__)


if __name__ == "__main__":
    sys.exit(main())
