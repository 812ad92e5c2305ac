"""A full disk, end to end: the predictor lives and says 503, starts all the same, and goes on with room."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from data.log.spool import backlog
from tests.serving.running import Running, running, wait_until

Student = dict[str, Any]


def fill(disk: Path) -> Path:
    """Leave no byte of a disk free; return the file that takes them all."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4_096)):
            pass
    assert shutil.disk_usage(disk).free == 0
    return ballast


def assert_lives_without_room(server: Running, student: Student) -> None:
    """It answers all that needs no room, by routes and with statuses that were not counted before, too."""
    assert server.get("/health/live")[0] == 200
    for _ in range(20):  # both workers
        status, answer = server.post("/predict", student)
        assert status == 503
        assert "cannot be written down" in answer["detail"]
        assert server.post("/predict", {})[0] == 422
        assert server.get("/nowhere")[0] == 404
    assert "gradecast_log_backlog_files" in server.text("/metrics")


def test_a_full_disk_ends_no_process_and_room_is_enough_to_go_on(
    small_disk: Path, bundle_folder: Path, tmp_path: Path, student: Student
) -> None:
    home, elsewhere = small_disk / "home", f"sqlite:///{tmp_path}/predictions.db"  # it frees what it drains
    variables = {"GRADECAST_MODEL_URI": bundle_folder, "GRADECAST_LOG_URL": elsewhere}
    with running(home, **variables) as server:
        wait_until(lambda: server.ready()[0] == 200, "there is a model")
        assert server.post("/predict", student)[0] == 200
        wait_until(lambda: backlog(home).files == 0 and len(server.workers()) == 2, "all is drained")
        ballast, workers = fill(small_disk), server.workers()
        assert_lives_without_room(server, student)
        assert server.workers() == workers, "no worker has died"
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: len(set(server.workers()) - {workers[0]}) == 2, "another is there")
        assert_lives_without_room(server, student)
        ballast.unlink()
        assert server.post("/predict", student)[0] == 200, "it goes on as soon as there is room"
    fill(small_disk)
    with running(home, **variables) as server:
        fill(small_disk)  # what the counters of before have left
        assert_lives_without_room(server, student)
        assert server.get("/health/ready")[0] == 200
