"""Folders and files that are either whole or not there, however a run ends, and though the power fails."""

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from data.durable import put
from data.manifest import digest
from flows.support.locks import file_lock, is_locked

DRAFTS, LOCK, DAMAGED = ".drafts", ".lock", ".damaged"
SEAL = "digests.json"
"""The file of a finished folder that has the SHA-256 of each other one."""

log = logging.getLogger("gradecast.workspace")


def finished_folder(final: Path, build: Callable[[Path], None]) -> bool:
    """Make a folder by building it elsewhere and renaming it; return False when it was there already.

    A run that is killed leaves a draft behind, never a half-written folder under its final name; the
    next run sweeps drafts whose owner is gone. Of two that build the same folder at once, one wins. One
    that is there and whose bytes are not those that were built is put aside, and made anew.
    """
    if final.is_dir() and fault_of(final) is None:
        with file_lock(final.parent / DRAFTS / LOCK):
            _sweep(final.parent / DRAFTS)
        return False
    with _place(final) as place:
        draft = place / "draft"
        draft.mkdir()
        build(draft)
        _seal(draft)
        _put_damaged_aside(final)
        try:
            put(draft, final)
        except OSError:
            if not final.is_dir():
                raise
    return True


def finished_file(final: Path, write: Callable[[Path], object]) -> None:
    """Write a file elsewhere and rename it, so that it is never half-written; replaces what was there."""
    with _place(final) as place:
        write(place / final.name)
        put(place / final.name, final)


def fault_of(folder: Path) -> str | None:
    """Return what a finished folder has other than what was built, None for nothing."""
    try:
        sealed: dict[str, str] = json.loads((folder / SEAL).read_bytes())
        wrong = [name for name, expected in sealed.items() if digest(folder / name) != expected]
    except (OSError, ValueError) as error:
        return f"{SEAL} cannot be read ({error})" if isinstance(error, ValueError) else str(error)
    return f"{wrong[0]} has other bytes than were written" if wrong else None


def _seal(draft: Path) -> None:
    """Write down the digest of each file of a folder."""
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    digests = {path.relative_to(draft).as_posix(): digest(path) for path in files}
    (draft / SEAL).write_text(json.dumps(digests, indent=1), encoding="utf-8")


def _put_damaged_aside(final: Path) -> None:
    """Make room for a folder; the damaged one is kept, for a person may have changed it on purpose."""
    with file_lock(final.parent / DRAFTS / LOCK):  # another run may have made it anew already
        fault = fault_of(final) if final.is_dir() else None
        if fault is None:
            return
        aside = final.parent / DAMAGED / final.name
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(exist_ok=True)
        final.rename(aside)
    log.warning("%s was damaged and is made anew: %s. What was there is in %s.", final, fault, aside)


@contextmanager
def _place(final: Path) -> Iterator[Path]:
    """Yield a folder of one's own to draft in, on the same disk, and remove it in the end.

    Its lock tells others that its owner lives. It is taken while no other can sweep: between being
    made and being locked it would look abandoned.
    """
    drafts = final.parent / DRAFTS
    with ExitStack() as held:
        with file_lock(drafts / LOCK):
            _sweep(drafts)
            place = Path(tempfile.mkdtemp(prefix=f"{final.name}-", dir=drafts))
            held.enter_context(file_lock(place / LOCK))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _sweep(drafts: Path) -> None:
    """Remove the drafts whose owner no longer holds their lock."""
    for place in drafts.iterdir():
        if place.is_dir() and not is_locked(place / LOCK):
            shutil.rmtree(place, ignore_errors=True)
