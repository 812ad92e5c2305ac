"""From the spool into the database: whatever is killed, locked or away, nothing answered is lost or twice."""

import fcntl
import os
import random
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from data.log.database import drain
from data.log.spool import REFUSED, TAKEN, Spool, backlog, drained_alone, spooled, take
from serving.processes import Sidecar
from tests.contract.logged import asked, came
from tests.serving.running import PATIENCE, wait_until
from tests.serving.spooling import Home, Process, end


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def append(home: Home, *entries: dict[str, object]) -> None:
    spool = Spool(home.spool)
    spool.append(entries)
    spool.close()


def files(home: Home) -> list[str]:
    return [path.name for path in home.spool.iterdir() if path.name != ".lock"]


def test_a_drainer_killed_between_insert_and_removal_inserts_nothing_twice(home: Home) -> None:
    append(home, *(asked() for _ in range(2_499)), came("C", "1001"))
    with drained_alone(home.spool):
        (path,) = take(home.spool)
    as_it_was = Path(shutil.copy(path, home.path))
    drain(home.log(), home.spool)
    shutil.move(as_it_was, path)
    assert drain(home.log(), home.spool) == (2_500, 0)
    assert set(home.logged().values()) == {1}
    assert len(home.logged()) == 2_499
    assert files(home) == []
    assert backlog(home.path).files == 0


def test_a_drainer_that_is_ended_while_it_starts_drains_what_there_is(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(home, asked(), asked())
    monkeypatch.setenv("GRADECAST_HOME", str(home.path))
    drainer = Sidecar("serving.drain")
    drainer.restart(0)
    drainer.end()
    drainer.wait(PATIENCE)
    assert len(home.logged()) == 2
    assert files(home) == []


def test_a_last_line_that_a_killed_worker_left_unfinished_is_dropped(home: Home) -> None:
    append(home, asked(), asked())
    (path,) = home.spool.glob("*.jsonl")
    os.truncate(path, path.stat().st_size - 7)
    assert drain(home.log(), home.spool) == (1, 0)
    assert files(home) == []


def test_a_line_that_is_no_entry_is_set_aside_with_its_reason(home: Home) -> None:
    append(home, asked(), {"kind": "prediction"}, {**asked(), "at": "yesterday"}, asked())
    assert drain(home.log(), home.spool) == (4, 2)
    assert len(home.logged()) == 2
    assert files(home) == [REFUSED]
    reasons = [orjson.loads(line)["reason"] for line in (home.spool / REFUSED).read_bytes().splitlines()]
    assert "prediction_id" in reasons[0]
    assert "datetime" in reasons[1]


def test_a_worker_that_is_stopped_does_not_stop_the_drainer(home: Home) -> None:
    append(home, asked())
    (held,) = home.spool.glob("*.jsonl")
    append(home, asked())
    with held.open("rb") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        assert drain(home.log(), home.spool) == (1, 0)
    assert drain(home.log(), home.spool) == (1, 0)


def test_while_the_database_is_locked_the_spool_keeps_all(home: Home) -> None:
    append(home, asked())
    drain(home.log(), home.spool)
    with home.locked():
        append(home, asked())
        for _ in range(2):
            with pytest.raises(sa.exc.OperationalError, match="locked"):
                drain(home.log(), home.spool)
            append(home, asked())
        assert len(spooled(home.spool, TAKEN)) == 1, "no more is taken before that is drained"
    assert drain(home.log(), home.spool) == (3, 0)
    assert len(home.logged()) == 4


def test_while_the_database_is_away_the_spool_keeps_all(home: Home) -> None:
    append(home, asked())
    away = home.path / "away"
    with pytest.raises(sa.exc.OperationalError, match="unable to open"):
        drain(sa.create_engine(f"sqlite:///{away}/predictions.db"), home.spool)
    home.database.write_bytes(b"this is no database, " * 100)
    with pytest.raises(sa.exc.DatabaseError, match="not a database"):
        drain(home.log(), home.spool)
    home.database.unlink()
    assert drain(home.log(), home.spool) == (1, 0)


def test_a_database_that_was_replaced_while_the_drainer_ran_is_written(home: Home) -> None:
    log = home.log()
    append(home, asked())
    drain(log, home.spool)
    home.database.unlink()
    append(home, asked())
    drain(log, home.spool)
    assert len(home.logged()) == 1


def test_the_drainer_brings_all_that_was_answered_before_it_ends(home: Home) -> None:
    drainer = home.drainer()
    append(home, asked())
    wait_until(lambda: home.database.exists() and backlog(home.path).files == 0, "it is drained")
    append(home, asked())
    drainer.send_signal(signal.SIGTERM)
    assert "GRADECAST_ID_KEY is not set" in end(drainer)
    assert drainer.returncode == 0
    assert len(home.logged()) == 2


def test_one_drain_says_by_its_exit_code_whether_it_worked(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(home, asked())
    drain(home.log(), home.spool)
    append(home, asked())
    with home.locked():
        drainer = home.drainer("--once")
        assert "the spool keeps it all: database is locked" in end(drainer)
        assert drainer.returncode == 1
    assert end(home.drainer("--once"))
    assert len(home.logged()) == 2
    monkeypatch.setenv("GRADECAST_LOG_URL", "mysql://host/name")
    drainer = home.drainer("--once")
    assert "SQLite or PostgreSQL, not in mysql" in end(drainer)
    assert drainer.returncode == 2


def days_ago(*days: int) -> list[dict[str, object]]:
    return [asked(at=datetime.now(UTC) - timedelta(days=number)) for number in days]


def test_the_drainer_purges_what_is_past_its_time_and_says_so(home: Home) -> None:
    append(home, *days_ago(900, 731, 729, 400, 100, 0))
    assert "purged what is older than 730 days: Removed(predictions=2" in end(home.drainer("--once"))
    assert len(home.logged()) == 4


@pytest.mark.parametrize("since", [(), (2, 1, 0)], ids=["nothing asked since", "asked since"])
def test_a_clock_that_is_years_ahead_purges_nothing_and_says_what_to_do(
    home: Home, since: tuple[int, ...]
) -> None:
    append(home, *days_ago(1_300, 1_200, 1_096, *since))
    said = end(home.drainer("--once"))
    assert len(home.logged()) == 3 + len(since)
    assert "nothing older is purged" in said
    assert "Set the clock if it is wrong; else run `python -m data.log purge`" in said


@pytest.mark.parametrize("rounds", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_answered_is_lost_or_twice_when_all_are_killed(home: Home, rounds: int) -> None:
    kill_all_the_time(home, random.Random(7), rounds)


@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_nothing_answered_is_lost_while_the_database_is_locked_under_load(home: Home, seconds: int) -> None:
    lock_under_load(home, seconds)


def kill_all_the_time(home: Home, chance: random.Random, rounds: int) -> None:
    """Kill two writers at any moment and the drainer while it drains, over and over; then drain in peace."""
    in_the_middle = 0
    for number in range(rounds):
        first, second = (home.writer(f"{number}-{side}", 1_000_000) for side in "ab")
        drainer = home.drainer()
        for side in "ab":
            wait_until((home.path / f"answered-{number}-{side}").exists, "both write")
        kill(first, after=chance.uniform(0, 0.3))
        wait_while_nothing_is_drained(home)
        kill(drainer, after=chance.uniform(0, 0.02))
        in_the_middle += bool(spooled(home.spool, TAKEN))
        kill(second, after=chance.uniform(0, 0.3))
    assert in_the_middle
    assert end(home.drainer("--once"))
    assert len(home.answered()) > 50 * rounds
    assert home.missing() == set()
    assert set(home.logged().values()) == {1}
    assert files(home) == []


def kill(process: Process, after: float) -> None:
    time.sleep(after)
    process.kill()
    end(process)


def wait_while_nothing_is_drained(home: Home) -> None:
    """Wait without a pause, for a file is drained within milliseconds."""
    latest = time.monotonic() + PATIENCE
    while not spooled(home.spool, TAKEN):
        assert time.monotonic() < latest, "nothing is drained"


def lock_under_load(home: Home, seconds: float) -> None:
    """Lock the database while two writers answer at a steady rate and the drainer runs."""
    append(home, asked())
    assert end(home.drainer("--once"))
    drainer = home.drainer()
    writers = [home.writer(side, 1_000_000, 0.002) for side in "ab"]
    wait_until(lambda: len(home.logged()) > 20, "some are drained")
    with home.locked():
        before = len(home.answered())
        time.sleep(seconds)
        assert len(home.answered()) - before > 40 * seconds, "nobody waited for the database"
    for writer in writers:
        writer.kill()
        end(writer)
    wait_until(lambda: backlog(home.path).files == 0, "the backlog is drained")
    drainer.send_signal(signal.SIGTERM)
    said = end(drainer)
    assert "is written again" in said
    assert home.missing() == set()
