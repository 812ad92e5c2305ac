"""A roster scored in parts, each on disk as it is done: a run that is killed goes on where it stopped."""

import hashlib
import threading
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from data.bundle.bundle import Bundle
from data.log.database import create_tables, insert_forecasts, open_log
from data.words import plural
from flows.runtime.engine import Engine, in_order
from flows.runtime.progress import OnDone
from flows.runtime.workspace import finished_file
from flows.scoring.forecasts import ChunkForecasts, forecast, log_columns
from flows.scoring.rosters import RosterSource

SUFFIX = ".arrow"
ERRORS = b"errors"
REASONS = 5  # that are told
ONE_WRITER = threading.Lock()  # SQLite would have the others ask again and again


class ScoreTally(BaseModel):
    """How many rows there were, how many had an error and why, and how many parts were there already."""

    model_config = ConfigDict(frozen=True)

    rows: int = 0
    errors: int = 0
    parts: int = 0
    reused: int = 0
    reasons: dict[str, int] = {}

    def commonest(self) -> str:
        """Say the commonest reasons with the rows of each: "Absences: missing (120 rows), …"."""
        ranked = sorted(self.reasons.items(), key=lambda item: -item[1])
        said = [f"{reason} ({plural(rows, 'row')})" for reason, rows in ranked[:REASONS]]
        return ", ".join([*said, "…"] if len(ranked) > REASONS else said)


@dataclass(frozen=True)
class PartScorer:
    """What it takes to score a part, wherever that is done: where the model is, and where the log."""

    bundle: Path
    version: str
    key: str = field(repr=False)
    log_url: str | None = field(default=None, repr=False)
    elapsed: float | None = None
    """How much of the period has passed, for rows that do not say it themselves."""


@dataclass(frozen=True)
class ScoredPart:
    """A part that is on disk: its rows, those with an error, and whether an earlier run had left it."""

    path: Path
    rows: int
    errors: int
    reused: bool

    def read(self) -> pa.Table:
        """Return its rows with their forecasts."""
        with pa.memory_map(str(self.path)) as file:
            return pa.ipc.open_file(file).read_all()


class Parts:
    """The parts of a roster in its order, each as soon as it is scored; and what they add up to."""

    def __init__(
        self, roster: RosterSource, folder: Path, scorer: PartScorer, engine: Engine, jobs: int = 1
    ) -> None:
        """Score the chunks of a roster that have no part in the folder yet, on an engine."""
        self._roster, self._folder, self._scorer = roster, folder, scorer
        self._engine, self._jobs = engine, jobs
        self.tally = ScoreTally()

    def tables(self, on_progress: OnDone) -> Generator[pa.Table]:
        """Yield each part's rows with their forecasts; in the end remove the parts of rows that changed."""
        done: set[Path] = set()
        chunks = enumerate(self._roster.chunks())
        work = ((self._folder, place, chunk, self._scorer) for place, chunk in chunks)
        # In threads: nearly all of the time is spent in what does not hold Python's lock.
        for part in in_order(score_part, work, self._engine, self._jobs, threads=True):
            done.add(part.path)
            rows = part.read()
            self.tally = _added(self.tally, part, rows)
            on_progress(len(done), max(self._roster.parts, len(done)))
            yield rows
        for stale in set(self._folder.glob(f"*{SUFFIX}")) - done:
            stale.unlink()


def _added(tally: ScoreTally, part: ScoredPart, rows: pa.Table) -> ScoreTally:
    reasons = Counter(tally.reasons)
    if part.errors:
        for one in pc.value_counts(rows["error"]).to_pylist():
            reasons.update(dict.fromkeys(one["values"].split("; ") if one["values"] else (), one["counts"]))
    return ScoreTally(
        rows=tally.rows + part.rows,
        errors=tally.errors + part.errors,
        parts=tally.parts + 1,
        reused=tally.reused + part.reused,
        reasons=dict(reasons),
    )


def score_part(folder: Path, place: int, chunk: pa.Table, scorer: PartScorer) -> ScoredPart:
    """Score one chunk into the folder, unless its part is there, and write down what was answered.

    A part is named for its place and its rows' digest: where the roster has changed, it is scored anew.
    """
    seed = f"{folder.name}-{place:06d}-{digest_of(chunk)}"
    path = folder / f"{place:06d}-{seed[-16:]}{SUFFIX}"
    errors = _errors_in(path)
    if errors is not None:
        return ScoredPart(path, len(chunk), errors, reused=True)
    found = forecast(chunk, open_bundle(scorer.bundle), scorer.version, seed, scorer.elapsed)
    if scorer.log_url is not None and len(found.places):
        entries = log_columns(found, scorer.key)
        with ONE_WRITER, _log(scorer.log_url).connect() as connection:
            insert_forecasts(connection, entries)
    _write_part(path, chunk, found)
    return ScoredPart(path, len(chunk), found.bad, reused=False)


@lru_cache(maxsize=1)
def open_bundle(folder: Path) -> Bundle:
    """Return a bundle; opened once in a process that scores many parts with it."""
    return Bundle.load(folder)


@lru_cache(maxsize=1)
def _log(url: str) -> sa.Engine:
    return open_log(url)


def make_log(url: str) -> None:
    """Make the tables of the log before many write into them."""
    with open_log(url).connect() as connection:
        create_tables(connection)


def digest_of(chunk: pa.Table) -> str:
    """Return a digest of a chunk's rows and columns, the same for equal cells: 16 hex digits."""
    written = pa.BufferOutputStream()
    fresh = chunk.take(pa.array(range(len(chunk))))  # a slice may bring bytes of its neighbours along
    with pa.ipc.new_stream(written, fresh.schema) as writer:
        writer.write_table(fresh.combine_chunks())
    return hashlib.sha256(written.getvalue()).hexdigest()[:16]


def _errors_in(path: Path) -> int | None:
    """Return how many rows of a part have an error; None where it is not there, or not whole."""
    try:
        with pa.memory_map(str(path)) as file:
            return int((pa.ipc.open_file(file).schema.metadata or {})[ERRORS])
    except (OSError, pa.ArrowInvalid):
        return None


def _write_part(path: Path, chunk: pa.Table, found: ChunkForecasts) -> None:
    added = found.added()
    table = chunk
    for name in added.column_names:
        table = table.append_column(name, added[name])
    table = table.combine_chunks().replace_schema_metadata({ERRORS: str(found.bad)})
    finished_file(path, lambda draft: _write(table, draft))


def _write(table: pa.Table, path: Path) -> None:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
        writer.write_table(table)
