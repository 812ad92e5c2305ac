"""Prefect's artifacts say the same as the screen, in Markdown."""

import pandas as pd

from data.contract.contract import Contract
from flows.reports import artifacts
from tests.flows.reports.evidences import grade_evidence

PROCESSED = {
    "contract": "grade_class",
    "source": "records.csv",
    "rows": 200,
    "clean": 150,
    "train_rows": 120,
    "test_rows": 30,
    "quarantined": {"missing": 10, "out of range": 40},
    "undeclared": ("Nickname",),
    "reused": True,
}
BOARD = pd.DataFrame(
    {
        "model": ["gradecast", "logistic regression", "gradecast"],
        "max_depth": [1.0, None, 2.0],
        "cv_log_loss": [0.38, 0.40, 0.42],
        "cv_accuracy": [0.83, 0.82, 0.80],
        "cv_f1_macro": [0.73, 0.69, 0.70],
        "difference": [None, 0.02, None],
        "low": [None, -0.01, None],
        "high": [None, 0.05, None],
    }
)


def test_processing_tells_shares_and_reasons_the_most_frequent_first() -> None:
    told = artifacts.process_markdown(PROCESSED)
    assert "| Clean | 150 | 75.0 % |" in told
    assert told.index("| out of range | 40 |") < told.index("| missing | 10 |")
    assert "Not in the contract, and not used: Nickname." in told
    assert "reused" in told


def test_processing_warns_of_a_column_that_says_who_a_student_is_and_is_not_the_id() -> None:
    told = artifacts.process_markdown({**PROCESSED, "undeclared": ("Nickname", "student_id")})
    assert "By its name, student_id says who a student is, but it is not the contract's id: rows of" in told
    assert "says who" not in artifacts.process_markdown(PROCESSED)


def test_processing_says_so_when_nothing_was_set_aside() -> None:
    assert "Nothing in quarantine." in artifacts.process_markdown({**PROCESSED, "quarantined": {}})


def test_drift_tells_verdict_reasons_and_columns() -> None:
    columns = [{"column": "Absences", "p": 0.00012345, "verdict": "drift"}]
    told = artifacts.drift_markdown("drift", ("Absences moved.",), columns)
    assert told.startswith("## Drift: drift\n\n- Absences moved.")
    assert "| Absences | 0.0001234 | drift |" in told


def test_drift_without_columns_has_no_table() -> None:
    assert "|" not in artifacts.drift_markdown("no reference", ("There is no champion yet.",), ())


def test_training_shows_the_best_candidate_alone_among_the_baselines() -> None:
    told = artifacts.train_markdown(BOARD, ("Tuned on a sample.",))
    assert told.startswith("## Trained: the best of 2 candidates")
    assert "| **Gradecast** | 0.380 | 0.830 | 0.730 | chosen |" in told
    assert "0.420" not in told
    assert "**logistic regression cannot be told apart** from it" in told
    assert "- Tuned on a sample." in told


def test_registering_tells_the_verdict_with_the_test_figures(grade_class: Contract) -> None:
    registered = {
        "name": "grade-class",
        "version": "2",
        "promoted": False,
        "reason": "no better",
        "reused": True,
    }
    told = artifacts.register_markdown(registered, grade_evidence(grade_class))
    assert told.startswith(
        "## grade-class version 2: not promoted (an equal run had registered it)\n\nno better"
    )
    assert "| Accuracy |" in told
