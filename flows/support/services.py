"""What `make up` runs beside the Prefect server: the MLflow server, the predictor, a Prefect worker."""

import json
import os
import socket
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from data.errors import BadInput
from data.log_settings import netloc
from flows.settings import Settings
from flows.support.fingerprint import ROOT
from flows.support.prefect_api import is_local_prefect
from flows.support.processes import Service
from flows.support.reconcile import POOL

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


def model_served(places: Places) -> str | None:
    """Say which model the predictor answers with; None where it has none yet."""
    try:
        with _LOCAL.open(f"{places.predictor_url}/health/ready", timeout=PATIENCE) as answer:
            ready = json.loads(answer.read())
            return f"{ready['model']}, version {ready['model_version']}"
    except (OSError, ValueError):
        return None


def has_beaten(worker_name: str, since: datetime) -> bool:
    """Tell whether the Prefect server has heard of a worker since a time."""
    from prefect.client.orchestration import get_client

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


def is_taken(port: int) -> bool:
    """Tell whether a port of this machine cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def holder(port: int) -> str:
    """Say which program listens on a port, as far as this person may know."""
    import psutil  # type: ignore[import-untyped]

    try:
        listening = [each for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == port]
        pid = next((each.pid for each in listening if each.status == psutil.CONN_LISTEN and each.pid), None)
        if pid is not None:
            return f"process {pid} ({' '.join(psutil.Process(pid).cmdline())[:100]})"
    except psutil.Error:  # other people's programs are not always to be seen
        return "another program"
    return "another program"
