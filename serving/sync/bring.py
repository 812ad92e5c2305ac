"""Bring the registry's model to disk: a verified copy, then one atomic switch.

`sync` copies the model of GRADECAST_MODEL_URI to var/bundle/MODEL/VERSION-DIGEST and points
`current` beside it at it. Whatever goes wrong before the switch, the last good bundle stays current.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from data.bundle.manifest import MANIFEST, REFERENCE, BundleError, read_manifest
from data.durable import digest, file_lock, put
from data.errors import BadInput
from data.words import TRAIN_ONE
from serving.health import FILE as STATUS
from serving.settings import CURRENT, MODEL_URI, PredictorSettings
from serving.sync.smoke_test import smoke_test

PREFIX = "sqlite:///"
REMEDY = f"{TRAIN_ONE}."


def registry_file(uri: str) -> Path | None:
    """Return the file of a registry's address, or None if it is not a SQLite file."""
    return Path(uri.removeprefix(PREFIX).partition("?")[0]) if uri.startswith(PREFIX) else None


def check_registry_file(uri: str) -> None:
    """Raise BadInput unless a SQLite registry is there and holds a model.

    MLflow must not be let at one that holds none: the pipeline may be making it right now, and two
    that make it at once ruin it.
    """
    path = registry_file(uri)
    if path is None:
        return
    if not path.is_file():
        raise BadInput(f"there is no registry yet at {path}.", remedy=REMEDY)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            found = database.execute("SELECT 1 FROM model_versions LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        raise BadInput(f"there is no registry yet at {path} ({error}).", remedy=REMEDY) from error
    except sqlite3.DatabaseError as error:
        raise BadInput(f"{path} is not a registry ({error}).", remedy=REMEDY) from error
    if not found:
        raise BadInput(f"there is no model yet in the registry at {path}.", remedy=REMEDY)


def file_identity(uri: str) -> tuple[int, int] | None:
    """Return which file a registry is, for one put in its place has the same name; None where none is."""
    path = registry_file(uri)
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_dev, stat.st_ino) if stat else None


if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

TRAIN = f"{TRAIN_ONE}, or name another in GRADECAST_MODEL_URI."
QUIET = {  # read when MLflow is imported, or used; a registry that is away must not be waited for
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass(frozen=True)
class WantedModel:
    """The model that is wanted: equal as long as it is the same one."""

    version: str
    """The registry's number, or `local`."""
    place: str
    """A folder, or the address of the version's artifacts."""
    made: tuple[int, ...]
    """When the version or the folder's files were made."""
    manifest_sha256: str | None
    """What the registry says of the bundle's manifest; a folder has nobody to say it."""


def find(settings: PredictorSettings) -> WantedModel:
    """Find the model that the settings name, without fetching it; raises BadInput where there is none."""
    uri = settings.model_uri
    if not uri.startswith("models:"):
        return _local(Path(uri.removeprefix("file://")))
    match = MODEL_URI.fullmatch(uri)
    if match is None:
        forms = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest or a folder"
        raise BadInput(f"GRADECAST_MODEL_URI is {uri!r}.", remedy=f"Give it as {forms}.")
    check_registry_file(settings.registry_uri)
    return _registered(settings, **match.groupdict())


def fetch(found: WantedModel, settings: PredictorSettings, drafts: Path) -> Path:
    """Copy a model's bundle, without its sample of students, into a folder for drafts.

    Raises BadInput, or BundleError if it is none.
    """
    if found.manifest_sha256 is None:
        return _copy(Path(found.place), drafts / "bundle")
    import mlflow
    from mlflow.exceptions import MlflowException

    registry = settings.registry_uri
    draft = drafts / "bundle"
    draft.mkdir()
    try:
        for file in mlflow.artifacts.list_artifacts(found.place, tracking_uri=registry):
            name = file.path.rpartition("/")[2]
            if file.is_dir:
                raise BundleError(f"{name}: a bundle holds files alone")
            if name != REFERENCE:  # students, whom no forecast needs
                place = f"{found.place}/{name}"
                mlflow.artifacts.download_artifacts(place, dst_path=str(draft), tracking_uri=registry)
    except (MlflowException, OSError) as error:
        raise BadInput(f"version {found.version} cannot be fetched: {error}.", remedy=TRAIN) from error
    return draft


def _local(folder: Path) -> WantedModel:
    try:
        stats = [path.stat() for path in sorted(folder.iterdir())]
    except OSError as error:
        uri = f"GRADECAST_MODEL_URI is {str(folder)!r}"
        raise BadInput(f"{uri}, and there is no such folder ({error.strerror}).", remedy=TRAIN) from error
    made = tuple(part for stat in stats for part in (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return WantedModel("local", str(folder.absolute()), made, None)


def _copy(folder: Path, draft: Path) -> Path:
    """Copy a bundle's files, and nothing else: a wrong address may be a folder of anything."""
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: no bundle there ({MANIFEST} is missing)")
    draft.mkdir()
    try:
        for path in folder.iterdir():
            if not path.is_file():
                raise BundleError(f"{path}: a bundle holds files alone")
            if path.name != REFERENCE:  # students, whom no forecast needs
                shutil.copyfile(path, draft / path.name)
    except OSError as error:
        raise BadInput(f"{folder} cannot be copied: {error}.") from error
    return draft


def _registered(
    settings: PredictorSettings, name: str, alias: str | None, version: str | None
) -> WantedModel:
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        client = mlflow.MlflowClient(settings.registry_uri, settings.registry_uri)
        model = _version(client, name, alias, version)
        place = client.get_model_version_download_uri(name, model.version)
    except (MlflowException, OSError) as error:
        raise BadInput(f"{settings.model_uri} cannot be had: {error}.", remedy=TRAIN) from error
    sealed = model.tags.get("manifest_sha256")
    if not sealed:
        raise BadInput(f"version {model.version} of {name} has no manifest_sha256 tag.", remedy=TRAIN)
    return WantedModel(str(model.version), f"{place}/artifacts/bundle", (model.creation_timestamp,), sealed)


def _version(client: "MlflowClient", name: str, alias: str | None, version: str | None) -> "ModelVersion":
    if alias:
        return client.get_model_version_by_alias(name, alias)
    if version != "latest":
        return client.get_model_version(name, str(version))
    versions = client.search_model_versions(f"name = '{name}'")
    if not versions:
        raise BadInput(f"{name} has no version in the registry.", remedy=TRAIN)
    return max(versions, key=lambda found: int(found.version))


DIGITS = 12  # of the manifest's SHA-256, which covers every other file's
SYNCED = f"*-{'[0-9a-f]' * DIGITS}"
"""What the folders of synced bundles are called."""


def sync(settings: PredictorSettings) -> Path:
    """Make the model that the settings name current, and return its folder.

    Raises:
        BadInput: there is no such model; says what to do.
        BundleError: its bytes are not those that were registered, or it does not answer its examples.
    """
    adopt_former(settings)
    return bring(find(settings), settings)


def bring(found: WantedModel, settings: PredictorSettings) -> Path:
    """Fetch, verify and try the model that was found, make it current, and return its folder.

    Raises as `sync` does. The bundle that was current before is kept, older ones are removed.
    """
    bundles = settings.bundles.absolute()
    with _drafts(bundles) as drafts:
        draft = fetch(found, settings, drafts)
        try:
            final = bundles / f"{found.version}-{_verify(draft, found.manifest_sha256)[:DIGITS]}"
            if not _is_whole(final):
                smoke_test(draft)
                _put(draft, final)
        except BundleError as error:
            where = str(error).replace(f"{draft}/", "").replace(f"{draft}: ", "")
            raise BundleError(f"version {found.version} was refused: {where}") from error
        for sample in bundles.glob(f"*/{REFERENCE}"):  # of students, as earlier releases fetched it
            sample.unlink()
        _switch(final, settings.current_bundle, drafts / "link")
    return final


def adopt_former(settings: PredictorSettings) -> None:
    """Take over what an earlier release, which kept one model for a whole home, left of this model.

    It lies in the folder that holds the models' folders now. What is another model's stays for that one;
    so does everything while a predictor of that release is at work.
    """
    former = settings.bundles.parent
    link, lock = former / CURRENT, former / ".follower"
    if not link.is_symlink():
        return
    with suppress(BlockingIOError, FileNotFoundError), file_lock(lock, blocking=False):
        folder = former / link.readlink().name
        if folder.is_dir() and not _is_version_of(folder, settings.model_uri):
            return
        if folder.is_dir() and not settings.current_bundle.exists():
            _move_in(folder, settings)
        for left in (link, former / STATUS, former / ".lock", lock):
            left.unlink(missing_ok=True)
        for left in (former / ".drafts", *former.glob(SYNCED)):
            shutil.rmtree(left, ignore_errors=True)


def _is_version_of(folder: Path, uri: str) -> bool:
    """Tell whether a bundle, sound and named after its version, is of the model that an address names."""
    wanted, version = MODEL_URI.fullmatch(uri), folder.name.rpartition("-")[0]
    if wanted is None or not version.isdigit() or wanted["version"] not in (None, "latest", version):
        return False
    try:
        return read_manifest(folder).contract.replace("_", "-") == wanted["name"]
    except BundleError:
        return False


def _move_in(folder: Path, settings: PredictorSettings) -> None:
    """Move a bundle and what is known of it into the model's own folder; killed, it is gone on with."""
    own = settings.bundles
    own.mkdir(parents=True, exist_ok=True)
    (own / CURRENT).unlink(missing_ok=True)
    (own / CURRENT).symlink_to(folder.name)  # a link to nothing is no current bundle yet
    with suppress(FileNotFoundError):
        put(folder.with_name(STATUS), own / STATUS)
    put(folder, own / folder.name)


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
    drafts = bundles / ".drafts"
    with file_lock(bundles / ".lock"):
        shutil.rmtree(drafts, ignore_errors=True)  # of a sync that was killed
        drafts.mkdir()
        try:
            yield drafts
        finally:
            shutil.rmtree(drafts, ignore_errors=True)
