"""Prune: remove what is old and can be made again – reports, candidates, bundles, processed records.

What was answered, decided or registered is never touched, nor the records that a model in use learned from.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pydantic import ValidationError
from rich.console import Console

from data.errors import BadInput
from data.words import plural
from flows.processing.processed import SUMMARY, Processed
from flows.registry.store import open_registry
from flows.runtime.exit_codes import DONE, explain
from flows.runtime.progress import open_console, print_line
from flows.settings import Settings

DAYS, DAY = 180.0, 86_400
MADE_AGAIN = (
    "reports/*.html",
    "evidently/*/snapshots/*.json",
    "candidates/*",
    "bundles/*",
    "retraining/*.parquet",
    "processed/*",
    "*/.damaged/*",
)
"""What a later run makes again where it needs it, in the state folder."""


def old_ones(settings: Settings, days: float) -> list[Path]:
    """Return what was last changed more than so many days ago and is not in use.

    Raises MlflowException where the registry cannot say what is.
    """
    before, kept = time.time() - days * DAY, sources_in_use(open_registry(settings))
    found = {path for pattern in MADE_AGAIN for path in settings.home.glob(pattern)}
    old = (path for path in sorted(found) if path.stat().st_mtime < before)
    return [path for path in old if not path.name.startswith(".") and not in_use(path, kept)]


def sources_in_use(client: MlflowClient) -> set[str]:
    """Return the digests of what champions, those before them and challengers learned from."""
    return set(_sources(client))


def _sources(client: MlflowClient) -> Iterator[str]:
    for model in client.search_registered_models():
        for version in set(model.aliases.values()):
            yield client.get_model_version(model.name, str(version)).tags.get("source_sha256", "")


def in_use(path: Path, kept: set[str]) -> bool:
    """Tell whether a folder has the records that a model in use learned from."""
    try:
        return Processed.model_validate_json((path / SUMMARY).read_bytes()).sha256 in kept
    except (OSError, ValidationError):
        return False


def remove(path: Path) -> int:
    """Remove a file or a folder and return the bytes that it had."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    path.unlink() if path.is_file() else shutil.rmtree(path)
    return size


def prune(console: Console, settings: Settings, days: float, *, look: bool) -> None:
    """Remove what is old, or only say what it is; raises BadInput for a time that is none."""
    if not days > 0:
        raise BadInput(f"{days:g} is no number of days.", remedy="Give one above 0.")
    found, freed = old_ones(settings, days), 0
    for path in found:
        print_line(console, f"{'old' if look else 'removing'}: {path}")
        freed += 0 if look else remove(path)
    megabytes = f", {freed / 1e6:.1f} MB" if freed else ""
    print_line(console, f"{plural(len(found), 'thing')} older than {days:g} days{megabytes}")


def main(arguments: list[str] | None = None) -> int:
    """Prune from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.prune", description=__doc__)
    parser.add_argument("--days", type=float, default=DAYS, help="how old, at least (default: %(default)g)")
    parser.add_argument("--look", action="store_true", help="say what would be removed, and remove nothing")
    given = parser.parse_args(arguments)
    console, settings = open_console(), Settings()
    try:
        prune(console, settings, given.days, look=given.look)
    except (BadInput, MlflowException, OSError) as error:
        return explain(console, error, settings)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
