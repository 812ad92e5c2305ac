"""MLflow, Prefect and the log on PostgreSQL, as on a server; then all of it lost, and restored."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import sqlalchemy as sa

from bench.load import free_port
from data.log.database import history, open_log, predictions
from tests.contract.postgres import Postgres, postgres
from tests.serving.running import running, wait_until

ROOT = Path(__file__).parents[2]
NAMES = ("mlflow", "prefect", "gradecast")
PASSWORD = "gradecast:of-this-test"

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(1_200)]


def url(server: Postgres, name: str, driver: str = "psycopg") -> str:
    return f"postgresql+{driver}://postgres@/{name}?host={server.folder}"


def execute(server: Postgres, *statements: str) -> None:
    engine = sa.create_engine(url(server, "postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def make_databases(server: Postgres) -> None:
    execute(server, *(f"CREATE DATABASE {name}" for name in NAMES))


@contextmanager
def command(words: list[str], environment: dict[str, str], healthy: str, said: Path) -> Iterator[None]:
    """Run a server for a block, from when it is healthy."""
    with said.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=ROOT, env=environment, stdout=stream, stderr=stream
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(healthy), f"{words[0]} is healthy", 180)
        assert process.poll() is None, said.read_text()[-3_000:]
        yield
    finally:
        process.terminate()
        process.wait(60)


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def servers(environment: dict[str, str], ports: tuple[int, int], folder: Path) -> Iterator[None]:
    """Run the MLflow and the Prefect server as docker-compose.yml does."""
    mlflow, prefect = ports
    with ExitStack() as stack:
        words = [
            "mlflow",
            "server",
            "--host=127.0.0.1",
            f"--port={mlflow}",
            "--workers=1",
            "--serve-artifacts",
        ]
        healthy = f"http://127.0.0.1:{mlflow}/health"
        stack.enter_context(command(words, environment, healthy, folder / "mlflow.txt"))
        words = ["prefect", "server", "start", "--host=127.0.0.1", f"--port={prefect}"]
        healthy = f"http://127.0.0.1:{prefect}/api/health"
        stack.enter_context(command(words, environment, healthy, folder / "prefect.txt"))
        yield


def run(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout


def rows(server: Postgres, table: sa.Table) -> list[Any]:
    with open_log(url(server, "gradecast")).connect() as connection:
        return list(connection.execute(sa.select(table).order_by(*table.primary_key.columns)))


def test_the_loop_runs_on_postgresql_and_survives_its_loss(tmp_path: Path, student: dict[str, Any]) -> None:
    ports = free_port(), free_port()
    with postgres() as server:
        make_databases(server)
        environment = {
            **os.environ,
            "GRADECAST_HOME": str(tmp_path / "home"),
            "GRADECAST_LOG_URL": url(server, "gradecast"),
            "GRADECAST_PREDICTOR_URL": "",
            "MLFLOW_BACKEND_STORE_URI": url(server, "mlflow"),
            "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "artifacts"),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{ports[0]}",
            "PREFECT_API_DATABASE_CONNECTION_URL": url(server, "prefect", "asyncpg"),
            "PREFECT_API_URL": f"http://127.0.0.1:{ports[1]}/api",
            "PREFECT_API_AUTH_STRING": PASSWORD,
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        }
        asked = {
            "MLFLOW_TRACKING_URI": environment["MLFLOW_TRACKING_URI"],
            "GRADECAST_LOG_URL": environment["GRADECAST_LOG_URL"],
        }
        with servers(environment, ports, tmp_path):
            run(environment, "flows.pipeline", "--data", "cohort://800")
            version = answer_once(tmp_path / "first", asked, student)
            run(environment, "flows.backup", str(tmp_path / "backups"))
        before = rows(server, predictions), rows(server, history)
        assert len(before[0]) == 1
        (saved,) = (tmp_path / "backups").glob("gradecast-*")

        execute(server, *(f"DROP DATABASE {name} WITH (FORCE)" for name in NAMES))
        shutil.rmtree(tmp_path / "artifacts")
        shutil.rmtree(tmp_path / "home")
        make_databases(server)
        run(environment, "flows.restore", str(saved))
        assert (rows(server, predictions), rows(server, history)) == before
        with servers(environment, ports, tmp_path):
            assert answer_once(tmp_path / "second", asked, student) == version
            known = run(environment, "prefect", "flow", "ls")
            assert "grade-pipeline" in known
        assert len(rows(server, predictions)) == 2


def answer_once(home: Path, variables: dict[str, str], student: dict[str, Any]) -> str:
    """Serve the champion, ask once, and return the version that answered; what was answered is logged."""
    with running(home, **variables) as predictor:
        wait_until(lambda: predictor.ready()[0] == 200, "it has the champion")
        status, answer = predictor.post("/predict", student)
        assert status == 200
    return str(answer["model_version"])
