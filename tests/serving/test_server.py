"""The predictor as `make serve` runs it: Gunicorn, in the environment that holds serving's packages alone."""

import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from data.log.settings import netloc
from flows.runtime.services import Places
from tests.serving.running import OWN, ROOT, Running, running, serve, wait_until

HEAVY = ["pandas", "prefect", "evidently", "sklearn", "catboost", "matplotlib", "pyarrow", "pytest"]

pytestmark = pytest.mark.skipif(not OWN.exists(), reason=".venv-serving is not set up (make setup)")


def test_it_answers_over_http_with_reasons_and_ends_well(
    tmp_path: Path, bundle_folder: Path, student: dict[str, Any]
) -> None:
    with running(tmp_path, GRADECAST_MODEL_URI=bundle_folder, WEB_CONCURRENCY=2) as server:
        wait_until(lambda: server.ready()[0] == 200, "there is a model")
        for _ in range(10):  # both workers, and again after their first
            status, answer = server.post("/predict?explain=true", student)
            assert status == 200
            assert answer["grade_class"] in answer["probabilities"]
            assert len(answer["reasons"]) == len(student)
    assert "Error" not in server.said.read_text()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize(("host", "reached"), [("::", ["127.0.0.1", "::1"]), ("[::1]", ["::1"])])
def test_it_listens_on_an_address_of_ipv6(tmp_path: Path, host: str, reached: list[str]) -> None:
    own = {"GRADECAST_HOST": host, "GRADECAST_ALLOW_NO_KEY": "true", "GRADECAST_ID_KEY": "a key of the test"}
    with serve(tmp_path, tmp_path / "said.txt", {**own, "WEB_CONCURRENCY": 1}) as server:
        places = Places(GRADECAST_HOST=host, PORT=server.port)
        wait_until(lambda: is_reached(server, places.predictor_url), "it answers")
        assert all(is_reached(server, f"http://{netloc(each, server.port)}") for each in reached)


def is_reached(server: Running, address: str) -> bool:
    assert server.master.poll() is None, server.said.read_text()
    try:
        with urlopen(f"{address}/health/live", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # nobody listens yet, or nobody has the time
        return False


def test_its_environment_has_no_package_that_it_does_not_need_and_its_workers_no_registry() -> None:
    code = f"""
import importlib.util, sys
import serving.app, serving.predictor
print([name for name in {HEAVY!r} if importlib.util.find_spec(name)], "mlflow" in sys.modules)
"""
    told = subprocess.run([OWN, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "[] False\n"
