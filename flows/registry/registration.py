"""A bundle as a version of the registry: logged, registered, judged, settled."""

import json
import math
import shutil
import tempfile
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
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType, Array
from pydantic import BaseModel, ConfigDict

from data.bundle.manifest import CARD, CONTRACT, EXAMPLES, MANIFEST
from data.bundle.pyfunc import ARTIFACT
from data.contract.columns import Column, Role
from data.contract.contract import Contract
from data.contract.yaml_files import is_file
from data.durable import digest, flush
from data.rows.frames import parse
from data.rows.records import asking
from data.sources.storage import as_stored
from flows.registry.bundling import Submission, make_bundle
from flows.registry.decisions import PromotionVerdict, as_of_now, ask, deciding, recorded_verdict, settle
from flows.registry.promotion import judge
from flows.registry.rollout import Canary
from flows.registry.store import TRAINED, close_dead_runs, experiment_id, version_of_fingerprint
from flows.reports.fairness import fairness_audits, fairness_table
from flows.runtime.workspace import ROOT, with_imports

PYFUNC = Path("data/bundle/pyfunc.py")
BEST_FEW = 3
BATCH = 1_000  # metrics that MLflow takes at once
DATASET_ROWS = 50_000  # of the records that the run names
REQUIRED = ["mlflow", "numpy", "onnxruntime", "pandas", "pydantic", "pyyaml", "xgboost-cpu"]


class Registered(BaseModel):
    """A model version, and what was decided about it."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    run_id: str
    promoted: bool
    reason: str
    figures: dict[str, float]
    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    bayes: dict[str, float] | None
    reused: bool
    waits: bool = False
    """Whether it has won, and waits for a person to approve it."""
    canary: str = ""
    """What came of watching the predictor after a promotion."""

    def watched(self, found: Canary) -> "Registered":
        """Return the version as the canary leaves it."""
        if found.state != "rolled back":
            return self.model_copy(update={"canary": f"{found.state}: {found.detail}"})
        reason = f"it was promoted, and rolled back by the canary: {found.detail}"
        return self.model_copy(update={"promoted": False, "reason": reason, "canary": found.detail})


def register_submission(submission: Submission) -> Registered:
    """Register a submission and judge it, or return what an equal run registered.

    One at a time on this machine. A run killed between registering and judging is taken up where it
    was. Raises BundleError when the bundle does not hold what it promises.
    """
    contract, settings, evidence = submission.contract, submission.settings, submission.evidence
    make_bundle(submission)
    with deciding(settings, contract.model_name) as client:
        experiment = experiment_id(client, contract, settings)
        if settings.local_registry:  # elsewhere another machine may be at work on one
            close_dead_runs(client, experiment)
        known = version_of_fingerprint(client, contract.model_name, submission.fingerprint)
        version = known or log_and_register(client, experiment, submission)
        verdict, waits = _decide(client, submission, version)
    return Registered(
        name=contract.model_name,
        version=str(version.version),
        run_id=str(version.run_id),
        promoted=verdict.promoted and not waits,
        reason=verdict.reason,
        figures=verdict.figures,
        metrics=evidence.metrics,
        intervals=evidence.intervals,
        bayes=evidence.bayes,
        reused=known is not None,
        waits=waits,
    )


def _decide(
    client: MlflowClient, submission: Submission, version: ModelVersion
) -> tuple[PromotionVerdict, bool]:
    """Judge a version that was not judged yet; return the verdict, and whether it waits for a person.

    Where a person must approve, a version that has won is not promoted: they are asked, and an equal run
    asks again until they have answered.
    """
    settings, name, number = submission.settings, submission.contract.model_name, str(version.version)
    verdict = recorded_verdict(version)
    if verdict is None:
        verdict = judge(client, submission, version)
        if verdict.promoted and submission.asks_person:
            ask(client, settings, name, number, verdict)
            return verdict, True
        settle(client, settings, name, number, verdict)
    return as_of_now(client, name, number, verdict), False


def log_and_register(client: MlflowClient, experiment: str, submission: Submission) -> ModelVersion:
    """Log the one MLflow run of a pipeline run and register its bundle; a failure marks the run failed."""
    trained, evidence, settings = submission.trained, submission.evidence, submission.settings
    name = f"{submission.contract.model_name}-{trained.fingerprint[:8]}"
    tags = {
        "fingerprint": submission.fingerprint,
        "git_commit": str(evidence.data["git_commit"]),
        "source": submission.processed.source,
        "source_sha256": submission.processed.sha256,
        "contract_sha256": digest(submission.bundle / CONTRACT),
        "manifest_sha256": digest(submission.bundle / MANIFEST),
    }
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
        scored = {k: v for k, v in row.items() if k.startswith("cv_") and isinstance(v, float)}
        numbers = [Metric(k, v, now, 0) for k, v in scored.items() if math.isfinite(v)]
        params = [Param(k, str(v)) for k, v in row.items() if not k.startswith("cv_") and v == v]
        client.log_batch(child, metrics=numbers, params=params)
        client.set_terminated(child)


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
    with tempfile.TemporaryDirectory() as folder:
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(ROOT / PYFUNC),
            artifacts={ARTIFACT: str(submission.bundle)},
            code_paths=[str(copy_code(Path(folder)))],
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


def copy_code(to: Path) -> Path:
    """Copy what the pyfunc imports of ours, and nothing else, into a folder; return the package in it."""
    for path in with_imports(PYFUNC):
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, to / path)
    return to / PYFUNC.parts[0]


def keep_artifacts(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Have the disk keep what a version consists of before the registry names it; a server does so itself."""
    places = client.get_logged_model(model_id).artifact_location, client.get_run(run_id).info.artifact_uri
    for place in places:
        if place.startswith("file:"):
            flush(Path(url2pathname(urlsplit(place).path)))


def model_signature(contract: Contract) -> ModelSignature:
    """Derive inputs (raw records) and outputs (forecasts) from a contract.

    Audit columns are optional, and how much of the period has passed. A coded column takes codes or labels,
    which are of several types; a nullable integer is a double, as a missing one makes it.
    """
    inputs = [
        ColSpec(_type(column), column.name, required=column.role is Role.FEATURE)
        for column in asking(contract).asked
    ]
    outputs = [
        ColSpec(DataType.string, "grade_class"),
        ColSpec(DataType.long, "grade_class_index"),
        ColSpec(DataType.double, "at_risk"),
        ColSpec(Array(DataType.string), "grade_set"),
        *(ColSpec(DataType.double, f"probability_{label}") for label in contract.target.labels),
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))  # type: ignore[arg-type]


def _type(column: Column) -> DataType | AnyType:
    if column.coded:
        return AnyType()  # type: ignore[no-untyped-call]
    return DataType.long if column.whole and not column.nullable else DataType.double


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
    whole = {c.name: "int64" for c in sure if c.whole}
    texts = {c.name: "str" for c in contract.features if c.coded and c.nullable}  # as the signature has them
    return asked.astype({**coded, **whole, **texts})
