"""Restore a backup of `flows.backup` to where the settings say, over nothing that is there.

Every digest is checked first, and every place: with anything in one of them, nothing is touched. Stop
everything that writes before; it may be started again when this is done.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from data.errors import BadInput
from flows.backups.parts import BackupManifest, BackupPart, parts, read_manifest, run_plainly, show_backup
from flows.runtime.progress import open_console, print_line, stage
from flows.settings import Settings


def restore(settings: Settings, backup: Path, console: Console | None = None) -> BackupManifest:
    """Put everything of a backup in its place, and return what it was.

    Raises:
        BadInput: the backup is not as it was made, or a place has something in it; nothing was touched. Or a
            database refused its part; what came before it is restored.
    """
    console = console or open_console()
    manifest = read_manifest(backup)
    places = {part.name: part for part in parts(settings)}
    kept = {each.name: each.file for each in manifest.kept}
    _check(places, kept)
    for name, file in kept.items():
        with stage(name, console):
            places[name].load(backup / file)
    _tell_if_moved(manifest, places["artifacts"].place, console)
    return manifest


def _check(places: dict[str, BackupPart], kept: dict[str, str]) -> None:
    """Raise BadInput unless every part has an empty place of the same kind."""
    for name, file in kept.items():
        if name not in places:
            raise BadInput(f"the backup has a part {name!r} that this Gradecast does not know.")
        if places[name].file != file:
            remedy = "Restore to the same kind, then move the log with `python -m data.log.move`."
            raise BadInput(f"{file} does not fit into {places[name].place}.", remedy=remedy)
    full = [places[name].place for name in kept if places[name].exists()]
    if full:
        remedy = "Move it away first: nothing is overwritten."
        raise BadInput(f"there is something already at {', '.join(full)}.", remedy=remedy)


def _tell_if_moved(manifest: BackupManifest, place: str, console: Console) -> None:
    """A registry without a server names its artifacts by where they were."""
    for each in manifest.kept:
        if each.name == "artifacts" and each.place != place:
            text = f"The registry looks for its artifacts in {each.place}: make that a link to {place}."
            print_line(console, Text(text, "yellow"))


def main(arguments: list[str] | None = None) -> int:
    """Restore from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.restore", description=__doc__)
    parser.add_argument("backup", type=Path, help="the backup's folder")
    parser.add_argument(
        "--check", action="store_true", help="check the backup's digests, and restore nothing"
    )
    given = parser.parse_args(arguments)
    return run_plainly(lambda console: _restore_or_check(console, given.backup, check=given.check))


def _restore_or_check(console: Console, backup: Path, *, check: bool) -> None:
    if not check:
        restore(Settings(), backup, console)
    show_backup(console, backup, "Sound" if check else "Restored")


if __name__ == "__main__":
    sys.exit(main())
