"""Evidence to draw and write about: generated students, forecast by the very rule that made them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from data.bundle.reasons import scale_of
from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.rows.frames import parse, target_index
from data.rows.records import typical_value
from flows.evaluate import at_risk_intervals, calibration_figures
from flows.reports.evidence import Evidence, counterfactuals_of
from flows.training.metrics import evaluate, evaluate_classes, intervals


def leaderboard(low: float = 0.005, high: float = 0.019) -> pd.DataFrame:
    """A chosen model and three baselines; logistic regression's loss is apart by so much."""
    lines = [
        ("gradecast", 0.386, 0.826, 0.730, None, None, None),
        ("logistic regression", 0.386 + (low + high) / 2, 0.817, 0.687, (low + high) / 2, low, high),
        ("Absences alone", 0.636, 0.709, 0.465, 0.250, 0.2, 0.3),
        ("majority", 1.261, 0.539, 0.140, 0.875, 0.8, 0.95),
    ]
    columns = ["name", "log_loss", "accuracy", "f1_macro", "difference", "low", "high"]
    return pd.DataFrame(lines, columns=columns)


def candidates() -> pd.DataFrame:
    """Six candidates of two depths, the last two of them equal."""
    return pd.DataFrame(
        {
            "max_depth": [1, 1, 1, 2, 2, 2],
            "rounds": [200, 400, 600, 200, 400, 400],
            "cv_log_loss": [0.41, 0.39, 0.386, 0.40, 0.395, 0.395],
            "cv_log_loss_std": 0.005,
        }
    )


def grade_evidence(contract: Contract, rows: int = 300, **changed: Any) -> Evidence:
    """Evidence of generated students; `changed` replaces fields."""
    raw = cohort.generate(rows)
    probabilities, frame = cohort.true_probabilities(raw), parse(raw, contract)
    evidence = evidence_of(contract, frame, target_index(frame, contract), probabilities)
    return replace(evidence, **changed)


def evidence_of(
    contract: Contract, frame: pd.DataFrame, y: np.ndarray, probabilities: np.ndarray
) -> Evidence:
    """Evidence of any students, their classes and their forecasts."""
    labels = contract.target.labels
    metrics: dict[str, float | None] = {**evaluate(probabilities, y, "test_"), "cv_ece": 0.012}
    for label, figures in evaluate_classes(probabilities, y, labels).items():
        metrics |= {f"test_{name}_{label}": value for name, value in figures.items() if name != "n"}
    for prefix in ("test_", "cv_"):
        metrics |= calibration_figures(probabilities, y, contract.target, prefix)
    return Evidence(
        contract=contract,
        y=y,
        probabilities=probabilities,
        metrics={name: None if value != value else value for name, value in metrics.items()},
        intervals=intervals(probabilities, y, 0, "test_") | at_risk_intervals(metrics),
        leaderboard=leaderboard(),
        candidates=candidates(),
        scale=scale_of(contract.target, "score" if contract.target.bounds else "softmax"),
        effects=np.random.default_rng(0).normal(size=(len(y), len(contract.features))),
        frame=frame,
        sets=[[labels[k] for k in np.flatnonzero(row >= min(0.1, row.max()))] for row in probabilities],
        counterfactuals=counterfactuals_of(frame, contract, lambda asked: probabilities[: len(asked)]),
        pooled=(probabilities, y),
        bayes=None,
        params={"max_depth": 1, "rounds": 600, "cuts": (3.5, 3.0), "sigma": 0.2},
        notes=("Tuned on a stratified sample of 50,000 rows.",),
        data={"source": "/home/someone/records.csv", "sha256": "0" * 64, "rows": rows_in(y), "clean": len(y),
              "train_rows": 100, "test_rows": len(y), "quarantined": {"missing": 3}, "generated": None,
              "date": "2026-11-20", "git_commit": "0123456789abcdef"},
    )  # fmt: skip


def changed(contract: Contract, columns: dict[str, Any] | None = None, **target: Any) -> Contract:
    """A contract with other columns, or with some fields of its target changed."""
    raw = contract.model_dump(exclude_none=True)
    return Contract.model_validate(
        {**raw, "columns": columns or raw["columns"], "target": {**raw["target"], **target}}
    )


def rows_in(y: np.ndarray) -> int:
    """Rows before three of them were set aside."""
    return len(y) + 3


def any_evidence(contract: Contract, rows: int, seed: int = 0) -> Evidence:
    """Evidence of students drawn at random within a contract, forecast at random."""
    rng = np.random.default_rng(seed)
    raw = pd.DataFrame(
        {
            column.name: rng.choice(list(column.codes), rows)
            if column.coded
            else [typical_value(column)] * rows
            if column.dated
            else rng.integers(int(column.min or 0), int(column.max or 20) + 1, rows)
            for column in contract.columns.values()
        }
    )
    if not contract.target.derived:
        raw[contract.target.column] = rng.choice(list(contract.target.classes), rows)
    frame = parse(raw, contract)
    probabilities = rng.dirichlet(np.ones(len(contract.target.labels)), rows)
    return evidence_of(contract, frame, target_index(frame, contract), probabilities)
