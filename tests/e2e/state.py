"""What a state folder holds, read as a stranger would."""

import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import numpy as np

from data.cohorts import grades as cohort
from data.errors import Stopped
from flows.registry.store import Champion, load_champion, open_registry
from flows.runtime.workspace import SEAL, fault_of
from flows.settings import Settings

NAME = "grade-class"
WHOLE = {
    "processed": {"parsed.parquet", "faults.parquet", "quarantine.csv", "report.html", "summary.json", SEAL},
    "candidates": {
        "booster.ubj",
        "model.onnx",
        "leaderboard.parquet",
        "out_of_fold.parquet",
        "trained.json",
        SEAL,
    },
    "bundles": {"bundle", "plots", "trained.parquet", SEAL},
}


def rows(home: Path, query: str) -> list[tuple[object, ...]]:
    """Ask the registry's database; nothing while it is not there."""
    if not (home / "mlflow.db").exists():
        return []
    with closing(sqlite3.connect(f"file:{home}/mlflow.db?mode=ro", uri=True, timeout=30)) as database:
        return database.execute(query).fetchall()


def champion(home: Path) -> Champion | None:
    """Load the champion; None while there is none."""
    if not rows(home, "SELECT 1 FROM registered_model_aliases WHERE alias = 'champion'"):
        return None
    return load_champion(open_registry(Settings(home=home)), NAME)


def half_made(home: Path) -> list[str]:
    """List what lies under a final name and is not whole, and champions that cannot be loaded."""
    found = [
        str(folder.relative_to(home))
        for place, names in WHOLE.items()
        for folder in (home / place).glob("[!.]*")
        if {path.name for path in folder.iterdir()} != names or fault_of(folder)
    ]
    reports = [report for report in (home / "reports").glob("*.html") if "</html>" not in report.read_text()]
    try:
        champion(home)
    except Stopped as stopped:
        found.append(str(stopped))
    return found + [str(report.relative_to(home)) for report in reports]


def drafts(home: Path) -> list[str]:
    """List drafts that nobody works on any more."""
    return [str(path.relative_to(home)) for path in home.glob("**/.drafts/*") if path.is_dir()]


def running(home: Path) -> list[tuple[object, ...]]:
    """List the runs that the registry takes for running."""
    return rows(home, "SELECT run_uuid FROM runs WHERE status = 'RUNNING'")


def versions(home: Path) -> list[tuple[object, ...]]:
    return rows(home, "SELECT version FROM model_versions")


def forecasts(home: Path) -> np.ndarray:
    """Ask the champion, as MLflow loads it, for three students' probabilities."""
    open_registry(Settings(home=home))
    raw = cohort.generate(3, seed=1).drop(columns=["StudentID", "GPA", "GradeClass"])
    answered = mlflow.pyfunc.load_model(f"models:/{NAME}@champion").predict(raw)
    return answered.filter(like="probability_").to_numpy()


def listing(home: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of every file of ours; locks and empty folders are no state."""
    files = [
        path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock" and path.name != ".lock"
    ]
    return {
        str(path.relative_to(home)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
        if not path.name.endswith(("-wal", "-shm"))
    }
