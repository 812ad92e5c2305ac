"""Prefect's artifacts say the same as the screen, in Markdown."""

import pandas as pd
import pytest

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


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ["| Clean | 150 | 75.0 % |", "out of range | 40 |\n| missing | 10 |", "reused"]),
        ({}, ["Not in the contract, and not used: Nickname."]),
        (
            {"undeclared": ("student_id",)},
            ["By its name, student_id says who a student is, but it is not the"],
        ),
        ({"quarantined": {}}, ["Nothing in quarantine."]),
    ],
)
def test_processing_tells_shares_reasons_and_what_is_not_used(
    changed: dict[str, object], told: list[str]
) -> None:
    shown = artifacts.process_markdown({**PROCESSED, **changed})
    assert all(text in shown for text in told)
    assert ("says who" in shown) == ("undeclared" in changed)


def test_drift_tells_verdict_reasons_and_columns() -> None:
    columns = [{"column": "Absences", "p": 0.00012345, "verdict": "drift"}]
    told = artifacts.drift_markdown("drift", ("Absences moved.",), columns)
    assert told.startswith("## Drift: drift\n\n- Absences moved.")
    assert "| Absences | 0.0001234 | drift |" in told
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
