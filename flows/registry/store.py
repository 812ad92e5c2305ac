"""Open the registry: MLflow on SQLite in the state folder, or wherever MLFLOW_TRACKING_URI points."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import RunStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from data.contract import Contract
from flows.settings import Settings
from flows.support.locks import file_lock
from flows.support.workspace import finished_file

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"


def open_registry(settings: Settings) -> MlflowClient:
    """Return a client of the registry, its tables made if need be.

    Two processes that start at once would race to make them, so that is done under a lock. WAL lets a
    reader and a writer meet, and persists in the file.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    settings.home.mkdir(parents=True, exist_ok=True)
    point_mlflow_at(settings.mlflow_uri)
    with file_lock(settings.home / "mlflow.lock"):
        database = settings.home / "mlflow.db"
        if settings.local_registry and not (database.exists() and database.stat().st_size):
            finished_file(database, lambda draft: _make_tables(draft, settings))
        client = MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
        client.search_registered_models(max_results=1)
    return client


def _make_tables(database: Path, settings: Settings) -> None:
    """Make an empty registry; one whose migrations were cut short can never be opened again."""
    address = f"sqlite:///{database.resolve()}"
    store = SqlAlchemyStore(address, artifact_root(settings))  # type: ignore[no-untyped-call]
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    store.engine.dispose()  # the last connection takes the journal into the file


def artifact_root(settings: Settings) -> str:
    """Return where a local registry keeps its artifacts."""
    return (settings.home / "mlartifacts").resolve().as_uri()


def point_mlflow_at(uri: str) -> None:
    """Set MLflow's addresses for this process, and leave the environment as the person set it.

    MLflow writes them there too, where our settings would take them for a registry of the person's own.
    """
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    for name, value in before.items():
        os.environ.pop(name, None)
        os.environ.update({} if value is None else {name: value})


def experiment_id(client: MlflowClient, contract: Contract, settings: Settings) -> str:
    """Return the contract's experiment, made if need be, its artifacts in the state folder."""
    found = client.get_experiment_by_name(contract.model_name)
    if found is not None:
        return str(found.experiment_id)
    place = artifact_root(settings) if settings.local_registry else None
    return client.create_experiment(contract.model_name, artifact_location=place)


def version_of_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """Return the version that an alias points at, or None."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except (RestException, MlflowException) as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version_named(client: MlflowClient, name: str, alias_or_number: str) -> str | None:
    """Return the number of the version that an alias or a number names, or None."""
    if not alias_or_number.isdecimal():
        found = version_of_alias(client, name, alias_or_number)
        return None if found is None else str(found.version)
    known = client.search_model_versions(f"name = '{name}'")
    return next((str(each.version) for each in known if str(each.version) == alias_or_number), None)


def version_of_fingerprint(client: MlflowClient, name: str, fingerprint: str) -> ModelVersion | None:
    """Return the version that equal data, contract, grid and code registered before, or None."""
    query = f"name = '{name}' and tags.fingerprint = '{fingerprint}'"
    return next(iter(client.search_model_versions(query)), None)


def close_dead_runs(client: MlflowClient, experiment: str) -> int:
    """Mark runs left "running" by a killed pipeline as killed; call with the registry's lock held."""
    dead = client.search_runs([experiment], "attributes.status = 'RUNNING'")
    for run in dead:
        client.set_terminated(run.info.run_id, status=RunStatus.to_string(RunStatus.KILLED))
    return len(dead)


def move_alias(client: MlflowClient, name: str, alias: str, version: str | None) -> None:
    """Point an alias at a version, or take it away."""
    if version is not None:
        client.set_registered_model_alias(name, alias, version)
    elif version_of_alias(client, name, alias) is not None:
        client.delete_registered_model_alias(name, alias)
