"""Folders and files that are either whole or not there, however a run ends."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.support.locks import file_lock, is_locked

DRAFTS, LOCK = ".drafts", ".lock"


def finished_folder(final: Path, build: Callable[[Path], None]) -> bool:
    """Make a folder by building it elsewhere and renaming it; return False when it was there already.

    A run that is killed leaves a draft behind, never a half-written folder under its final name; the
    next run sweeps drafts whose owner is gone. Of two that build the same folder at once, one wins.
    """
    if final.is_dir():
        with file_lock(final.parent / DRAFTS / LOCK):
            _sweep(final.parent / DRAFTS)
        return False
    with _place(final) as place:
        draft = place / "draft"
        draft.mkdir()
        build(draft)
        try:
            draft.rename(final)
        except OSError:
            if not final.is_dir():
                raise
    return True


def finished_file(final: Path, write: Callable[[Path], object]) -> None:
    """Write a file elsewhere and rename it, so that it is never half-written; replaces what was there."""
    with _place(final) as place:
        write(place / final.name)
        (place / final.name).replace(final)


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
