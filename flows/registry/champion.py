"""The champion: its bundle, and the students it was trained on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from weakref import finalize

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from data.bundle import Bundle
from data.errors import Stopped
from data.manifest import REFERENCE, BundleError, verified
from data.storage import read_frame
from flows.registry.lineage import TRAINED, Lineage
from flows.registry.store import CHAMPION, version_of_alias


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
        """Tell for each pseudonym whether it was trained on."""
        return self.lineage.has_trained_on(pseudonyms)


def load_champion(client: MlflowClient, name: str) -> Champion | None:
    """Load the champion, or return None when there is none.

    Raises Stopped when there is one that cannot be read: nothing may be decided past it.
    """
    version = version_of_alias(client, name, CHAMPION)
    return None if version is None else load_version(client, name, str(version.version))


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
