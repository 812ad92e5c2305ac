"""The promotion history: entries are only ever added, and each one's digest covers the one before.

Whoever changes, inserts or removes an entry must rewrite all that follow, and then the newest digest is
another than the registry has noted: an auditor sees either.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from data.log.database import create_tables, history

Event = Literal["asked", "promoted", "rejected", "rolled back"]
"""`asked`: a version has won, and a person is asked whether it may become the champion."""


class Decision(BaseModel):
    """What was decided of a version, by whom or what, and on which evidence.

    `at` tells decisions of a model apart: the same one is never recorded twice.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    event: Event
    version: str
    """The version that was asked about, promoted, rejected or rolled back."""
    champion: str | None
    """The champion after it."""
    by: str
    reason: str
    evidence: dict[str, Any] = Field(default_factory=dict)
    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


class Entry(Decision):
    """A decision as it is recorded."""

    entry: int
    """1, 2, 3, … for each model."""
    digest: str
    """SHA-256 of this entry and of the digest before it."""


def append(engine: sa.Engine, decision: Decision) -> Entry:
    """Record a decision, unless it is recorded already, and return its entry.

    The table is made if need be. Raises SQLAlchemy's errors where the database does not answer.
    """
    with engine.connect() as connection:
        create_tables(connection)
    while True:
        known = read(engine, decision.model)
        same = next((entry for entry in known if entry.at == decision.at), None)
        if same is not None:
            return same
        entry = _sealed(decision, known[-1] if known else None)
        try:
            with engine.begin() as connection:
                connection.execute(sa.insert(history).values(entry.model_dump()))
        except sa.exc.IntegrityError:  # another process took the number: this one comes after it
            continue
        return entry


def read(engine: sa.Engine, model: str | None = None) -> list[Entry]:
    """Return the entries of one model, or of all, oldest first; none where nothing was ever recorded."""
    if not sa.inspect(engine).has_table(history.name):
        return []
    query = sa.select(history).order_by(history.c.model, history.c.entry)
    if model is not None:
        query = query.where(history.c.model == model)
    with engine.connect() as connection:
        return [Entry.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def verify(entries: Sequence[Entry], newest: tuple[int, str] | None = None) -> list[str]:
    """Return what is wrong with one model's entries, oldest first: empty when the chain is whole.

    `newest` is the number and the digest of the last entry, as they were noted elsewhere: without it,
    entries that are missing at the end are not seen.
    """
    faults, before = [], None
    for entry in entries:
        expected = before.entry + 1 if before is not None else 1
        if entry.entry != expected:
            faults.append(f"{entry.entry - expected} missing before entry {entry.entry}")
        elif _digest(entry, before) != entry.digest:
            faults.append(f"entry {entry.entry}, or the one before it, is not as it was written")
        before = entry
    last = (before.entry, before.digest) if before is not None else None
    if newest is not None and newest != last:
        faults.append(f"it does not end with entry {newest[0]}, which the registry has noted as the newest")
    return faults


def _sealed(decision: Decision, before: Entry | None) -> Entry:
    """Return a decision as the next entry."""
    plain = decision.model_dump() | {"evidence": _plain(decision.evidence)}
    number = before.entry + 1 if before is not None else 1
    entry = Entry.model_validate({**plain, "entry": number, "digest": ""})
    return entry.model_copy(update={"digest": _digest(entry, before)})


def _digest(entry: Entry, before: Entry | None) -> str:
    """Return the SHA-256 of an entry's canonical JSON and of the digest before it."""
    parts = entry.model_dump(exclude={"digest"}) | {"at": entry.at.astimezone(UTC).isoformat()}
    parts |= {"evidence": _plain(entry.evidence), "before": before.digest if before is not None else ""}
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value of JSON as every database gives it back: all numbers floats, none that is no number."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) + 0.0  # and -0.0 is 0.0
        return number if abs(number) < float("inf") else None
    return value
