"""What one can see of a registered version in MLflow."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from data.bundle.manifest import MANIFEST
from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.durable import digest
from data.rows.frames import matrix, parse
from flows.registry.bundling import Submission
from flows.registry.registration import Registered, model_signature
from flows.registry.store import load_champion
from flows.settings import Settings

URI = "models:/grade-class@champion"


@pytest.fixture
def run(session_registry: MlflowClient, registered: Registered) -> Run:
    """The run that the champion comes from."""
    return session_registry.get_run(registered.run_id)


def test_the_run_has_the_fixed_metrics_and_the_chosen_parameters(run: Run, registered: Registered) -> None:
    names = {"cv_log_loss", "test_accuracy", "test_f1_macro", "test_qwk", "test_log_loss", "test_ece"}
    names |= {"test_roc_auc_ovr", "test_accuracy_published", "test_precision_F", "test_recall_F", "test_f1_F"}
    assert names <= run.data.metrics.keys()
    known = {name: value for name, value in registered.metrics.items() if value is not None}
    assert {name: run.data.metrics[name] for name in known} == pytest.approx(known)
    assert {"max_depth", "learning_rate", "rounds", "folds", "seed"} <= run.data.params.keys()
    assert run.info.status == "FINISHED"


def test_the_run_names_its_data_sets_and_each_figure_the_one_that_it_was_measured_on(
    session_registry: MlflowClient, run: Run, submission: Submission
) -> None:
    named = {
        next(tag.value for tag in found.tags if tag.key == "mlflow.data.context"): found.dataset
        for found in run.inputs.dataset_inputs
    }
    assert {context: data.name for context, data in named.items()} == {
        "training": "grade-class",
        "evaluation": "grade-class-test",
    }
    rows = {"training": submission.processed.train_rows, "evaluation": submission.processed.test_rows}
    assert all(f'"num_rows": {rows[context]}' in (data.profile or "") for context, data in named.items())
    (model,) = session_registry.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    measured = {metric.key: metric.dataset_name for metric in model.metrics or []}
    assert measured["test_accuracy"] == "grade-class-test"
    assert measured["cv_log_loss"] == "grade-class"


def test_the_run_says_where_it_comes_from_and_what_came_of_it(run: Run, registered: Registered) -> None:
    tags = run.data.tags
    commit = tags["git_commit"].removesuffix("+changes")
    assert (tags["mlflow.source.git.commit"], tags["mlflow.source.name"]) == (commit, "flows.pipeline")
    assert (tags["verdict"], tags["reason"]) == ("promoted", registered.reason)


def test_the_chosen_candidates_folds_and_rounds_are_steps(
    session_registry: MlflowClient, run: Run, submission: Submission
) -> None:
    folds = session_registry.get_metric_history(run.info.run_id, "fold_log_loss")
    board = submission.trained.candidates()
    assert [fold.step for fold in folds] == [0, 1, 2]
    assert np.std([fold.value for fold in folds]) == pytest.approx(board["cv_log_loss_std"][0])
    rounds = session_registry.get_metric_history(run.info.run_id, "rounds_log_loss")
    assert rounds[-1].step == submission.trained.rounds
    assert rounds[-1].value == pytest.approx(run.data.metrics["cv_log_loss"])


def test_the_run_holds_plots_card_report_and_every_candidate(
    session_registry: MlflowClient, run: Run
) -> None:
    names = {file.path for file in session_registry.list_artifacts(run.info.run_id)}
    assert {"card.md", "leaderboard.json", "fairness.json", "plots", "reports", "lineage"} <= names
    plots = [file.path for file in session_registry.list_artifacts(run.info.run_id, "plots")]
    assert {"plots/fairness.png", "plots/at_risk.png"} <= set(plots)
    assert all(path.endswith(".png") for path in plots)


def test_the_leaderboard_is_a_table_and_steps_and_each_model_on_it_a_child_run(
    session_registry: MlflowClient, run: Run, submission: Submission
) -> None:
    board = submission.trained.leaderboard()
    table = session_registry.load_table(run.info.experiment_id, "leaderboard.json", [run.info.run_id])
    assert table["model"].tolist() == board["model"].tolist()
    steps = session_registry.get_metric_history(run.info.run_id, "leaderboard_cv_log_loss")
    assert [step.value for step in steps] == pytest.approx(board["cv_log_loss"].tolist()[::-1])
    assert run.data.metrics["leaderboard_cv_log_loss"] == pytest.approx(board["cv_log_loss"].min())
    children = session_registry.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    )
    assert sorted(child.data.metrics["cv_log_loss"] for child in children) == pytest.approx(
        board["cv_log_loss"].tolist()
    )
    assert {child.info.status for child in children} == {"FINISHED"}
    own, shown = (
        next(child for child in children if child.data.tags["model"] == "gradecast"),
        ("max_depth", "rounds"),
    )
    assert {name: own.data.params[name] for name in shown} == {name: run.data.params[name] for name in shown}
    assert {child.data.tags["model"] for child in children} == set(board["model"])


def test_the_fairness_audit_is_a_table_of_every_rate_of_every_group(
    session_registry: MlflowClient, run: Run, submission: Submission
) -> None:
    table = session_registry.load_table(run.info.experiment_id, "fairness.json", [run.info.run_id])
    assert set(table["column"]) == {column.name for column in submission.contract.audit}
    students = table[(table["column"] == "Gender") & (table["rate"] == "called")]["n"].dropna()
    assert students.sum() == submission.processed.test_rows
    assert {"found", "false_alarms", "equalized_odds", "flipped_calls"} <= set(table["rate"])


def test_the_version_names_its_origin(session_registry: MlflowClient, submission: Submission) -> None:
    tags = session_registry.get_model_version_by_alias("grade-class", "champion").tags
    assert tags["fingerprint"] == submission.fingerprint
    assert tags["source_sha256"] == submission.processed.sha256
    assert tags["manifest_sha256"] == digest(submission.bundle / MANIFEST)
    assert tags["git_commit"]
    assert tags["contract_sha256"]


@pytest.mark.usefixtures("session_registry")
def test_the_model_has_its_signature_and_an_input_example(grade_class: Contract) -> None:
    info = mlflow.models.get_model_info(URI)
    assert info.signature == model_signature(grade_class)
    assert info.saved_input_example_info is not None
    assert "grade_set" in info.signature.outputs.input_names()
    assert info.metadata is not None
    assert info.metadata["contract"] == "grade_class"


def test_the_registered_model_answers_as_the_bundle_does_and_refuses_what_breaks_the_contract_by_name(
    session_registry: MlflowClient, grade_class: Contract
) -> None:
    raw = cohort.generate(50, seed=77).drop(columns=["StudentID", "GPA", "GradeClass"])
    model = mlflow.pyfunc.load_model(URI)
    forecasts = model.predict(raw)
    champion = load_champion(session_registry, "grade-class")
    assert champion is not None
    expected = champion.bundle.probabilities(matrix(parse(raw, grade_class, labelled=False), grade_class))
    labels = [f"probability_{label}" for label in grade_class.target.labels]
    assert np.allclose(forecasts[labels], expected, atol=1e-6)
    assert set(forecasts["grade_class"]) <= set(grade_class.target.labels)
    with pytest.raises(ValueError, match="row 3: Absences: out of range"):
        model.predict(raw.head(3).assign(Absences=[1, 99, 2]))


@pytest.mark.usefixtures("session_registry")
def test_the_logged_model_names_the_versions_that_it_was_made_with() -> None:
    lines = Path(mlflow.pyfunc.get_model_dependencies(URI)).read_text(encoding="utf-8").split()
    assert f"pandas=={pd.__version__}" in lines
    assert [line for line in lines if "==" not in line] == []


def test_nothing_that_is_registered_is_a_pickle(settings: Settings, registered: Registered) -> None:
    files = [path for path in (settings.home / "mlartifacts").rglob("*") if path.is_file()]
    assert registered.version
    assert files
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib")]
    assert not [path for path in files if path.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05")]
