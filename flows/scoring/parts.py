"""A roster scored in parts, each on disk as it is done: a run that is killed goes on where it stopped."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from data.bundle import Bundle
from data.log_database import create_tables, insert_missing
from data.log_tables import predictions
from flows.reports.progress import OnDone
from flows.scoring.forecasts import Forecasts, forecast
from flows.scoring.rosters import ROWS, Roster
from flows.support.workspace import finished_file

LOGGED_AT_ONCE = 5_000


class Tally(BaseModel):
    """How many rows there were, how many had an error, and how many parts were there already."""

    model_config = ConfigDict(frozen=True)

    rows: int = 0
    errors: int = 0
    parts: int = 0
    reused: int = 0


class Scorer:
    """One model version that scores the parts of one roster."""

    def __init__(self, bundle: Bundle, version: str, key: str, log: sa.Engine | None) -> None:
        """Score with a bundle; what is answered goes into the log's database, if one is given."""
        self._bundle, self._version, self._key, self._log = bundle, version, key, log

    def score(self, chunk: pa.Table, seed: str) -> Forecasts:
        """Return a chunk's forecasts, written down already."""
        found = forecast(chunk, self._bundle, self._version, seed)
        if self._log is not None and len(found.places):
            entries = found.entries(self._key)
            with self._log.connect() as connection:
                for start in range(0, len(entries), LOGGED_AT_ONCE):
                    insert_missing(connection, predictions, entries[start : start + LOGGED_AT_ONCE])
        return found


def score_parts(roster: Roster, folder: Path, scorer: Scorer, on_progress: OnDone) -> Tally:
    """Score each chunk that has no part in the folder yet, and return the tally of all.

    A part is named for its place and its rows' digest: where the roster has changed, it is scored anew.
    """
    rows = errors = reused = 0
    parts: list[Path] = []
    total = max(1, -(-roster.rows // ROWS))
    for place, chunk in enumerate(roster.chunks()):
        seed = f"{folder.name}-{place:06d}-{digest_of(chunk)}"
        path = folder / f"{place:06d}-{seed[-16:]}.parquet"
        if path.exists():
            reused += 1
        else:
            _write_part(path, chunk, scorer.score(chunk, seed))
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
        rows, errors = rows + len(chunk), errors + int(metadata[b"errors"])
        parts.append(path)
        on_progress(len(parts), max(total, len(parts)))
    for stale in set(folder.glob("*.parquet")) - set(parts):
        stale.unlink()
    return Tally(rows=rows, errors=errors, parts=len(parts), reused=reused)


def read_parts(folder: Path) -> Iterator[pa.Table]:
    """Yield the parts in the roster's order."""
    for path in sorted(folder.glob("*.parquet")):
        yield pyarrow.parquet.read_table(path)


def digest_of(chunk: pa.Table) -> str:
    """Return a digest of a chunk's rows and columns, the same for equal cells: 16 hex digits."""
    written = pa.BufferOutputStream()
    fresh = chunk.take(pa.array(range(len(chunk))))  # a slice may bring bytes of its neighbours along
    with pa.ipc.new_stream(written, fresh.schema) as writer:
        writer.write_table(fresh.combine_chunks())
    return hashlib.sha256(written.getvalue()).hexdigest()[:16]


def _write_part(path: Path, chunk: pa.Table, found: Forecasts) -> None:
    added = found.added()
    table = chunk
    for name in added.column_names:
        table = table.append_column(name, added[name])
    table = table.replace_schema_metadata({"errors": str(found.bad)})
    finished_file(path, lambda draft: pyarrow.parquet.write_table(table, draft, compression="lz4"))


def open_tables(engine: sa.Engine) -> sa.Engine:
    """Return the log's database with its tables made."""
    with engine.connect() as connection:
        create_tables(connection)
    return engine
