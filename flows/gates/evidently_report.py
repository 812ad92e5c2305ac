"""Evidently, asked for exactly the tests that were planned, and its results by column name."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flows.gates import stattests

NUMBER, CODE, SHARE = "number", "code", "share"


@dataclass(frozen=True)
class Plan:
    """A column that Evidently is to test: the test's name and its limit, a p-value or a distance."""

    column: str
    kind: str
    test: str
    threshold: float


def run_evidently(reference: pd.DataFrame, batch: pd.DataFrame, plans: list[Plan]) -> Any:
    """Run Evidently's drift tests as planned; give its snapshot. Its own warnings are not for our users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _snapshot(reference, batch, plans)


def _snapshot(reference: pd.DataFrame, batch: pd.DataFrame, plans: list[Plan]) -> Any:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    stattests.register()
    names = [plan.column for plan in plans]
    numbers = [plan.column for plan in plans if plan.kind == NUMBER]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=[name for name in names if name not in numbers]
    )
    metrics = [ValueDrift(column=plan.column, method=plan.test, threshold=plan.threshold) for plan in plans]
    current, before = (
        Dataset.from_pandas(frame[names].reset_index(drop=True), data_definition=definition)
        for frame in (batch, reference)
    )
    return Report(metrics, include_tests=True).run(current, before)


def results_by_column(snapshot: Any) -> dict[str, tuple[float, bool]]:
    """Give (score, drifted) by column name; without a finite score, or a test, a column is left out."""
    if snapshot is None:
        return {}
    report = snapshot.dict()
    scores = {metric["config"].get("column"): metric["value"] for metric in report["metrics"]}
    failed = {test["metric_config"]["params"].get("column"): _failed(test) for test in report["tests"]}
    found = {name: (float(score), failed[name]) for name, score in scores.items() if name in failed}
    return {name: result for name, result in found.items() if math.isfinite(result[0])}


def _failed(test: dict[str, Any]) -> bool:
    """Anything but a plain success is a failure."""
    status = test["status"]
    return getattr(status, "value", status) != "SUCCESS"
