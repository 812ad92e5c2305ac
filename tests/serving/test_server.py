"""The predictor as `make serve` runs it: Gunicorn, in the environment that holds serving's packages alone."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from data.log.settings import netloc
from flows.runtime.services import Places
from tests.serving.running import Running, serve, wait_until

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-serving" / "bin" / "python"
HEAVY = ["pandas", "prefect", "evidently", "sklearn", "catboost", "matplotlib", "pyarrow", "pytest"]

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=".venv-serving is not set up (make setup)")


@pytest.fixture(scope="module")
def address(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running predictor, which must end well when it is told to."""
    port = free_port()
    home = tmp_path_factory.mktemp("server")  # of its own: the follower writes there what it finds
    own = {"GRADECAST_HOME": str(home), "GRADECAST_MODEL_URI": str(bundle_folder)}
    own |= {"PORT": str(port), "WEB_CONCURRENCY": "2"}
    command = [str(PYTHON), "-m", "gunicorn", "-c", "serving/gunicorn.conf.py"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own}, stderr=subprocess.PIPE) as server:
        try:
            wait_until_ready(server, f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            said = server.communicate()[1].decode()
    assert server.returncode == 0, said
    assert "Error" not in said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(server: subprocess.Popen[bytes], address: str) -> None:
    while server.poll() is None:
        try:
            with urlopen(f"{address}/health/ready", timeout=5):
                return
        except OSError:  # nobody listens yet, or nobody has the time
            time.sleep(0.1)
    pytest.fail("the predictor ended before it was ready")


def test_it_answers_over_http_with_reasons(address: str, student: dict[str, Any]) -> None:
    for _ in range(10):  # both workers, and again after their first
        request = Request(f"{address}/predict?explain=true", json.dumps(student).encode())
        request.add_header("Content-Type", "application/json")
        with urlopen(request, timeout=30) as response:
            answer = json.load(response)
        assert answer["grade_class"] in answer["probabilities"]
        assert len(answer["reasons"]) == len(student)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize(("host", "reached"), [("::", ["127.0.0.1", "::1"]), ("[::1]", ["::1"])])
def test_it_listens_on_an_address_of_ipv6(tmp_path: Path, host: str, reached: list[str]) -> None:
    places = Places(GRADECAST_HOST=host, PORT=free_port())
    own = {"GRADECAST_HOST": host, "GRADECAST_ALLOW_NO_KEY": "true", "GRADECAST_ID_KEY": "a key of the test"}
    own |= {"PORT": str(places.predictor), "WEB_CONCURRENCY": "1"}
    with serve(tmp_path, tmp_path / "said.txt", own) as server:
        wait_until(lambda: is_reached(server, places.predictor_url), "it answers")
        assert all(is_reached(server, f"http://{netloc(each, places.predictor)}") for each in reached)


def is_reached(server: Running, address: str) -> bool:
    assert server.master.poll() is None, server.said.read_text()
    try:
        with urlopen(f"{address}/health/live", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # nobody listens yet, or nobody has the time
        return False


@pytest.mark.parametrize("package", HEAVY)
def test_its_environment_has_no_package_that_it_does_not_need(package: str) -> None:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is not None)"
    assert subprocess.run([PYTHON, "-c", code], check=False).returncode == 0


def test_its_workers_do_not_import_the_registry() -> None:
    code = "import serving.app, serving.predictor, sys; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([PYTHON, "-c", code], cwd=ROOT, check=False).returncode == 0
