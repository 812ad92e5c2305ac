"""The promotion history: what is added stays, and what is changed is seen."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from data.log.database import history, open_log
from data.log.history import Decision, Event, append, read, verify

MODEL = "grade-class"
EVIDENCE = {"difference": -0.05, "rows": 116, "group Gender=Female": 1e22, "none": None, "sure": True}


def decision(version: int, event: Event = "promoted", model: str = MODEL) -> Decision:
    return Decision(
        model=model,
        event=event,
        version=str(version),
        champion=str(version),
        by="Ms Müller",
        reason="better",
        evidence=EVIDENCE,
        at=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=version, microseconds=7),
    )


@pytest.fixture
def log(log: sa.Engine) -> sa.Engine:
    """A database with five entries, of either kind."""
    for version in range(1, 6):
        append(log, decision(version))
    return log


def test_an_entry_is_read_as_it_was_appended(log: sa.Engine) -> None:
    entry = read(log, MODEL)[1]
    assert (entry.entry, entry.version, entry.by, entry.at) == (2, "2", "Ms Müller", decision(2).at)
    assert entry.evidence == EVIDENCE
    assert verify(read(log, MODEL), (5, read(log, MODEL)[-1].digest)) == []


def test_a_decision_is_recorded_once_however_often_it_is_appended(log: sa.Engine) -> None:
    assert append(log, decision(3)).entry == 3
    assert len(read(log)) == 5


def test_each_model_has_a_chain_of_its_own(log: sa.Engine) -> None:
    assert append(log, decision(1, model="pass-fail")).entry == 1
    assert verify(read(log, "pass-fail")) == verify(read(log, MODEL)) == []
    assert len(read(log)) == 6


def test_where_nothing_was_ever_recorded_there_is_no_entry(tmp_path: Path) -> None:
    engine = open_log(f"sqlite:///{tmp_path / 'empty.db'}")
    assert read(engine) == []
    assert verify([]) == []


def test_a_number_that_is_none_is_recorded_as_missing(log: sa.Engine) -> None:
    odd = decision(9).model_copy(update={"evidence": {"p": float("nan"), "high": float("inf"), "low": -0.0}})
    append(log, odd)
    assert read(log, MODEL)[-1].evidence == {"p": None, "high": None, "low": 0.0}
    assert verify(read(log, MODEL)) == []


def change_a_reason(connection: sa.Connection) -> None:
    connection.execute(sa.update(history).where(history.c.entry == 3).values(reason="because"))


def change_some_evidence(connection: sa.Connection) -> None:
    evidence = {**EVIDENCE, "difference": -0.5}
    connection.execute(sa.update(history).where(history.c.entry == 3).values(evidence=evidence))


def remove_one(connection: sa.Connection) -> None:
    connection.execute(sa.delete(history).where(history.c.entry == 3))


def remove_the_first(connection: sa.Connection) -> None:
    connection.execute(sa.delete(history).where(history.c.entry == 1))


def remove_the_last(connection: sa.Connection) -> None:
    connection.execute(sa.delete(history).where(history.c.entry == 5))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (change_a_reason, "entry 3, or the one before it, is not as it was written"),
        (change_some_evidence, "entry 3, or the one before it, is not as it was written"),
        (remove_one, "1 missing before entry 4"),
        (remove_the_first, "1 missing before entry 2"),
        (remove_the_last, "it does not end with entry 5"),
    ],
)
def test_whoever_changes_the_record_is_seen(
    log: sa.Engine, change: Callable[[sa.Connection], None], says: str
) -> None:
    newest = (5, read(log, MODEL)[-1].digest)
    with log.begin() as connection:
        change(connection)
    faults = verify(read(log, MODEL), newest)
    assert len(faults) == 1
    assert faults[0].startswith(says)


def test_several_that_append_at_once_make_one_chain(log: sa.Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda version: append(log, decision(version)), range(10, 26)))
    entries = read(log, MODEL)
    assert [entry.entry for entry in entries] == list(range(1, 22))
    assert verify(entries) == []
