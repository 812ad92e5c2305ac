"""Everything on one machine, as `make up` runs it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from data.durable import file_lock
from data.processes import recorded
from flows.runtime.server import (
    is_local_prefect,
    is_taken,
    local_url,
    port_to_use,
    prefect_server,
    profile,
    running_port,
)
from flows.runtime.services import answers
from flows.up import main
from tests.e2e import state
from tests.serving.running import alive, wait_until

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
READY = "Ctrl-C ends it all."
PATIENCE = 300.0  # seconds: many times what it takes
COHORT = "cohort://400?seed=3"


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, int]:
    """Free ports for everything, and a state folder, in the environment."""
    free = {name: port_to_use(0) for name in ("PREFECT_SERVER_API_PORT", "MLFLOW_PORT", "PORT")}
    for name, port in free.items():
        monkeypatch.setenv(name, str(port))
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path / "home"))
    return free


def test_a_taken_port_is_named_and_nothing_is_started(
    ports: dict[str, int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", ports["PORT"])):
        assert main([]) == 2
    said = capsys.readouterr().out
    assert f"Bad input: Port {ports['PORT']}, for the predictor, is taken by process {os.getpid()} (" in said
    assert said.endswith("set PORT to another. Nothing was started.\n")
    assert [path.name for path in (tmp_path / "home").rglob("*") if path.is_file()] == ["up.lock"]


def test_it_runs_once_for_a_state_folder_and_its_ctrl_c_is_not_left_behind(
    ports: dict[str, int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with file_lock(tmp_path / "home" / "up" / "up.lock"):
        assert main([]) == 2
    assert "`make up` runs already for" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before


@dataclass(frozen=True)
class Up:
    """`python -m flows.up` in a process of its own."""

    process: subprocess.Popen[bytes]
    home: Path
    ports: dict[str, int]
    said: Path

    @property
    def predictor(self) -> str:
        return f"http://127.0.0.1:{self.ports['PORT']}"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.ports['MLFLOW_PORT']}"

    @property
    def api(self) -> str:
        return local_url(self.ports["PREFECT_SERVER_API_PORT"])

    def group(self, name: str) -> int:
        return int((self.home / "up" / name).read_text() or 0)

    def kill(self, name: str) -> None:
        """Kill a process as the out-of-memory killer does."""
        os.kill(self.group(name), signal.SIGKILL)

    def said_that(self, text: str) -> bool:
        assert self.process.poll() is None or text == "Ended", self.said.read_text()
        return text in self.said.read_text()


@pytest.fixture
def up(ports: dict[str, int], tmp_path: Path, one_candidate: Path) -> Iterator[Up]:
    """Everything, running on a new state folder."""
    said = tmp_path / "said.txt"
    environment = os.environ | {"GRADECAST_FOLDS": "3", "GRADECAST_JOBS": "1"}
    with said.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.up"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    up = Up(process, tmp_path / "home", ports, said)
    try:
        wait_until(lambda: up.said_that(READY), "everything is well", PATIENCE)
        yield up
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def run(up: Up, grid: Path) -> None:
    """Start the pipeline as the README tells a person to."""
    command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", "deployment", "run"]
    parameters = ["-p", f"data={COHORT}", "-p", f"grid={grid}"]
    subprocess.run(
        [*command, "grade-pipeline/default", *parameters],
        cwd=ROOT,
        env=os.environ
        | {"PREFECT_API_URL": up.api, "PREFECT_PROFILES_PATH": str(profile(up.home / "prefect"))},
        check=True,
        capture_output=True,
    )


def runs(up: Up) -> list[str]:
    """Return the states of the runs, of flows and of what they began."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PREFECT_API_URL", up.api)
        with prefect_server(up.home, start=False), get_client(sync_client=True) as client:
            return [str(run.state.name) for run in client.read_flow_runs() if run.state]


def stage_is_at_work(up: Up) -> Callable[[], bool]:
    return lambda: any((up.home / "processed").glob("[!.]*"))


def serves_a_model(up: Up) -> bool:
    return answers(f"{up.predictor}/health/ready")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_killed_in_the_middle_of_a_run_is_started_again_and_the_run_is_done_in_the_end(
    up: Up, one_candidate: Path
) -> None:
    said = up.said.read_text()
    assert all(address in said for address in (up.predictor, up.mlflow, up.api.removesuffix("/api")))
    assert "no model yet" in said
    run(up, one_candidate)
    wait_until(stage_is_at_work(up), "the run is at work", PATIENCE)
    before = {name: up.group(name) for name in ("predictor", "MLflow", "worker")}
    for name in before:
        up.kill(name)
    os.killpg(recorded(up.home / "prefect" / "gradecast-server")[0], signal.SIGKILL)
    wait_until(lambda: all(up.group(name) != before[name] for name in before), "they run again", PATIENCE)
    wait_until(lambda: serves_a_model(up), "the predictor answers with the first champion", PATIENCE)
    wait_until(lambda: answers(f"{up.mlflow}/health"), "MLflow answers", PATIENCE)
    wait_until(lambda: set(runs(up)) <= {"Completed", "Crashed"}, "no run is left running", PATIENCE)
    assert state.versions(up.home) == [(1,)]
    assert state.half_made(up.home) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_ctrl_c_ends_all_of_it(up: Up, one_candidate: Path) -> None:
    run(up, one_candidate)
    wait_until(stage_is_at_work(up), "a run is at work", PATIENCE)
    groups = [up.group(name) for name in ("predictor", "MLflow", "worker")]
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(PATIENCE) == 0
    assert up.said_that("Ended")
    assert not any(map(alive, groups))
    assert not any(map(is_taken, up.ports.values()))
    assert running_port(up.home / "prefect") is None
    assert not is_local_prefect(up.ports["PREFECT_SERVER_API_PORT"])
    assert list((up.home / "runs").glob("[!.]*")) == [], "the run was told to be crashed"
