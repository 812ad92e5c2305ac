import signal
import subprocess
import sys
import time
from functools import partial
from operator import mul
from pathlib import Path

import pytest

from flows.training.search import run

WORK_FOR_EVER = """
import os, sys, time
from functools import partial
from pathlib import Path
from flows.training.search import run

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)

run([partial(work, sys.argv[1])] * 2, jobs=2)
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_answers_come_in_the_order_of_the_work_and_are_told_as_they_come(jobs: int) -> None:
    told: list[tuple[int, int]] = []
    answers = run([partial(mul, n, n) for n in range(5)], jobs, lambda *told_: told.append(told_))

    assert answers == [0, 1, 4, 9, 16]
    assert [count for count, _ in told] == [1, 2, 3, 4, 5]
    assert sorted(answer for _, answer in told) == answers


def test_workers_end_in_the_middle_of_their_work_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", WORK_FOR_EVER, tmp_path], stderr=subprocess.DEVNULL)
    while len(workers := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        assert parent.poll() is None
        time.sleep(0.1)

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    while any(is_running(pid) for pid in workers):  # the suite's time limit ends this if they stay
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")
