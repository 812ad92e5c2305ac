"""What is measured on the test split."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from data.bundle.manifest import MODEL
from data.cohorts import grades as cohort
from data.cohorts import school_year
from data.cohorts.addresses import CohortPlan
from data.contract.contract import Contract, load_contract
from data.rows.frames import matrix, target_index
from flows.evaluate import bayes_limit, published_accuracy, true_probabilities
from flows.process import process_records
from flows.processing.chunks import examine_rows
from flows.processing.processed import PARSED, Processed
from flows.registry.bundling import Submission
from flows.settings import Settings
from tests.contract.files import read_records, write_frame


@pytest.fixture(scope="module")
def contradicted(
    submission: Submission,
    settings: Settings,
    grade_class: Contract,
    tmp_path_factory: pytest.TempPathFactory,
) -> Processed:
    """Students of whom the last fifth have a random grade, processed as far as evaluation reads."""
    source = "cohort://600?scenario=label-tail&strength=0.2"
    frame, _ = examine_rows(
        read_records(source, grade_class).frame, 0, grade_class, source, settings.id_key, 0.2
    )
    folder = tmp_path_factory.mktemp("contradicted")
    write_frame(frame, folder / PARSED)
    return submission.processed.model_copy(update={"folder": folder, "generated": CohortPlan.of(source)})


def test_accuracy_on_published_labels_counts_those_that_contradict_their_score(
    submission: Submission, contradicted: Processed, grade_class: Contract
) -> None:
    session = onnxruntime.InferenceSession(str(submission.trained.folder / MODEL))
    frame = contradicted.parsed(grade_class)
    test = frame[frame["split"] == "test"]
    assert (test["quarantine"] != "").any()
    answered = session.run(["probabilities"], {"features": matrix(test, grade_class)})[0].argmax(axis=1)
    expected = (answered == target_index(test, grade_class)).mean()
    assert published_accuracy(contradicted, grade_class, session) == pytest.approx(expected)
    clean = contradicted.split(grade_class, "test")
    assert expected < (answered[test["quarantine"] == ""] == target_index(clean, grade_class)).mean()


def test_the_limit_of_the_data_is_known_for_generated_students_alone(
    submission: Submission, grade_class: Contract
) -> None:
    evidence, processed = submission.evidence, submission.processed
    assert evidence.bayes is not None
    truth = cohort.true_probabilities(
        cohort.generate(600, seed=2392).set_index("StudentID", drop=False).loc[_ids(submission)]
    )
    assert evidence.bayes["accuracy"] == pytest.approx((truth.argmax(axis=1) == evidence.y).mean())
    real = processed.model_copy(update={"generated": None})
    assert true_probabilities(evidence.frame, real, grade_class, "key") is None


def test_no_limit_is_claimed_where_grades_are_random(
    contradicted: Processed, submission: Submission, grade_class: Contract
) -> None:
    evidence = submission.evidence
    assert true_probabilities(evidence.frame, contradicted, grade_class, "key") is None


def test_the_limit_of_dated_records_is_that_of_the_days_that_they_were_taken_on(tmp_path: Path) -> None:
    contract = load_contract("school_year")
    settings = Settings(home=tmp_path, folds=2, jobs=1, tracking_uri="")
    processed = process_records("cohort://400?seed=3", contract, settings)
    frame = processed.split(contract, "test")
    y = target_index(frame, contract)
    limit = bayes_limit(true_probabilities(frame, processed, contract, settings.id_key), y)
    tables = school_year.tables(400, 3)
    newest = tables["students"]["school_year"] == tables["students"]["school_year"].max()
    held_out = {**tables, "students": tables["students"][newest]}
    shares = [school_year.true_probabilities(held_out, int(day)) for day in frame["as_of"].unique()]
    grade = tables["students"].set_index("student_no")["final_grade"]
    hits = [(part.idxmax(axis=1) == grade[part.index]).to_numpy() for part in shares]
    assert sum(map(len, shares)) == len(frame)
    assert limit is not None
    assert limit["accuracy"] == pytest.approx(np.concatenate(hits).mean())


def test_the_test_split_is_scored_by_the_model_that_is_registered(
    submission: Submission, grade_class: Contract
) -> None:
    evidence = submission.evidence
    test = submission.split("test")
    assert len(evidence.y) == len(evidence.probabilities) == len(test) == submission.processed.test_rows
    assert np.allclose(evidence.probabilities.sum(axis=1), 1)
    accuracy = (evidence.probabilities.argmax(axis=1) == target_index(test, grade_class)).mean()
    assert evidence.metrics["test_accuracy"] == pytest.approx(accuracy)


def test_a_metric_that_cannot_be_told_is_none_and_never_nan(submission: Submission) -> None:
    metrics = submission.evidence.metrics
    assert metrics["test_accuracy"] is not None
    assert all(value is None or np.isfinite(value) for value in metrics.values())


def _ids(submission: Submission) -> list[int]:
    return submission.split("test")["StudentID"].astype(int).tolist()
