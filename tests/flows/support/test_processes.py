"""Processes that are kept running, and the ports that they want."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data import processes
from data.durable import is_locked
from data.errors import BadInput
from data.processes import end_recorded
from flows.runtime import services
from flows.runtime.server import port_to_use
from flows.runtime.services import (
    Places,
    Service,
    ServiceProcess,
    refuse_taken_ports,
    supervised,
)
from flows.settings import Settings

SLEEP = ("sleep", "100")
BEGIN_A_CHILD = """
import subprocess
with subprocess.Popen(["sleep", "100"]) as child:
    print(child.pid, flush=True)
"""
WITH_A_CHILD = (sys.executable, "-c", BEGIN_A_CHILD)
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait before a process is started again."""
    monkeypatch.setattr(processes, "SHORTEST_PAUSE", 0.0)


def service(*command: str, orphans: bool = False, healthy: bool = True) -> Service:
    return Service("helper", command, {}, lambda: healthy, orphans)


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def group(folder: Path) -> int:
    return int((folder / "helper").read_text())


def child(folder: Path) -> int:
    log = folder / "helper.log"
    wait_until(lambda: log.read_text().endswith("\n"))
    return int(log.read_text().split()[-1])


def lives(pid: int) -> bool:
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")


def test_a_process_that_is_killed_is_started_again_and_said_so(tmp_path: Path) -> None:
    said: list[str] = []
    with supervised(service(*SLEEP), tmp_path, said.append) as process:
        first = group(tmp_path)
        os.kill(first, signal.SIGKILL)
        wait_until(process.restart)
        assert group(tmp_path) != first
        assert said == [f"helper ended (SIGKILL); starting it again in 0 s. Its log: {tmp_path}/helper.log"]
        assert is_locked(tmp_path / "helper")
    assert not is_locked(tmp_path / "helper")


@pytest.mark.parametrize("orphans", [True, False])
def test_what_a_killed_process_began_is_ended_unless_it_ends_by_itself(tmp_path: Path, orphans: bool) -> None:
    with supervised(service(*WITH_A_CHILD, orphans=orphans), tmp_path, lambda _: None) as process:
        begun = child(tmp_path)
        os.kill(group(tmp_path), signal.SIGKILL)
        wait_until(process.restart)
        wait_until(lambda: lives(begun) == orphans)
        os.kill(begun, signal.SIGKILL) if orphans else None


def test_the_end_leaves_nothing(tmp_path: Path) -> None:
    with supervised(service(*WITH_A_CHILD), tmp_path, lambda _: None):
        begun = child(tmp_path)
    wait_until(lambda: not lives(begun))


def test_what_a_killed_supervisor_left_is_ended_by_the_next(tmp_path: Path) -> None:
    killed = ServiceProcess(service(*WITH_A_CHILD), tmp_path, lambda _: None)
    killed.restart()
    begun = child(tmp_path)
    end_recorded(tmp_path / "helper")
    assert not is_locked(tmp_path / "helper")
    wait_until(lambda: not lives(begun))
    killed.wait()
    end_recorded(tmp_path / "helper")


def test_one_that_ends_before_it_is_well_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    failing = service("sh", "-c", "echo no such model; exit 3", healthy=False)
    with supervised(failing, tmp_path, lambda _: None) as process, pytest.raises(RuntimeError) as failed:
        process.wait_until_healthy()
    assert "helper ended (exit 3)" in str(failed.value)
    assert str(failed.value).endswith("no such model")


def test_a_long_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "LARGEST_LOG", 3)
    with supervised(service("sh", "-c", "echo long; exec sleep 100"), tmp_path, lambda _: None) as process:
        wait_until(lambda: (tmp_path / "helper.log").read_text() == "long\n")
        process.restart()
        assert (tmp_path / "helper.log").read_text() == ""
        assert (tmp_path / "helper.log.1").read_text() == "long\n"


def test_every_port_that_is_taken_is_named_with_who_has_it_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"PREFECT_SERVER_API_PORT": port_to_use(0), "MLFLOW_PORT": taken.getsockname()[1]}
        places = Places.model_validate(ports | {"PORT": other.getsockname()[1]})
        with pytest.raises(BadInput) as refused:
            refuse_taken_ports(Settings(), places)
        for port, variable in ((places.mlflow, "MLFLOW_PORT"), (places.predictor, "PORT")):
            assert f"Port {port}, for the" in str(refused.value)
            assert f"set {variable} to another" in str(refused.value)
        assert f"is taken by process {os.getpid()} (" in str(refused.value)
        assert "Prefect" not in str(refused.value), "a free port is no fault"
