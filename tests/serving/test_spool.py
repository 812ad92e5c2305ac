"""What a worker writes down: whole, at once, without waiting for anyone."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from data.log.entries import read_entry
from data.log.spool import Spool, SpoolError, backlog, drained_alone, keep_lines, take, whole_lines
from tests.contract.logged import asked
from tests.serving.running import wait_until
from tests.serving.spooling import Home, end


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


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
