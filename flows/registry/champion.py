"""The champion: its bundle, and the students it was trained on."""

from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from data.bundle import Bundle
from data.errors import Stopped
from data.manifest import REFERENCE, BundleError
from data.storage import read_frame
from flows.registry.store import CHAMPION, version_of_alias

TRAINED = "lineage/trained.parquet"


@dataclass(frozen=True)
class Champion:
    """A registered version, open for forecasts."""

    version: str
    bundle: Bundle
    trained: frozenset[str]

    def reference(self) -> pd.DataFrame:
        """Read the sample of records that it was trained on."""
        return read_frame(self.bundle.folder / REFERENCE, self.bundle.contract)

    def has_seen(self, pseudonyms: pd.Series) -> np.ndarray:
        """Tell for each pseudonym whether it was trained on."""
        return pseudonyms.isin(self.trained).to_numpy()


def load_champion(client: MlflowClient, name: str) -> Champion | None:
    """Load the champion, or return None when there is none.

    Raises Stopped when there is one that cannot be read: nothing may be decided past it.
    """
    version = version_of_alias(client, name, CHAMPION)
    return None if version is None else load_version(client, name, str(version.version))


def load_version(client: MlflowClient, name: str, version: str) -> Champion:
    """Load one version; raises Stopped when it cannot be read."""
    remedy = f"Restore its artifacts, or move the alias: mlflow models, {name}, version {version}."
    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}/artifacts/bundle"))
        run_id = client.get_model_version(name, version).run_id
        trained = pd.read_parquet(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=TRAINED))
        return Champion(version, Bundle.load(folder), frozenset(trained["pseudonym"]))
    except (BundleError, MlflowException, OSError) as error:
        raise Stopped(f"version {version} of {name} cannot be read: {error}. {remedy}") from error
