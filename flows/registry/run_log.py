"""What MLflow shows of a run: parameters, candidates, figures on their data, reports, what came of it."""

import math
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import PandasDataset, from_pandas
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils import mlflow_tags

from data.bundle.manifest import CARD
from data.contract.contract import Contract
from data.contract.yaml_files import is_file
from data.errors import Stopped
from data.sources.storage import as_stored
from flows.registry.bundling import Submission
from flows.registry.store import TRAINED, experiment_id, open_registry
from flows.reports.fairness import fairness_audits, fairness_table
from flows.runtime.run_page import run_address
from flows.runtime.workspace import git_commit
from flows.settings import Settings
from flows.training.metrics import OURS

MOST_CHILDREN = 60
BATCH = 1_000  # metrics that MLflow takes at once
DATASET_ROWS = 50_000  # of the records that the run names
REPORTS, DATA_REPORT, DRIFT_REPORT = "reports", "report.html", "drift.html"


@dataclass(frozen=True)
class LoggedData:
    """What a model learned from and what it is judged on, as MLflow knows them."""

    training: PandasDataset
    evaluation: PandasDataset

    def of(self, metric: str) -> PandasDataset | None:
        """Return what a figure was measured on, by the figure's name."""
        if metric.startswith("test_"):
            return self.evaluation
        return self.training if metric.startswith("cv_") else None


def source_tags(git_commit: str) -> dict[str, str]:
    """Return where a run comes from, in the tags that MLflow's pages show, and Prefect's page of it."""
    found = {
        mlflow_tags.MLFLOW_SOURCE_NAME: "flows.pipeline",
        mlflow_tags.MLFLOW_SOURCE_TYPE: "LOCAL",
        mlflow_tags.MLFLOW_GIT_COMMIT: git_commit.removesuffix("+changes"),
        "prefect_run": run_address() or "",
    }
    return {name: value for name, value in found.items() if value}


def log_run(client: MlflowClient, run_id: str, experiment: str, submission: Submission) -> LoggedData:
    """Log all that is known before the model is: parameters, candidates, data, curves, plots, reports."""
    trained, evidence, settings = submission.trained, submission.evidence, submission.settings
    mlflow.log_params({**evidence.params, "folds": settings.folds, "seed": settings.seed})
    log_candidates(client, run_id, experiment, trained.leaderboard())
    log_curves(client, run_id, submission)
    data = log_data(submission)
    mlflow.log_artifacts(str(submission.place / "plots"), "plots")
    mlflow.log_artifact(str(submission.bundle / CARD))
    mlflow.log_table(fairness_table(fairness_audits(evidence)), "fairness.json")
    mlflow.log_artifact(str(submission.processed.folder / DATA_REPORT), REPORTS)
    if submission.drift_report is not None:
        log_report(client, run_id, submission.drift_report, DRIFT_REPORT)
    return data


def log_report(client: MlflowClient, run_id: str, report: Path, name: str) -> None:
    """Log an HTML report, which MLflow's page of the run shows."""
    client.log_text(run_id, report.read_text(encoding="utf-8"), f"{REPORTS}/{name}")


def log_candidates(client: MlflowClient, run_id: str, experiment: str, leaderboard: pd.DataFrame) -> None:
    """Log every candidate and baseline: as a table, as steps, best last, and as child runs to compare.

    Of very many, the best candidates and all baselines are child runs.
    """
    mlflow.log_table(leaderboard.astype(object).where(leaderboard.notna(), None), "leaderboard.json")
    losses = enumerate(leaderboard["cv_log_loss"].tolist()[::-1])  # MLflow's table of runs shows the last
    _log(client, run_id, [_metric("leaderboard_cv_log_loss", loss, step) for step, loss in losses])
    baselines = leaderboard["model"] != OURS
    room = MOST_CHILDREN - int(baselines.sum())
    shown = leaderboard[baselines | ((~baselines).cumsum() <= room)]
    for rank, record in enumerate(shown.to_dict("records"), start=1):
        row = {str(name): value for name, value in record.items()}
        tags = {mlflow_tags.MLFLOW_PARENT_RUN_ID: run_id, "model": str(row["model"])}
        child = client.create_run(experiment, run_name=f"{rank}-{row['model']}", tags=tags).info.run_id
        client.log_batch(child, metrics=list(_figures(row)), params=list(_params(row)))
        client.set_terminated(child)


MEASURED = ("seconds", "sigma", "difference", "low", "high")
"""Columns of the leaderboard that are figures, beside those whose names begin with `cv_`."""


def _figures(row: Mapping[str, Any]) -> Iterator[Metric]:
    for name, value in row.items():
        if (name in MEASURED or name.startswith("cv_")) and isinstance(value, float) and math.isfinite(value):
            yield _metric(name, value)


def _params(row: Mapping[str, Any]) -> Iterator[Param]:
    """Yield the parameters as the run of the chosen one has them: in a frame whole numbers became floats."""
    for name, value in row.items():
        if name not in MEASURED and not name.startswith("cv_") and value is not None and value == value:
            whole = isinstance(value, float) and value.is_integer()
            yield Param(name, str(int(value) if whole else value))


def log_curves(client: MlflowClient, run_id: str, submission: Submission) -> None:
    """Log the chosen candidate's figures in each fold, and its loss by rounds, as steps."""
    folds = enumerate(submission.trained.by_fold())
    by_fold = [_metric(f"fold_{name}", value, fold) for fold, found in folds for name, value in found.items()]
    rounds = [_metric("rounds_log_loss", loss, rounds) for rounds, loss in submission.trained.by_round]
    _log(client, run_id, [*by_fold, *rounds])


def log_data(submission: Submission) -> LoggedData:
    """Log the training records and the test split as the run's data sets, and who they are as pseudonyms.

    A later run can tell from the latter which students this model has not seen.
    """
    contract, processed = submission.contract, submission.processed
    frames = {  # all rows, where there are no more
        "training": (contract.model_name, processed.sample(contract, DATASET_ROWS, "train", clean=True)),
        "evaluation": (f"{contract.model_name}-test", submission.evidence.frame),
    }
    # MLflow knows files alone; the tag names any source. None is allowed, whatever the hint says.
    file: Any = processed.source if is_file(processed.source) else None
    logged = {}
    for context, (name, frame) in frames.items():
        with warnings.catch_warnings():  # two equal ways to see a path as a source
            warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted")
            target = contract.target.column
            logged[context] = from_pandas(as_stored(frame), source=file, name=name, targets=target)
        mlflow.log_input(logged[context], context=context, tags={"source": processed.source})
    lineage = Path(TRAINED)
    mlflow.log_artifact(str(submission.place / lineage.name), str(lineage.parent))
    return LoggedData(**logged)


def log_figures(
    client: MlflowClient, run_id: str, model_id: str, metrics: Mapping[str, float | None], data: LoggedData
) -> None:
    """Log a model's figures, each with the model and the data that it was measured on."""
    known = {name: value for name, value in metrics.items() if value is not None}
    _log(client, run_id, [_metric(k, v, model_id=model_id, data=data.of(k)) for k, v in known.items()])


def _metric(
    name: str, value: float, step: int = 0, *, model_id: str | None = None, data: PandasDataset | None = None
) -> Metric:
    about = {"dataset_name": data.name, "dataset_digest": data.digest} if data else {}
    return Metric(name, value, int(time.time() * 1000), step, model_id=model_id, **about)


def _log(client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
    """Log metrics in few batches, which take a fraction of a second each."""
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def run_place(settings: Settings, experiment: str, run_id: str, artifact: str = "") -> str:
    """Return the address of a run's page in MLflow, or of an artifact on it."""
    place = f"/artifacts/{REPORTS}/{artifact}" if artifact else ""
    return f"{settings.mlflow_pages}/#/experiments/{experiment}/runs/{run_id}{place}"


def version_place(settings: Settings, name: str, version: str) -> str:
    """Return the address of a version's page in MLflow."""
    return f"{settings.mlflow_pages}/#/models/{name}/versions/{version}"


def describe_run(client: MlflowClient, run_id: str, told: str, links: Iterable[tuple[str, str]]) -> None:
    """Write at the head of a run's page what came of it, and where to look."""
    shown = [f"**{told}**", " · ".join(f"[{what}]({where})" for what, where in links if where)]
    client.set_tag(run_id, mlflow_tags.MLFLOW_RUN_NOTE, "\n\n".join(part for part in shown if part))


def log_stop(settings: Settings, contract: Contract, error: Stopped) -> str | None:
    """Log a gate's stop as a failed run with the report that shows why; return that report's address.

    Returns None where there is no report, or the registry cannot be written: the stop stands without it.
    """
    if error.report is None:
        return None
    name = error.report.name
    try:
        client = open_registry(settings)
        experiment = experiment_id(client, contract.model_name, settings)
        tags = {"verdict": "stopped", "reason": str(error)} | source_tags(git_commit())
        reports = {name: error.report}
        run = log_short_run(
            client, experiment, "stopped", tags=tags, metrics={}, reports=reports, status="FAILED"
        )
        place = run_place(settings, experiment, run, name)
        describe_run(client, run, str(error), [("Prefect run", run_address() or ""), ("Report", place)])
    except (MlflowException, OSError):
        return None
    return place


def log_short_run(
    client: MlflowClient,
    experiment: str,
    name: str,
    *,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    reports: Mapping[str, Path],
    status: str = "FINISHED",
) -> str:
    """Log a run without a model – a gate's stop, a look of the monitor – and return its id."""
    run_id = str(client.create_run(experiment, run_name=name).info.run_id)
    try:
        figures = [_metric(key, value) for key, value in metrics.items()]
        client.log_batch(run_id, figures, tags=[RunTag(key, value) for key, value in tags.items()])
        for report, path in reports.items():
            log_report(client, run_id, path, report)
    except BaseException:
        client.set_terminated(run_id, "KILLED")
        raise
    client.set_terminated(run_id, status)
    return run_id
