"""A PostgreSQL of the test's own, in a temporary folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

BINARIES = Path("/usr/lib/postgresql/15/bin")


@dataclass(frozen=True)
class Postgres:
    """A server, reachable by a socket alone."""

    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@/postgres?host={self.folder}"

    def start(self) -> None:
        options = f"-k {self.folder} -h '' -c fsync=off"
        _run("pg_ctl", "-D", self.folder / "data", "-o", options, "-l", self.folder / "log", "-w", "start")

    def stop(self) -> None:
        _run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start one for a block; skip where it cannot be had."""
    if not (BINARIES / "initdb").exists():
        pytest.skip(f"no PostgreSQL in {BINARIES}")
    if os.geteuid() != 0 or find_spec("psycopg") is None:
        pytest.skip("a test PostgreSQL needs root, for `runuser -u postgres`, and psycopg")
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="pg-"))  # a socket's path must be short
    shutil.chown(folder, "postgres")
    server = Postgres(folder)
    try:
        _run("initdb", "-D", folder / "data", "-A", "trust")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)


def _run(command: str, *arguments: object) -> None:
    whole = ["runuser", "-u", "postgres", "--", str(BINARIES / command), *map(str, arguments)]
    subprocess.run(whole, check=True, stdout=subprocess.DEVNULL, cwd="/")
