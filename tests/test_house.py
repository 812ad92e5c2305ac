"""The house itself: targets, pins, the lock, the hooks."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[1]
HEAVY = {"prefect", "evidently", "scikit-learn", "pandas", "pyarrow", "catboost", "mlflow", "matplotlib"}
LARGE = 200_000  # bytes


def make(*arguments: str) -> str:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def pipfile() -> dict[str, Any]:
    return tomllib.loads((ROOT / "Pipfile").read_text())


@pytest.fixture(scope="module")
def lock() -> dict[str, Any]:
    locked: dict[str, Any] = json.loads((ROOT / "Pipfile.lock").read_text())
    return locked


def test_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    targets = {target for line in phony for target in line.split()} - {"help"}
    assert targets == set(re.findall(r"^  ([a-z-]+) +\S", make("help"), re.MULTILINE))
    assert make() == make("help"), "help is what make does when nothing is asked"


@pytest.mark.parametrize("variable", ["DATA", "CONTRACT", "GRID"])
def test_variables_reach_the_pipeline_whole(variable: str) -> None:
    commands = make("--dry-run", "--assume-old=setup", "pipeline", f"{variable}=a path/it's")
    assert f'--{variable.lower()} "${variable}"' in commands


def test_hooks_run_what_make_lint_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = {hook["entry"] for repository in config["repos"] for hook in repository["hooks"]}
    lint = re.findall(r"^\t@?(\.venv/bin/.*?)(?: \$.*)?$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert hooks == set(lint)


def test_the_map_names_places_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    places = re.findall(r"`((?:data|flows|serving|demo|tests|bench)/[\w/.]*)`", text)
    assert len(places) > 30
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_every_pin_is_bounded(pipfile: dict[str, Any]) -> None:
    unbounded = {
        name
        for category in ("packages", "serving", "dev-packages")
        for name, pin in pipfile[category].items()
        if "<" not in (pin if isinstance(pin, str) else pin["version"])
    }
    assert unbounded == set()


def test_the_lock_belongs_to_the_pipfile() -> None:
    pipenv = ROOT / ".pipenv" / "bin" / "python"
    if not pipenv.exists():
        pytest.skip(".pipenv is not set up (make setup)")
    done = subprocess.run([pipenv, "-m", "pipenv", "verify"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_the_lock_names_the_public_index_alone_and_every_hash(lock: dict[str, Any]) -> None:
    hosts = {urlsplit(address).hostname for address in re.findall(r"https?://[^\s\"]+", json.dumps(lock))}
    assert hosts == {"pypi.org"}
    categories = (lock[name] for name in lock if name != "_meta")
    assert all(package["hashes"] for category in categories for package in category.values())


def test_a_package_has_one_version_in_all_categories(lock: dict[str, Any]) -> None:
    versions: dict[str, set[str]] = {}
    for category in lock.keys() - {"_meta"}:
        for name, package in lock[category].items():
            versions.setdefault(name, set()).add(package["version"])
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_serving_is_locked_without_what_it_does_not_need(lock: dict[str, Any]) -> None:
    assert HEAVY & lock["serving"].keys() == set()


def test_nothing_large_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name and name != "Pipfile.lock"]
    assert [path for path in paths if path.is_file() and path.stat().st_size > LARGE] == []
