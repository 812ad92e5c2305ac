"""The delivery's last step: ask Render for an image, and wait until it is what answers."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).parents[2]


class Render(BaseHTTPRequestHandler):
    """Stands in for Render: takes images, and says which release runs."""

    asked: list[str]
    runs: list[str]

    def do_POST(self) -> None:
        self.asked.append(parse_qs(urlsplit(self.path).query)["imgURL"][0])
        self._answer("{}")

    def do_GET(self) -> None:
        release = self.runs.pop(0) if len(self.runs) > 1 else self.runs[0]
        self._answer(f'{{"status":"ok","release":"{release}"}}')

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def render() -> Iterator[tuple[type[Render], dict[str, str]]]:
    handler = type("Handler", (Render,), {"asked": [], "runs": ["1"]})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    yield (
        handler,
        {"HOOK": f"{address}/deploy/srv-1?key=k", "URL": address, "PAUSE": "0.1", "PATH": "/usr/bin:/bin"},
    )
    server.shutdown()
    thread.join()
    server.server_close()


def deploy(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command: list[str | Path] = [ROOT / "containers" / "deploy.sh", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_deployment_waits_for_its_own_release(render: tuple[type[Render], dict[str, str]]) -> None:
    handler, environment = render
    handler.runs = ["1", "1", "2"]
    done = deploy(environment, "docker.io/school/gradecast-predictor:2", "2")
    assert done.returncode == 0, done.stderr
    assert handler.asked == ["docker.io/school/gradecast-predictor:2"]
    assert '"release":"2"' in done.stdout


def test_a_deployment_that_does_not_come_up_fails(render: tuple[type[Render], dict[str, str]]) -> None:
    _, environment = render
    done = deploy({**environment, "PATIENCE": "1"}, "docker.io/school/gradecast-predictor:2", "2")
    assert done.returncode == 1
    assert "was not ready" in done.stderr
    assert "key=k" not in done.stdout + done.stderr


def test_an_image_is_gone_back_to_by_its_digest(render: tuple[type[Render], dict[str, str]]) -> None:
    handler, environment = render
    image = f"docker.io/school/gradecast-predictor@sha256:{'0' * 64}"
    assert deploy(environment, image).returncode == 0
    assert handler.asked == [image]
