"""Log one pipeline run to MLflow and register its bundle as a model version."""

import json
import math
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric, Param
from mlflow.entities.model_registry import ModelVersion

from data.columns import Kind
from data.contract import Contract
from data.durable import flush
from data.frames import parse
from data.manifest import CARD, CONTRACT, EXAMPLES, MANIFEST, digest
from data.pyfunc import ARTIFACT
from data.storage import as_stored
from data.yaml_files import is_file
from flows.registry.lineage import TRAINED
from flows.registry.signature import model_signature
from flows.registry.submission import Submission
from flows.reports.fairness import fairness_audits
from flows.reports.fairness_table import fairness_table
from flows.support.fingerprint import ROOT

BEST_FEW = 3
BATCH = 1_000  # metrics that MLflow takes at once
DATASET_ROWS = 50_000  # of the records that the run names
REQUIRED = ["mlflow", "numpy", "onnxruntime", "pandas", "pandera", "pydantic", "pyyaml", "xgboost-cpu"]


def log_and_register(client: MlflowClient, experiment: str, submission: Submission) -> ModelVersion:
    """Log the one MLflow run of a pipeline run and register its bundle; a failure marks the run failed."""
    trained, evidence, settings = submission.trained, submission.evidence, submission.settings
    name = f"{submission.contract.model_name}-{trained.fingerprint[:8]}"
    tags = version_tags(submission)
    with mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags) as run:
        mlflow.log_params({**evidence.params, "folds": settings.folds, "seed": settings.seed})
        mlflow.log_metrics({key: value for key, value in evidence.metrics.items() if value is not None})
        log_candidates(client, run.info.run_id, experiment, trained.leaderboard())
        log_training_data(submission)
        mlflow.log_artifacts(str(submission.place / "plots"), "plots")
        mlflow.log_artifact(str(submission.bundle / CARD))
        mlflow.log_table(fairness_table(fairness_audits(evidence)), "fairness.json")
        mlflow.log_artifact(str(submission.processed.folder / "report.html"), "reports")
        return register_bundle(client, submission, tags)


def version_tags(submission: Submission) -> dict[str, str]:
    """Return what a version says of its origin."""
    return {
        "fingerprint": submission.fingerprint,
        "git_commit": str(submission.evidence.data["git_commit"]),
        "source": submission.processed.source,
        "source_sha256": submission.processed.sha256,
        "contract_sha256": digest(submission.bundle / CONTRACT),
        "manifest_sha256": digest(submission.bundle / MANIFEST),
    }


def log_candidates(client: MlflowClient, run_id: str, experiment: str, leaderboard: pd.DataFrame) -> None:
    """Log every candidate and baseline as a table and as steps, best last, and the best few as child runs.

    One batch takes a fraction of a second where a nested run for each candidate takes many.
    """
    mlflow.log_table(leaderboard.astype(object).where(leaderboard.notna(), None), "leaderboard.json")
    now = int(time.time() * 1000)
    losses = enumerate(leaderboard["cv_log_loss"].tolist()[::-1])  # MLflow's table of runs shows the last
    steps = [Metric("leaderboard_cv_log_loss", loss, now, step) for step, loss in losses]
    for start in range(0, len(steps), BATCH):
        client.log_batch(run_id, metrics=steps[start : start + BATCH])
    for rank, record in enumerate(leaderboard.head(BEST_FEW).to_dict("records"), start=1):
        row = {str(name): value for name, value in record.items()}
        tags = {"mlflow.parentRunId": run_id}
        child = client.create_run(experiment, run_name=f"{rank}-{row['model']}", tags=tags).info.run_id
        numbers = [Metric(k, v, now, 0) for k, v in row.items() if _is_metric(k, v)]
        params = [Param(k, str(v)) for k, v in row.items() if not k.startswith("cv_") and v == v]
        client.log_batch(child, metrics=numbers, params=params)
        client.set_terminated(child)


def _is_metric(name: str, value: object) -> bool:
    return name.startswith("cv_") and isinstance(value, float) and math.isfinite(value)


def log_training_data(submission: Submission) -> None:
    """Log the training records as the run's data set, and who they are as pseudonyms.

    A later run can tell from the latter which students this model has not seen.
    """
    contract, processed = submission.contract, submission.processed
    train = processed.sample(contract, DATASET_ROWS, "train", clean=True)  # all, where there are no more
    # MLflow knows files alone; the tag names any source. None is allowed, whatever the hint says.
    file: Any = processed.source if is_file(processed.source) else None
    target = contract.target.column
    with warnings.catch_warnings():  # two equal ways to see a path as a source
        warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted")
        dataset = from_pandas(as_stored(train), source=file, name=contract.model_name, targets=target)
    mlflow.log_input(dataset, context="training", tags={"source": processed.source})
    lineage = Path(TRAINED)
    mlflow.log_artifact(str(submission.place / lineage.name), str(lineage.parent))


def register_bundle(client: MlflowClient, submission: Submission, tags: dict[str, str]) -> ModelVersion:
    """Log the bundle as a pyfunc model ("models from code") and register it as a new version.

    Raises RuntimeError if MLflow lost the signature on the way.
    """
    contract = submission.contract
    info = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(ROOT / "data" / "pyfunc.py"),
        artifacts={ARTIFACT: str(submission.bundle)},
        code_paths=[str(ROOT / "data")],
        signature=model_signature(contract),
        input_example=example_input(_made_up_students(submission.bundle, contract), contract),
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIRED],
        metadata={"contract": contract.name, **tags},
    )
    if info.signature is None:
        raise RuntimeError("MLflow dropped the model's signature; nothing was registered")
    keep_artifacts(client, info.run_id, info.model_id)
    name = contract.model_name
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description=contract.title)
    return client.create_model_version(
        name, info.model_uri, run_id=info.run_id, tags=tags, model_id=info.model_id
    )


def keep_artifacts(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Have the disk keep what a version consists of before the registry names it; a server does so itself."""
    places = client.get_logged_model(model_id).artifact_location, client.get_run(run_id).info.artifact_uri
    for place in places:
        if place.startswith("file:"):
            flush(Path(url2pathname(urlsplit(place).path)))


def _made_up_students(bundle: Path, contract: Contract) -> pd.DataFrame:
    """Return the students of a bundle's examples as parsed."""
    records = [example["record"] for example in json.loads((bundle / EXAMPLES).read_bytes())]
    return parse(pd.DataFrame(records, dtype=object), contract, labelled=False)


def example_input(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return three raw records as a caller would send them: codes, whole numbers, numbers."""
    asked = frame[[column.name for column in contract.asked if column.name in frame]].head(3)
    unknown = [
        column.name for column in contract.audit if column.name in asked and asked[column.name].isna().any()
    ]
    asked = asked.drop(columns=unknown)
    sure = [c for c in contract.asked if not c.nullable and c.name in asked]
    coded = {c.name: asked[c.name].cat.categories.dtype for c in sure if c.coded}
    whole = {c.name: "int64" for c in sure if c.kind is Kind.INTEGER}
    texts = {c.name: "str" for c in contract.features if c.coded and c.nullable}  # as the signature has them
    return asked.astype({**coded, **whole, **texts})
