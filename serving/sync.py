"""Bring the registry's model to disk: a verified copy, then one atomic switch.

`python -m serving.sync` copies the model of GRADECAST_MODEL_URI to var/bundle/MODEL/VERSION-DIGEST and points
`current` beside it at it. Whatever goes wrong before the switch, the last good bundle stays current.
"""

import argparse
import fcntl
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from data.contract import load_contract
from data.durable import put
from data.errors import BadInput
from data.manifest import MANIFEST, REFERENCE, BundleError, digest, read_manifest
from serving.registry import Found, fetch, find
from serving.settings import CURRENT, MODEL_URI, Settings
from serving.status import FILE as STATUS
from serving.trial import try_bundle

DIGITS = 12  # of the manifest's SHA-256, which covers every other file's
SYNCED = f"*-{'[0-9a-f]' * DIGITS}"
"""What the folders of synced bundles are called."""


def sync(settings: Settings) -> Path:
    """Make the model that the settings name current, and return its folder.

    Raises:
        BadInput: there is no such model; says what to do.
        BundleError: its bytes are not those that were registered, or it does not answer its examples.
    """
    adopt_former(settings)
    return bring(find(settings), settings)


def bring(found: Found, settings: Settings) -> Path:
    """Fetch, verify and try the model that was found, make it current, and return its folder.

    Raises as `sync` does. The bundle that was current before is kept, older ones are removed.
    """
    bundles = settings.bundles.absolute()
    with _drafts(bundles) as drafts:
        draft = fetch(found, settings, drafts)
        try:
            final = bundles / f"{found.version}-{_verify(draft, found.manifest_sha256)[:DIGITS]}"
            if not _is_whole(final):
                try_bundle(draft)
                _put(draft, final)
        except BundleError as error:
            where = str(error).replace(f"{draft}/", "").replace(f"{draft}: ", "")
            raise BundleError(f"version {found.version} was refused: {where}") from error
        for sample in bundles.glob(f"*/{REFERENCE}"):  # of students, as earlier releases fetched it
            sample.unlink()
        _switch(final, settings.current_bundle, drafts / "link")
    return final


def adopt_former(settings: Settings) -> None:
    """Take over what an earlier release, which kept one model for a whole home, left of this model.

    It lies in the folder that holds the models' folders now. What is another model's stays for that one;
    so does everything while a predictor of that release is at work.
    """
    former = settings.bundles.parent
    link, lock = former / CURRENT, former / ".follower"
    if not link.is_symlink():
        return
    with lock.open("a") as held, suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = former / link.readlink().name
        if folder.is_dir() and not _is_version_of(folder, settings.model_uri):
            return
        if folder.is_dir() and not settings.current_bundle.exists():
            _move_in(folder, settings)
        for left in (link, former / STATUS, former / ".lock", lock):
            left.unlink(missing_ok=True)
        for left in (former / ".drafts", *former.glob(SYNCED)):
            shutil.rmtree(left, ignore_errors=True)


def copy_to(folder: Path, to: Path) -> None:
    """Copy a synced bundle to a folder that is not there yet; raises BadInput where it is."""
    if to.exists():
        raise BadInput(f"{to} is there already.", remedy="Remove it, or name another folder.")
    shutil.copytree(folder, to)


def _is_version_of(folder: Path, uri: str) -> bool:
    """Tell whether a bundle, sound and named after its version, is of the model that an address names."""
    wanted, version = MODEL_URI.fullmatch(uri), folder.name.rpartition("-")[0]
    if wanted is None or not version.isdigit() or wanted["version"] not in (None, "latest", version):
        return False
    try:
        return read_manifest(folder).contract.replace("_", "-") == wanted["name"]
    except BundleError:
        return False


def _move_in(folder: Path, settings: Settings) -> None:
    """Move a bundle and what is known of it into the model's own folder; killed, it is gone on with."""
    own = settings.bundles
    own.mkdir(parents=True, exist_ok=True)
    (own / CURRENT).unlink(missing_ok=True)
    (own / CURRENT).symlink_to(folder.name)  # a link to nothing is no current bundle yet
    with suppress(FileNotFoundError):
        put(folder.with_name(STATUS), own / STATUS)
    put(folder, own / folder.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Sync once; exit 0 when the model is current, 1 when it is refused, 2 when there is none."""
    parser = argparse.ArgumentParser(prog="python -m serving.sync", description=__doc__)
    parser.add_argument("--contract", help="serve the champion of this contract (name or path)")
    parser.add_argument("--uri", action="store_true", help="say which model it would be, and sync nothing")
    parser.add_argument("--copy-to", type=Path, metavar="FOLDER", help="copy the bundle there, for an image")
    given = parser.parse_args(arguments)
    settings = Settings.from_environment()
    try:
        if given.contract:
            uri = f"models:/{load_contract(given.contract).model_name}@champion"
            settings = settings.model_copy(update={"model_uri": uri})
        if given.uri:
            print(settings.model_uri)
            return 0
        folder = sync(settings)
        if given.copy_to:
            copy_to(folder, given.copy_to)
    except (BadInput, BundleError, OSError) as error:
        kept = " The last good model is served on." if settings.current_bundle.exists() else ""
        print(f"sync: {error}{kept}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    print(f"sync: {settings.model_uri} is served from {folder}")
    return 0


def _verify(draft: Path, sealed: str | None) -> str:
    """Return the digest of a bundle's manifest; raises BundleError unless every byte is as registered."""
    if not (draft / MANIFEST).is_file():
        raise BundleError(f"no bundle there ({MANIFEST} is missing)")
    found = digest(draft / MANIFEST)
    if sealed is not None and found != sealed:
        raise BundleError(f"{MANIFEST}: the bytes are not those that were registered")
    read_manifest(draft)
    return found


def _is_whole(folder: Path) -> bool:
    """Tell whether a bundle that was tried before is there, with every byte as it was then."""
    try:
        return _verify(folder, None).startswith(folder.name.rpartition("-")[2])
    except BundleError:
        return False


def _put(draft: Path, final: Path) -> None:
    """Give a bundle that passed its name; one that was damaged on disk makes room for it."""
    if final.exists():
        final.rename(draft.with_name("damaged"))
    put(draft, final)


def _switch(final: Path, current: Path, link: Path) -> None:
    """Point the link at a bundle in one step, then remove all but it and the one before."""
    before = current.readlink().name if current.is_symlink() else None
    link.symlink_to(final.name)
    put(link, current)
    if before in (None, final.name):
        return
    for folder in final.parent.glob(SYNCED):
        if folder.name not in (before, final.name):
            shutil.rmtree(folder)


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
            shutil.rmtree(drafts, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
