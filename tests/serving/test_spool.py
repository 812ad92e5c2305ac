"""The spool: what a worker writes down is whole, and gets into the database once, whatever is killed."""

import fcntl
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from data.log.database import drain
from data.log.entries import read_entry
from data.log.spool import (
    REFUSED,
    TAKEN,
    Spool,
    SpoolError,
    backlog,
    drained_alone,
    keep_lines,
    spooled,
    take,
    whole_lines,
)
from serving.processes import Sidecar
from tests.contract.logged import asked, came
from tests.serving.running import PATIENCE, wait_until
from tests.serving.spooling import Home, Process, end


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def spool(home: Home) -> Iterator[Spool]:
    made = Spool(home.spool)
    yield made
    made.close()


def written(home: Home) -> list[dict[str, Any]]:
    files = [path for path in sorted(home.spool.iterdir()) if path.suffix in (".jsonl", ".taken")]
    return [orjson.loads(line) for path in files for line in path.read_bytes().splitlines()]


def test_entries_are_whole_lines_in_their_order(home: Home, spool: Spool) -> None:
    first, second, third = asked(), asked(), asked()
    third["record"] = {"Age": 10**30}  # more than 64 bits
    spool.append([])
    assert not home.spool.exists(), "nothing is made before something is answered"
    spool.append([first, second])
    spool.append([third])
    ids = [entry["prediction_id"] for entry in written(home)]
    assert ids == [entry["prediction_id"] for entry in (first, second, third)]
    (path,) = home.spool.iterdir()
    read: list[Any] = [read_entry(line) for line in whole_lines(path)]
    assert [entry["at"] for entry in read] == [first["at"], second["at"], third["at"]]
    assert read[2]["record"] == third["record"]
    assert path.stat().st_mode & 0o077 == 0, "nobody else may read it"


def test_a_file_is_taken_once_its_worker_has_let_go_of_it(home: Home, spool: Spool) -> None:
    spool.append([asked()])
    with drained_alone(home.spool):
        assert take(home.spool) == []
        spool.close()
        (path,) = take(home.spool)
    spool.append([asked()])
    assert len(list(whole_lines(path))) == 1
    assert len(written(home)) == 2


def test_an_idle_worker_lets_go_of_its_file_by_itself(home: Home, spool: Spool) -> None:
    spool.append([asked()])
    wait_until(lambda: len(drained(home)) == 1, "it is let go of")
    spool.append([asked()])
    wait_until(lambda: len(drained(home)) == 1, "it is let go of again")


def test_a_worker_writes_on_when_somebody_removed_the_folder(home: Home, spool: Spool) -> None:
    spool.append([asked()])
    spool.close()
    shutil.rmtree(home.spool)
    spool.append([asked()])
    assert len(written(home)) == 1


def test_threads_share_a_spool_while_it_is_drained(home: Home, spool: Spool) -> None:
    lines = []
    with ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(append_often, spool) for _ in range(4)]
        while not all(one.done() for one in writing):
            lines += drained(home)
        for one in writing:
            one.result()
    spool.close()
    lines += drained(home)
    assert len(lines) == 3_600
    assert all(read_entry(line) for line in lines)


def append_often(spool: Spool) -> None:
    for number in range(300):
        spool.append([asked()] * 3)
        if number % 20 == 0:
            spool.close()


def drained(home: Home) -> list[bytes]:
    lines = []
    with drained_alone(home.spool):
        for path in take(home.spool):
            lines += list(whole_lines(path))
            path.unlink()
    return lines


def test_a_spool_made_before_a_fork_is_fit_for_both(home: Home, spool: Spool) -> None:
    spool.append([asked("1")])
    child = os.fork()
    if child == 0:
        spool.append([asked("2")])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    spool.append([asked("1")])
    sizes = sorted(len(path.read_bytes().splitlines()) for path in home.spool.iterdir())
    assert sizes == [1, 2]


def test_a_file_that_may_not_grow_leaves_whole_lines_and_says_so(home: Home) -> None:
    said = end(home.writer("one", 30, GRADECAST_TEST_MOST_BYTES="3000"))
    answered = home.answered()
    assert "no space left" in said
    assert 0 < len(answered) < 30
    assert {entry["prediction_id"] for entry in written(home)} == set(answered)


def append_until_it_fails(spool: Spool, kept: list[str]) -> None:
    while True:
        entry = asked()
        spool.append([entry])
        kept.append(entry["prediction_id"])


def test_a_full_disk_is_an_error_until_there_is_room_again(small_disk: Path) -> None:
    home = Home(small_disk)
    spool = Spool(home.spool)
    kept: list[str] = []
    with pytest.raises(SpoolError, match=r"[Nn]o space left"):
        append_until_it_fails(spool, kept)
    assert [entry["prediction_id"] for entry in written(home)] == kept
    spool.close()
    drained(home)
    spool.append([asked()])
    assert len(written(home)) == 1
    spool.close()


def test_the_backlog_is_what_the_database_does_not_have(home: Home, spool: Spool) -> None:
    assert backlog(home.path) == (0, 0, 0)
    spool.append([asked()])
    spool.close()
    with drained_alone(home.spool):
        take(home.spool)
    spool.append([asked()])
    time.sleep(0.01)
    waiting = backlog(home.path)
    assert waiting.files == 2
    assert waiting.bytes == sum(path.stat().st_size for path in home.spool.iterdir())
    assert waiting.oldest_seconds > 0.01


def test_lines_are_taken_out_of_a_file_whole_or_not_at_all(home: Home, spool: Spool) -> None:
    spool.append([asked("1"), asked("2"), asked("1")])
    (path,) = home.spool.iterdir()
    second = path.read_bytes().splitlines(keepends=True)[1]
    assert keep_lines(path, lambda line: True) == 0
    assert keep_lines(path, lambda line: line == second) == 2
    assert path.read_bytes() == second
    assert list(home.spool.iterdir()) == [path]


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
