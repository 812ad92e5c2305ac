"""Bring the registry's model to disk: a verified copy, then one atomic switch.

`python -m serving.sync` copies the model of GRADECAST_MODEL_URI to var/bundle/VERSION-DIGEST and points
var/bundle/current at it. Whatever goes wrong before the switch, the last good bundle stays current.
"""

import argparse
import fcntl
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data.bundle import MANIFEST, Bundle, BundleError, digest, read_manifest
from data.contract import load_contract
from data.errors import BadInput
from serving.registry import Source, find_source
from serving.settings import Settings

DIGITS = 12  # of the manifest's SHA-256, which covers every other file's


def sync(settings: Settings) -> Path:
    """Make the model that the settings name current, and return its folder.

    Raises:
        BadInput: there is no such model; says what to do.
        BundleError: its bytes are not those that were registered, or it does not answer its examples.
    """
    source = find_source(settings)
    final = settings.bundles.absolute() / f"{source.version}-{_digest(source.folder)}"
    with _drafts(final.parent) as drafts:
        if not _is_whole(final):
            _copy(source, drafts / "bundle", final)
        link = drafts / "link"
        link.symlink_to(final.name)
        link.replace(settings.current_bundle)
    return final


def main(arguments: Sequence[str] | None = None) -> int:
    """Sync once; exit 0 when the model is current, 1 when it is refused, 2 when there is none."""
    parser = argparse.ArgumentParser(prog="python -m serving.sync", description=__doc__)
    parser.add_argument("--contract", help="serve the champion of this contract (name or path)")
    given = parser.parse_args(arguments)
    settings = Settings.from_environment()
    try:
        if given.contract:
            uri = f"models:/{load_contract(given.contract).model_name}@champion"
            settings = settings.model_copy(update={"model_uri": uri})
        folder = sync(settings)
    except (BadInput, BundleError) as error:
        kept = " The last good model is served on." if settings.current_bundle.exists() else ""
        print(f"sync: {error}{kept}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    print(f"sync: {settings.model_uri} is served from {folder}")
    return 0


def _digest(folder: Path) -> str:
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: no bundle there ({MANIFEST} is missing)")
    return digest(folder / MANIFEST)[:DIGITS]


def _is_whole(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except BundleError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def _copy(source: Source, draft: Path, final: Path) -> None:
    """Copy a bundle, check the copy, and only then give it its name."""
    shutil.copytree(source.folder, draft)
    Bundle.load(draft).check()
    draft.rename(final)


@contextmanager
def _drafts(bundles: Path) -> Iterator[Path]:
    """Give an empty folder beside the bundles to one sync at a time, and leave nothing behind."""
    bundles.mkdir(parents=True, exist_ok=True)
    drafts = bundles / ".drafts"
    with (bundles / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(drafts, ignore_errors=True)  # of a sync that was killed
        drafts.mkdir()
        try:
            yield drafts
        finally:
            shutil.rmtree(drafts)


if __name__ == "__main__":
    sys.exit(main())
