"""What tests of the spool share: writers in processes of their own, a locked database, what is in it."""

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.log.database import open_log
from tests.serving.running import ROOT

HOLD = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Home:
    """A state folder with a log in SQLite."""

    path: Path

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def database(self) -> Path:
        return self.path / "predictions.db"

    @property
    def answered_files(self) -> list[Path]:
        return sorted(self.path.glob("answered-*"))

    def log(self):
        return open_log(f"sqlite:///{self.database}", patience=0.2)

    def writer(self, name: str, count: int, pause: float = 0.0, **environment: str) -> Process:
        """Start a writer; it says when it is about to write by making the file of what it answered."""
        words = ["tests.serving.spool_writer", self.spool, self.path / f"answered-{name}", count, pause]
        return start(*map(str, words), **environment)

    def answered(self) -> list[str]:
        """The ids that were answered: said whole."""
        lines = [line for path in self.answered_files for line in path.read_text().splitlines(True)]
        return [line.strip() for line in lines if line.endswith("\n") and line != "ready\n"]

    def logged(self) -> Counter[str]:
        """How often each id is in the database."""
        with sqlite3.connect(self.database) as connection:
            found = connection.execute("SELECT prediction_id FROM predictions").fetchall()
        connection.close()
        return Counter(row[0] for row in found)

    def missing(self) -> set[str]:
        """What was answered and is not in the database."""
        return set(self.answered()) - set(self.logged())

    def drainer(self, *arguments: str) -> Process:
        return start("serving.drain", *arguments, GRADECAST_HOME=str(self.path))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the database from another process."""
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, self.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            yield
            holder.kill()


def start(module: str, *arguments: str, **environment: str) -> Process:
    """Start a module in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def end(process: Process) -> str:
    """Wait for a process to end; return what it said."""
    return process.communicate(timeout=60)[0].decode()
