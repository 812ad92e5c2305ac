"""Where a model's bundle is: a folder, or an alias, a version or `latest` of the MLflow registry."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import BadInput
from data.manifest import MANIFEST, REFERENCE, BundleError
from serving.registry_file import check_registry_file
from serving.settings import MODEL_URI, Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

TRAIN = "Train one with `make pipeline`, or name another in GRADECAST_MODEL_URI."
QUIET = {  # read when MLflow is imported, or used; a registry that is away must not be waited for
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass(frozen=True)
class Found:
    """The model that is wanted: equal as long as it is the same one."""

    version: str
    """The registry's number, or `local`."""
    place: str
    """A folder, or the address of the version's artifacts."""
    made: tuple[int, ...]
    """When the version or the folder's files were made."""
    manifest_sha256: str | None
    """What the registry says of the bundle's manifest; a folder has nobody to say it."""


def find(settings: Settings) -> Found:
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


def fetch(found: Found, settings: Settings, drafts: Path) -> Path:
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


def _local(folder: Path) -> Found:
    try:
        stats = [path.stat() for path in sorted(folder.iterdir())]
    except OSError as error:
        uri = f"GRADECAST_MODEL_URI is {str(folder)!r}"
        raise BadInput(f"{uri}, and there is no such folder ({error.strerror}).", remedy=TRAIN) from error
    made = tuple(part for stat in stats for part in (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return Found("local", str(folder.absolute()), made, None)


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


def _registered(settings: Settings, name: str, alias: str | None, version: str | None) -> Found:
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
    return Found(str(model.version), f"{place}/artifacts/bundle", (model.creation_timestamp,), sealed)


def _version(client: "MlflowClient", name: str, alias: str | None, version: str | None) -> "ModelVersion":
    if alias:
        return client.get_model_version_by_alias(name, alias)
    if version != "latest":
        return client.get_model_version(name, str(version))
    versions = client.search_model_versions(f"name = '{name}'")
    if not versions:
        raise BadInput(f"{name} has no version in the registry.", remedy=TRAIN)
    return max(versions, key=lambda found: int(found.version))
