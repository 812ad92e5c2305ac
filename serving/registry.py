"""Where a model's bundle is: a folder, or an alias, a version or `latest` of the MLflow registry."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import BadInput
from serving.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+|latest))")
TRAIN = "Train one with `make pipeline`, or name another in GRADECAST_MODEL_URI."


@dataclass(frozen=True)
class Source:
    """A bundle to serve and what its version is called: the registry's number, or `local`."""

    version: str
    folder: Path


def find_source(settings: Settings) -> Source:
    """Find the bundle that the settings name; raises BadInput where there is none."""
    uri = settings.model_uri
    if not uri.startswith("models:"):
        return _local(uri)
    match = MODEL_URI.fullmatch(uri)
    if match is None:
        forms = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest or a folder"
        raise BadInput(f"GRADECAST_MODEL_URI is {uri!r}.", remedy=f"Give it as {forms}.")
    if not settings.tracking_uri and not settings.registry_file.exists():
        raise BadInput(f"there is no registry yet at {settings.registry_file}.", remedy=TRAIN)
    return _registered(settings, **match.groupdict())


def _local(uri: str) -> Source:
    folder = Path(uri.removeprefix("file://"))
    if not folder.is_dir():
        raise BadInput(f"GRADECAST_MODEL_URI is {uri!r}, and there is no such folder.", remedy=TRAIN)
    return Source("local", folder)


def _registered(settings: Settings, name: str, alias: str | None, version: str | None) -> Source:
    for quiet in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY"):  # read when MLflow is imported
        os.environ.setdefault(quiet, "true")
    import mlflow
    from mlflow.exceptions import MlflowException

    registry = settings.registry_uri
    try:
        client = mlflow.MlflowClient(registry, registry)
        number = _number(client, name, alias, version)
        model = client.get_model_version_download_uri(name, number)
        path = mlflow.artifacts.download_artifacts(f"{model}/artifacts/bundle", tracking_uri=registry)
    except (MlflowException, OSError) as error:
        raise BadInput(f"{settings.model_uri} cannot be had: {error}.", remedy=TRAIN) from error
    return Source(number, Path(path))


def _number(client: "MlflowClient", name: str, alias: str | None, version: str | None) -> str:
    if alias:
        return str(client.get_model_version_by_alias(name, alias).version)
    if version != "latest":
        return str(client.get_model_version(name, str(version)).version)
    versions = [int(found.version) for found in client.search_model_versions(f"name = '{name}'")]
    if not versions:
        raise BadInput(f"{name} has no version in the registry.", remedy=TRAIN)
    return str(max(versions))
