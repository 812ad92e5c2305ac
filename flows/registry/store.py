"""The MLflow registry: opened, asked by alias, the champion and the rows it learned from."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self
from weakref import finalize

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from mlflow import MlflowClient
from mlflow.entities import RunStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from data.bundle.bundle import Bundle
from data.bundle.manifest import REFERENCE, BundleError, verified
from data.contract.contract import Contract
from data.durable import file_lock
from data.errors import Stopped
from data.rows.frames import matrix, target_index
from data.sources.storage import as_stored, read_frame
from flows.runtime.workspace import finished_file
from flows.settings import Settings

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


def experiment_id(client: MlflowClient, name: str, settings: Settings) -> str:
    """Return the experiment of a name, made if need be, its artifacts in the state folder."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    place = artifact_root(settings) if settings.local_registry else None
    return client.create_experiment(name, artifact_location=place)


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


def close_dead_runs(client: MlflowClient, experiment: str) -> None:
    """Mark runs left "running" by a killed pipeline as killed; call with the registry's lock held."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        client.set_terminated(run.info.run_id, status=RunStatus.to_string(RunStatus.KILLED))


TRAINED = "lineage/trained.parquet"
BAD = "quarantine"
"""The split of rows that were set aside, in a lineage."""
COLUMNS = [("pseudonym", pa.string()), ("split", pa.string()), ("mark", pa.uint64())]
SCHEMA = pa.schema(COLUMNS, metadata={BAD: "marked"})


@dataclass(frozen=True)
class Lineage:
    """The students of a version's source."""

    trained: frozenset[str]
    """Pseudonyms of those it was trained on."""
    met: frozenset[int]
    """Marks of all its rows, those of the test split and of the quarantine too."""
    whole: bool = True
    """Whether the quarantine's rows have marks: in versions of before they had none."""

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """Read what `lineage_of` gave; versions of before have pseudonyms of the train split alone."""
        table = pyarrow.parquet.read_table(file)
        rows = table.to_pandas()
        if "split" not in rows:
            return cls(frozenset(rows["pseudonym"]), frozenset(), whole=False)
        trained = rows.loc[rows["split"] == "train", "pseudonym"]
        return cls(frozenset(trained), frozenset(rows["mark"]), BAD.encode() in (table.schema.metadata or {}))

    def has_met(self, frame: pd.DataFrame, contract: Contract) -> np.ndarray:
        """Tell for each row (n,) whether it was in the source, with the same answers and grade."""
        return marks(frame, contract).isin(self.met).to_numpy()


def lineage_of(rows: pd.DataFrame, contract: Contract) -> pa.Table:
    """Return pseudonym, split and mark of each row, as it is written."""
    split = rows["split"].where(rows["quarantine"] == "", BAD)
    found = rows[["pseudonym"]].assign(split=split, mark=marks(rows, contract))
    return pa.Table.from_pandas(found, SCHEMA, preserve_index=False).replace_schema_metadata(SCHEMA.metadata)


def marks(frame: pd.DataFrame, contract: Contract) -> pd.Series:
    """Return a 64-bit mark of each row (n,): of who it is, what is asked and the grade.

    A student who comes again with another record or grade has another mark. Clean rows are marked by what
    the model reads, those that no model can read by their cells.
    """
    bad = frame["quarantine"] != ""
    clean, names = frame[~bad], ["pseudonym", contract.target.column, *(c.name for c in contract.asked)]
    features = pd.DataFrame(matrix(clean, contract), index=clean.index).rename(columns=str)
    read = features.assign(pseudonym=clean["pseudonym"].astype(str), grade=target_index(clean, contract))
    unread = as_stored(frame[bad].reindex(columns=names)).astype(str)
    marked = [pd.util.hash_pandas_object(rows, index=False) for rows in (read, unread)]
    return pd.concat(marked).reindex(frame.index)


@dataclass(frozen=True)
class Champion:
    """A registered version, open for forecasts."""

    version: str
    bundle: Bundle
    lineage: Lineage

    def reference(self) -> pd.DataFrame:
        """Read the sample of records that it was trained on."""
        return read_frame(self.bundle.folder / REFERENCE, self.bundle.contract)

    def has_seen(self, pseudonyms: pd.Series) -> np.ndarray:
        """Tell for each pseudonym (n,) whether that student was trained on."""
        return pseudonyms.isin(self.lineage.trained).to_numpy()


def load_champion(client: MlflowClient, name: str) -> Champion | None:
    """Load the champion, or return None when there is none.

    Raises Stopped when there is one that cannot be read: nothing may be decided past it.
    """
    version = version_named(client, name, CHAMPION)
    return None if version is None else load_version(client, name, version)


def load_version(client: MlflowClient, name: str, version: str) -> Champion:
    """Load one version; raises Stopped when it cannot be read."""
    run_id = client.get_model_version(name, version).run_id
    with _readable(name, version), TemporaryDirectory() as folder:
        place = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=TRAINED, dst_path=folder)
        return Champion(version, _bundle(name, version), Lineage.read(place))


def load_bundle(name: str, version: str) -> Bundle:
    """Open the bundle of one version alone; raises Stopped when it cannot be read."""
    with _readable(name, version):
        return _bundle(name, version)


def _bundle(name: str, version: str) -> Bundle:
    """Open a bundle whose files are there for as long as it is: MLflow would leave them for ever."""
    source = f"models:/{name}/{version}/artifacts/bundle"
    with ExitStack() as held:
        folder = held.enter_context(TemporaryDirectory())
        bundle = Bundle.load(mlflow.artifacts.download_artifacts(source, dst_path=folder))
        verified(bundle.folder / REFERENCE, bundle.manifest)  # which a bundle that is served has not
        finalize(bundle, held.pop_all().close)
        return bundle


@contextmanager
def _readable(name: str, version: str) -> Iterator[None]:
    remedy = f"Restore its artifacts, or move the alias: mlflow models, {name}, version {version}."
    try:
        yield
    except (BundleError, MlflowException, OSError, pa.ArrowInvalid) as error:
        raise Stopped(f"version {version} of {name} cannot be read: {error}. {remedy}") from error
