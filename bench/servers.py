"""The servers that are compared, on one small model registered in a temporary folder."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench.load import free_port
from data.contract.contract import load_contract
from flows.evaluate import gather_evidence
from flows.process import process_records
from flows.registry.bundling import Submission
from flows.registry.registration import register_submission
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid

ROOT = Path(__file__).parents[1]
SERVING = ROOT / ".venv-serving" / "bin" / "python"
GRID = Grid.model_validate({"families": [{"max_depth": 1, "learning_rate": 0.05, "n_estimators": 600}]})
PATIENCE = 120  # seconds until a server must be ready


def register_model(home: Path) -> Path:
    """Train and register one model on generated students in a folder of its own; return its bundle."""
    contract, settings = load_contract("grade_class"), Settings(home=home, folds=3)
    processed = process_records("cohort://1500", contract, settings)
    trained = train_model(processed, contract, GRID, settings)
    evidence = gather_evidence(trained, processed, contract, settings)
    submission = Submission(trained, processed, "grade_class", evidence, settings)
    register_submission(submission)
    return submission.bundle


def gunicorn(*more: str) -> list[str]:
    """Return the command of the predictor's own server, in the serving-only environment."""
    return [str(SERVING), "-m", "gunicorn", "-c", "serving/gunicorn.conf.py", *more]


def python(module: str, *more: str) -> list[str]:
    """Return the command of a module in this environment."""
    return [sys.executable, "-m", module, *more]


@contextmanager
def running(
    command: list[str], port: int, asked: str, own: Mapping[str, str], body: bytes | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it is ready once it answers what is asked with 200."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where MLflow looks for uvicorn
    environment = {
        **os.environ,
        "PATH": path,
        "OMP_NUM_THREADS": "1",
        "PORT": str(port),
        "WEB_CONCURRENCY": "2",
        **own,
    }
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as server:
        try:
            _wait(
                server, Request(f"http://127.0.0.1:{port}{asked}", body, {"Content-Type": "application/json"})
            )
            yield server
        finally:
            server.terminate()
            server.wait(PATIENCE)


def predictor(home: Path, bundle: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """Return the command of the predictor with everything on, and its environment."""
    return gunicorn(), {"GRADECAST_HOME": str(home), "GRADECAST_MODEL_URI": str(bundle), "PORT": str(port)}


def mlflow_server(home: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """Return the command of `mlflow models serve` on the same model, and its environment."""
    model = [
        "-m",
        "models:/grade-class@champion",
        "--env-manager",
        "local",
        "--port",
        str(port),
        "--workers",
        "2",
    ]
    return python("mlflow", "models", "serve", *model), {
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}"
    }


def _wait(server: subprocess.Popen[bytes], question: Request) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            with urlopen(question, timeout=10):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise RuntimeError(f"{' '.join(map(str, server.args))}: it was not ready in {PATIENCE} s")  # type: ignore[arg-type]


__all__ = ["free_port", "gunicorn", "mlflow_server", "predictor", "python", "register_model", "running"]
