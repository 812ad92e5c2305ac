"""Back up the log, the registry with its artifacts, Prefect's database and the state, while all runs on.

Makes a folder `gradecast-DATE-TIME` in the folder that is named, with a digest of each file;
`flows.restore` is its counterpart. What is backed up is what the settings name: SQLite files in
GRADECAST_HOME, or the databases of GRADECAST_LOG_URL, MLFLOW_BACKEND_STORE_URI and
PREFECT_API_DATABASE_CONNECTION_URL, and the folder of MLFLOW_ARTIFACTS_DESTINATION. Keys and passwords
are not in it.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from data.errors import BadInput
from data.log.spool import drained_alone
from flows.backups.parts import (
    SPOOLED,
    BackupFile,
    BackupManifest,
    BackupPart,
    parts,
    run_plainly,
    show_backup,
    write_manifest,
)
from flows.runtime.progress import open_console, print_line, stage
from flows.runtime.workspace import finished_folder, git_commit
from flows.settings import Settings


def back_up(settings: Settings, into: Path, console: Console | None = None) -> Path:
    """Make a backup in a folder, whole or not at all, and return the backup's own folder.

    Raises:
        BadInput: something cannot be read, or there is nothing to back up.
        OSError: the folder cannot be written.
    """
    console = console or open_console()
    now = datetime.now(UTC)
    final = into.absolute() / f"gradecast-{now:%Y%m%d-%H%M%S}"
    if final.is_relative_to(settings.home.absolute()):
        raise BadInput("lies in the state that it is to save.", file=into, remedy="Name another disk.")
    into.mkdir(parents=True, exist_ok=True)
    finished_folder(final, lambda draft: _fill(draft, settings, now, console))
    return final


def forget(into: Path, keep: int) -> list[Path]:
    """Remove all but the newest whole backups of a folder; return what was removed.

    Raises BadInput where none would be left.
    """
    if keep < 1:
        raise BadInput(f"{keep} backups cannot be kept.", remedy="Keep 1 or more.")
    made = sorted(path for path in into.glob("gradecast-*-*") if path.is_dir())
    for path in made[:-keep]:
        shutil.rmtree(path)
    return made[:-keep]


def _fill(draft: Path, settings: Settings, now: datetime, console: Console) -> None:
    every, spool = parts(settings), settings.home / "spool"
    # While one of them is saved already, no answer may go from the spool to the database.
    with drained_alone(spool) if spool.is_dir() else nullcontext():
        kept = [*_dump(every[:SPOOLED], draft, console)]
    kept += _dump(every[SPOOLED:], draft, console)
    if not kept:
        raise BadInput("there is nothing to back up.", file=settings.home, remedy="Is GRADECAST_HOME right?")
    missing = {part.name for part in every} - {each.name for each in kept}
    manifest = BackupManifest(made=now, commit=git_commit(), kept=tuple(kept), missing=tuple(sorted(missing)))
    write_manifest(draft, manifest)


def _dump(some: Sequence[BackupPart], draft: Path, console: Console) -> Iterator[BackupFile]:
    """Put parts that have something in them into files, and describe those."""
    for part in some:
        if part.exists():
            with stage(part.name, console):
                part.dump(draft / part.file)
            yield part.saved_in(draft)


def main(arguments: list[str] | None = None) -> int:
    """Back up from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.backup", description=__doc__)
    parser.add_argument("into", type=Path, help="folder in which the backup's folder is made")
    parser.add_argument("--keep", type=int, help="afterwards, remove all but so many (default: none)")
    given = parser.parse_args(arguments)

    def work(console: Console) -> None:
        show_backup(console, back_up(Settings(), given.into, console), "Backed up")
        for path in forget(given.into, given.keep) if given.keep is not None else ():
            print_line(console, f"Removed {path}")

    return run_plainly(work)


if __name__ == "__main__":
    sys.exit(main())
