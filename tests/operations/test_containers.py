"""The images, built and run without an engine: buildah, on a base that debootstrap makes.

The base stands in for the pinned one of the Dockerfile: the same Debian and Python, older by patches.
"""

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.load import free_port
from tests.serving.running import wait_until

ROOT = Path(__file__).parents[2]
BASE = "localhost/gradecast-base"
PACKAGES = "python3,python3-venv,python3-pip,python-is-python3,ca-certificates"
MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
IN_CONTEXT = (
    "data",
    "flows",
    "serving",
    "Pipfile",
    "Pipfile.lock",
    "prefect.yaml",
    "Dockerfile",
    ".dockerignore",
)
KEY = "a key of the test's"
WRITABLE = r"find / -xdev \( -path /proc -o -path /dev -o -path /sys -o -path /tmp -o -path /var/tmp \
    -o -path /run/lock \) -prune -o -writable ! -type l -print 2>/dev/null || true"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]


@dataclass(frozen=True)
class Store:
    """Where images are kept for a test."""

    folder: Path

    def run(self, *arguments: object) -> str:
        storage = (
            "--storage-driver",
            "vfs",
            "--root",
            self.folder / "root",
            "--runroot",
            self.folder / "run",
        )
        command = ["buildah", *map(str, (*storage, *arguments))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
        return done.stdout.strip()

    def build(self, target: str, context: Path) -> str:
        """Build a target of the Dockerfile; return the image's name."""
        options = (
            "--format",
            "docker",
            "--layers=false",
            "--pull-never",
            "--isolation",
            "chroot",
            "--network",
            "host",
        )
        certificates = ("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro")
        arguments = ("--build-arg", f"BASE={BASE}", "--build-arg", "RELEASE=2026.11.21-1")
        name = f"localhost/gradecast-{target}"
        self.run("bud", *options, *certificates, *arguments, "--target", target, "--tag", name, context)
        return name

    def config(self, image: str) -> dict[str, Any]:
        inspected: dict[str, Any] = json.loads(self.run("inspect", "--type", "image", image))["Docker"][
            "config"
        ]
        return inspected


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the base in it."""
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"images are built by root with buildah and debootstrap; missing: {missing}")
    folder = tmp_path_factory.mktemp("images")
    made = Store(folder)
    bootstrap: list[str | Path] = [
        "debootstrap",
        "--variant=minbase",
        f"--include={PACKAGES}",
        "bookworm",
        folder / "base",
        MIRROR,
    ]
    done = subprocess.run(bootstrap, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"debootstrap reaches no Debian mirror: {done.stdout[-300:]}")
    container = made.run("from", "scratch")
    made.run("copy", "--quiet", container, folder / "base", "/")
    made.run("commit", "--quiet", container, BASE)
    made.run("rm", container)
    shutil.rmtree(folder / "base")
    yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, bundle_folder: Path) -> Path:
    """What an image is built from: a clone, with the session's model to bake in."""
    folder = tmp_path_factory.mktemp("context")
    for name in IN_CONTEXT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    shutil.copytree(bundle_folder, folder / "build" / "bundle")
    return folder


@contextmanager
def container_of(store: Store, image: str) -> Iterator[str]:
    name = store.run("from", "--pull-never", image)
    yield name
    store.run("rm", name)


def inside(store: Store, container: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """Run a command in a container as the image's user."""
    return store.run("run", "--isolation", "chroot", *options, container, "--", *command)


def test_the_predictors_container_answers_and_holds_what_it_needs(
    store: Store, context: Path, tmp_path: Path, student: dict[str, Any]
) -> None:
    image = store.build("predictor-with-bundle", context)
    config = store.config(image)
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert list(config["Volumes"]) == ["/var/lib/gradecast"]
    with container_of(store, image) as container:
        packages = inside(store, container, "ls", "/opt/venv/lib/python3.11/site-packages").split()
        size = store.run("images", "--format", "{{.Size}}", image)
        base = store.run("images", "--format", "{{.Size}}", BASE)
        print(f"\n{image}: {size}, its base {base}; {len(packages)} entries in site-packages")
        print(
            inside(
                store,
                container,
                "sh",
                "-c",
                "du -sm /opt/venv/lib/python3.11/site-packages/* | sort -rn | head",
            )
        )
        assert not {"pandas", "prefect", "sklearn", "evidently", "pip", "catboost"} & set(packages)
        assert inside(store, container, "ls", "-A", "/app").split() == ["data", "serving"]
        found = inside(store, container, "sh", "-c", WRITABLE).split()
        assert found == ["/var/lib/gradecast"], "and nothing else can be written"
        with served(store, container, config, tmp_path / "home") as port:
            ask(port, student)
            health = config["Healthcheck"]["Test"][1:]
            inside(store, container, *health, options=("--env", f"PORT={port}", "--network", "host"))


@contextmanager
def served(store: Store, container: str, config: dict[str, Any], home: Path) -> Iterator[int]:
    """Run the image's own command, its volume in a folder of the test's."""
    home.mkdir()
    os.chown(home, 10_001, 10_001)
    port = free_port()
    storage = ("--storage-driver", "vfs", "--root", store.folder / "root", "--runroot", store.folder / "run")
    options = ("--isolation", "chroot", "--network", "host", "--volume", f"{home}:/var/lib/gradecast")
    keys = ("--env", f"GRADECAST_API_KEY={KEY}", "--env", f"GRADECAST_ID_KEY={KEY}")
    variables = ("--env", f"PORT={port}", *keys)
    command = ["buildah", *storage, "run", *options, *variables, container, "--", *config["Cmd"]]
    with (home.parent / "said").open("wb") as said:
        process = subprocess.Popen(list(map(str, command)), stderr=said, stdout=said, start_new_session=True)
    try:
        wait_until(
            lambda: process.poll() is not None or get(port, "/health/ready")[0] == 200, "it is ready", 120
        )
        assert process.poll() is None, (home.parent / "said").read_text()
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def ask(port: int, student: dict[str, Any]) -> None:
    ready = get(port, "/health/ready")[1]
    assert (ready["status"], ready["release"], ready["model_version"]) == ("ok", "2026.11.21-1", "local")
    assert get(port, "/predict", student)[0] == 401
    status, answer = get(port, "/predict?explain=true", student, {"Authorization": f"Bearer {KEY}"})
    assert status == 200
    assert answer["reasons"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def get(port: int, path: str, body: object = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Ask a port of this machine; status 0 while nobody answers."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", sent, {"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, None
    except OSError:
        return 0, None


def test_the_pipelines_container_trains_and_has_what_else_it_runs(
    store: Store, context: Path, tmp_path: Path
) -> None:
    image = store.build("pipeline", context)
    assert store.config(image)["User"] == "10001:10001"
    with container_of(store, image) as container:
        print(f"\n{image}: {store.run('images', '--format', '{{.Size}}', image)}")
        for command in (
            ("python", "-m", "flows.pipeline", "--help"),
            ("python", "-m", "flows.backup", "--help"),
            ("prefect", "version"),
            ("mlflow", "server", "--help"),
            ("pg_dump", "--version"),
            ("python", "-c", "import psycopg, asyncpg; print('imported')"),
        ):
            assert inside(store, container, *command)
        home = tmp_path / "home"
        home.mkdir()
        os.chown(home, 10_001, 10_001)
        volume = ("--network", "host", "--volume", f"{home}:/var/lib/gradecast")
        pipeline = ("python", "-m", "flows.pipeline", "--data", "cohort://1200", "--contract", "exam_scores")
        print(inside(store, container, *pipeline, options=volume))
        assert (home / "mlflow.db").is_file()
