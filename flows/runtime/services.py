"""What `make up` runs: processes kept alive, and which they are."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from prefect.client.orchestration import get_client
from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from data.durable import file_lock
from data.errors import BadInput
from data.log.settings import netloc
from data.processes import GRACE_SECONDS, LOOK_SECONDS, Supervised, end_recorded, signal_group
from flows.runtime.runs import POOL
from flows.runtime.server import START_LIMIT, is_local_prefect, is_taken, listener
from flows.runtime.workspace import ROOT
from flows.settings import Settings

LAST_LINES = 15  # of a log, for people
LARGEST_LOG = 10_000_000  # bytes
Say = Callable[[str], None]


@dataclass(frozen=True)
class Service:
    """A command to keep running, and how to tell that it is well."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    healthy: Callable[[], bool]
    orphans: bool = False
    """Whether what it began is left to end by itself when it dies."""


class ServiceProcess(Supervised):
    """A service in a session of its own, so that a Ctrl-C in a terminal does not reach it past us.

    Its file in `folder` holds its process group, and it holds a lock on it: whoever comes after a
    supervisor that was killed can tell that the group still runs.
    """

    def __init__(self, service: Service, folder: Path, say: Say) -> None:
        super().__init__()
        self.service = service
        self.record, self.log = folder / service.name, folder / f"{service.name}.log"
        self._say = say

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the command, its output to the end of its log."""
        with file_lock(self.record) as lock, self.log.open("ab") as output:
            process = subprocess.Popen(
                self.service.command,
                cwd=ROOT,
                env=os.environ | self.service.environment,
                pass_fds=(lock,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            os.truncate(lock, 0)
            os.write(lock, str(process.pid).encode())
        return process

    def wait_until_healthy(self) -> None:
        """Wait until the service is well; raises RuntimeError with the end of its log if it will not be."""
        end = time.monotonic() + START_LIMIT
        while not self.service.healthy():
            code = self.process.poll() if self.process else None
            if code is not None or time.monotonic() > end:
                what = (
                    f"ended ({describe_exit(code)})"
                    if code is not None
                    else f"was not well in {START_LIMIT:.0f} s"
                )
                last = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
                raise RuntimeError("\n".join([f"{self.service.name} {what}. {self.log} ends with:", *last]))
            time.sleep(LOOK_SECONDS)

    def restart(self, now: float | None = None) -> bool:
        """Start the command again if it has ended; set its log aside when that is long."""
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.with_suffix(".log.1").write_bytes(self.log.read_bytes())
            os.truncate(self.log, 0)  # it is open for appending, and goes on at the new end
        return super().restart(now)

    def reap(self, process: subprocess.Popen[bytes]) -> None:
        """Say that it ended, and end what it began: a child left behind would keep the port."""
        if not self.service.orphans:
            signal_group(process.pid, signal.SIGKILL)
        again = f"starting it again in {self.pause:.0f} s. Its log: {self.log}"
        self._say(f"{self.service.name} ended ({describe_exit(process.returncode)}); {again}")

    def wait(self, seconds: float = GRACE_SECONDS) -> None:
        """Wait for its end, then kill what is left of it."""
        super().wait(seconds)
        if self.process is not None:
            signal_group(self.process.pid, signal.SIGKILL)


@contextmanager
def supervised(service: Service, folder: Path, say: Say) -> Iterator[ServiceProcess]:
    """Keep a service until the block ends; one that a killed supervisor left behind is ended first."""
    folder.mkdir(parents=True, exist_ok=True)
    end_recorded(folder / service.name)
    process = ServiceProcess(service, folder, say)
    process.start(time.monotonic())
    try:
        yield process
    finally:
        process.end()
        process.wait()


def describe_exit(code: int) -> str:
    """Say how a process ended, by its return code."""
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name


OWN_ADDRESSES = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}  # noqa: S104
"""By which this machine reaches what is bound to everywhere."""
PATIENCE = 5.0  # seconds for one answer of a busy machine
_LOCAL = build_opener(ProxyHandler({}))  # a proxy cannot reach this machine's own ports


class Places(BaseSettings):
    """Where the services listen; each variable keeps its standard meaning."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    prefect: int = Field(4200, validation_alias=AliasChoices("PREFECT_SERVER_API_PORT"), ge=1, le=65535)
    mlflow: int = Field(5000, validation_alias=AliasChoices("MLFLOW_PORT"), ge=1, le=65535)
    predictor: int = Field(9696, validation_alias=AliasChoices("PORT"), ge=1, le=65535)
    host: str = Field("127.0.0.1", validation_alias=AliasChoices("GRADECAST_HOST"))

    @property
    def predictor_url(self) -> str:
        """Return the predictor's address, as seen from this machine."""
        return f"http://{netloc(OWN_ADDRESSES.get(self.host.strip('[]'), self.host), self.predictor)}"

    @property
    def mlflow_url(self) -> str:
        """Return the MLflow server's address."""
        return f"http://127.0.0.1:{self.mlflow}"


def own_mlflow(settings: Settings) -> bool:
    """Whether the registry is a database, that an MLflow server of ours can show."""
    return not settings.tracking_uri.startswith("http")


def mlflow_server(settings: Settings, places: Places) -> Service:
    """Return the MLflow server: a look at the registry, which the others use without it."""
    artifacts = (settings.home / "mlartifacts").resolve().as_uri()
    address = ["--host", "127.0.0.1", "--port", str(places.mlflow), "--workers", "1"]
    # By default it also takes what begins like a private network's address, as a stranger's 10.name.org does.
    names = ["--allowed-hosts", f"127.0.0.1:{places.mlflow},localhost:{places.mlflow}"]
    store = ["--backend-store-uri", settings.mlflow_uri, "--default-artifact-root", artifacts]
    return Service(
        "MLflow",
        (sys.executable, "-m", "mlflow", "server", *address, *names, *store),
        {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # ten processes, some of which outlive it
        partial(answers, f"{places.mlflow_url}/health"),
    )


def predictor(settings: Settings, places: Places) -> Service:
    """Return the predictor, in the environment of its own where that is set up."""
    own = ROOT / ".venv-serving" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    return Service(
        "predictor",
        (python, "-m", "gunicorn", "-c", "serving/gunicorn.conf.py"),
        {"GRADECAST_HOME": str(settings.home.absolute()), "PORT": str(places.predictor)},
        partial(answers, f"{places.predictor_url}/health/live"),
    )


def worker(settings: Settings, places: Places, api_url: str) -> Service:
    """Return a worker that runs the deployments in this checkout; its runs outlive its death."""
    name, begun = f"up-{socket.gethostname()}", datetime.now(UTC)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return Service(
        "worker",
        (sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", name),
        {
            "PATH": path,  # for runs in a checkout without .venv, which take the `python` that is there
            "PREFECT_API_URL": api_url,
            "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "3"),
            "GRADECAST_HOME": str(settings.home.absolute()),
            "GRADECAST_MLFLOW_UI": settings.mlflow_ui or (places.mlflow_url if own_mlflow(settings) else ""),
            "GRADECAST_PREDICTOR_URL": os.environ.get("GRADECAST_PREDICTOR_URL", places.predictor_url),
        },
        partial(has_beaten, name, begun),
        orphans=True,
    )


def answers(url: str) -> bool:
    """Tell whether a GET of an address on this machine is answered with a success."""
    try:
        with _LOCAL.open(url, timeout=PATIENCE):
            return True
    except (OSError, ValueError):
        return False


def has_beaten(worker_name: str, since: datetime) -> bool:
    """Tell whether the Prefect server has heard of a worker since a time."""
    with get_client(sync_client=True) as client:
        response = client.request(
            "POST",
            "/work_pools/{work_pool_name}/workers/filter",
            path_params={"work_pool_name": POOL},
            json={},
        )
    heard = {each["name"]: each["last_heartbeat_time"] for each in response.json()}
    return worker_name in heard and datetime.fromisoformat(heard[worker_name]) > since


def refuse_taken_ports(settings: Settings, places: Places) -> None:
    """Raise BadInput that names each port that another program has, before anything is started.

    A Prefect server on its port is no fault: it is used.
    """
    wanted = {"predictor": (places.predictor, "PORT")}
    if own_mlflow(settings):
        wanted["MLflow server"] = (places.mlflow, "MLFLOW_PORT")
    if not os.environ.get("PREFECT_API_URL") and not is_local_prefect(places.prefect):
        wanted["Prefect server"] = (places.prefect, "PREFECT_SERVER_API_PORT")
    faults = [
        f"Port {port}, for the {what}, is taken by {holder(port)}: stop it, or set {variable} to another."
        for what, (port, variable) in wanted.items()
        if is_taken(port)
    ]
    if faults:
        raise BadInput(" ".join(faults), remedy="Nothing was started.")


def holder(port: int) -> str:
    """Say which program listens on a port, as far as this person may know."""
    process = listener(port)
    return f"process {process.pid} ({' '.join(process.cmdline())[:100]})" if process else "another program"
