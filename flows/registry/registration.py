"""A bundle as a version of the registry: logged, registered, judged, settled."""

import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType, Array
from pydantic import BaseModel, ConfigDict

from data.bundle.manifest import CONTRACT, EXAMPLES, MANIFEST
from data.bundle.pyfunc import ARTIFACT, ONLY
from data.contract.columns import Column, Role
from data.contract.contract import Contract
from data.durable import digest, flush
from data.rows.frames import json_values, parse
from data.rows.records import asking
from data.words import figure
from flows.registry.bundling import Submission, make_bundle
from flows.registry.decisions import PromotionVerdict, as_of_now, ask, deciding, recorded_verdict, settle
from flows.registry.promotion import judge
from flows.registry.rollout import Canary
from flows.registry.run_log import log_figures, log_run, source_tags
from flows.registry.store import close_dead_runs, experiment_id, version_of_fingerprint
from flows.runtime.workspace import ROOT, with_imports

PYFUNC = Path("data/bundle/pyfunc.py")
REQUIRED = ["mlflow", "numpy", "onnxruntime", "pandas", "pydantic", "pyyaml", "xgboost-cpu"]


class Registered(BaseModel):
    """A model version, and what was decided about it."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    run_id: str
    experiment: str
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

    @property
    def outcome(self) -> str:
        """What became of it, and by how much: `version 5 promoted: −0.046 [−0.070, −0.022] log loss …`."""
        word = "promoted" if self.promoted else "rolled back" if self.canary else "kept as challenger"
        word = "waits for a person to approve it" if self.waits else word
        if "difference" not in self.figures or word == "rolled back":
            return f"version {self.version} {word}: {self.reason}"
        gap, low, high = (figure(self.figures[name]) for name in ("difference", "low", "high"))
        champion = self.figures.get("champion")
        against = "class shares" if champion is None else f"version {champion:.0f}"
        return f"version {self.version} {word}: {gap} [{low}, {high}] log loss against {against}"

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
        experiment = experiment_id(client, contract.model_name, settings)
        if settings.local_registry:  # elsewhere another machine may be at work on one
            close_dead_runs(client, experiment)
        known = version_of_fingerprint(client, contract.model_name, submission.fingerprint)
        version = known or log_and_register(client, experiment, submission)
        verdict, waits = _decide(client, submission, version)
    return Registered(
        name=contract.model_name,
        version=str(version.version),
        run_id=str(version.run_id),
        experiment=experiment,
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
    evidence = submission.evidence
    name, commit = submission.contract.model_name, str(evidence.data["git_commit"])
    tags = {
        "fingerprint": submission.fingerprint,
        "git_commit": commit,
        "source": submission.processed.source,
        "source_sha256": submission.processed.sha256,
        "contract_sha256": digest(submission.bundle / CONTRACT),
        "manifest_sha256": digest(submission.bundle / MANIFEST),
    }
    shown = tags | source_tags(commit)
    run_name = f"{name}-{submission.trained.fingerprint[:8]}"
    with mlflow.start_run(experiment_id=experiment, run_name=run_name, tags=shown) as run:
        data = log_run(client, run.info.run_id, experiment, submission)
        info = log_bundle(submission, tags)
        log_figures(client, run.info.run_id, info.model_id, evidence.metrics, data)
        keep_artifacts(client, info.run_id, info.model_id)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, description=submission.contract.title)
        return client.create_model_version(
            name, info.model_uri, run_id=info.run_id, tags=tags, model_id=info.model_id
        )


def log_bundle(submission: Submission, tags: dict[str, str]) -> ModelInfo:
    """Log the bundle as a pyfunc model ("models from code").

    Raises RuntimeError if MLflow lost the signature on the way.
    """
    contract = submission.contract
    with tempfile.TemporaryDirectory() as folder:
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(ROOT / PYFUNC),
            artifacts={ARTIFACT: str(submission.bundle)},
            code_paths=[str(copy_code(Path(folder)))],
            model_config={ONLY: ""},
            signature=model_signature(contract),
            input_example=example_input(_made_up_students(submission.bundle, contract), contract),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIRED],
            metadata={"contract": contract.name, **tags},
        )
    if info.signature is None:
        raise RuntimeError("MLflow dropped the model's signature; nothing was registered")
    return info


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
    if column.dated:
        return DataType.string
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
    dates = {c.name: json_values(asked[c.name], c) for c in contract.asked if c.dated and c.name in asked}
    asked = asked.assign(**dates)
    sure = [c for c in contract.asked if not c.nullable and c.name in asked]
    coded = {c.name: asked[c.name].cat.categories.dtype for c in sure if c.coded}
    whole = {c.name: "int64" for c in sure if c.whole}
    texts = {c.name: "str" for c in contract.features if c.coded and c.nullable}  # as the signature has them
    return asked.astype({**coded, **whole, **texts})
