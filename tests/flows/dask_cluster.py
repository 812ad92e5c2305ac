"""A scheduler and workers as a person starts them, on free ports; and the death of a worker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from distributed import Client

from flows.runtime.engine import STARTED_BY, Engine, dask_client
from flows.runtime.workspace import ROOT

PATIENCE = 60.0  # seconds


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """Run `dask scheduler` and give its address."""
    place = folder / "scheduler.json"
    with _dask(folder, "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(place)):
        until(place.exists)
        yield str(json.loads(place.read_text())["address"])


@contextmanager
def workers(folder: Path, address: str, count: int, code: Path = ROOT) -> Iterator[None]:
    """Run so many `dask worker`s of a scheduler, of this code or another."""
    with ExitStack() as held, Client(address, set_as_default=False) as client:
        there = len(client.scheduler_info(n_workers=-1)["workers"])
        for _ in range(count):
            held.enter_context(_dask(folder, "worker", address, "--nthreads", "1", code=code))
        client.wait_for_workers(there + count, timeout=PATIENCE)
        yield


@contextmanager
def _dask(folder: Path, kind: str, *arguments: str, code: Path = ROOT) -> Iterator[None]:
    said = f"python -m dask {kind}"
    assert f"`{said}" in STARTED_BY, "a person is told to start it so, in the folder of the code"
    command = [sys.executable, *said.split()[1:], *arguments, "--dashboard-address", "127.0.0.1:0"]
    environment = os.environ | {"DASK_TEMPORARY_DIRECTORY": str(folder)}
    with (folder / f"{kind}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=code, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def until(true: Callable[[], Any]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill_a_worker(engine: Engine) -> None:
    """Kill one of a cluster's workers, as a lack of memory does; its nanny starts another."""
    with dask_client(engine) as client:
        pids = client.run(os.getpid)
    os.kill(min(pids.values()), signal.SIGKILL)
