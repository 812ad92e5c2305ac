"""Whether each column still looks as it did, by Evidently with our tests."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import pandas as pd

from data.contract.contract import Contract
from data.rows.quarantine import REASONS
from flows.drift_gate import samples as stattests
from flows.drift_gate.findings import (
    DRIFT,
    LEAST_ROWS,
    NO_LABELS,
    NOT_TESTED,
    PASS,
    TOO_FEW_ROWS,
    Finding,
    verdict_of,
)
from flows.drift_gate.samples import (
    DISTANCE,
    LARGE,
    SHARE_RISE,
    YES,
    code_words,
    effective_rows,
    indicator,
    missing_indicator,
    number_words,
    share_words,
)

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


TESTS = {  # kind: test by p-value, test by distance and its limit
    NUMBER: (stattests.NUMBERS, stattests.WASSERSTEIN, DISTANCE),
    CODE: (stattests.CODES, stattests.JENSEN_SHANNON, DISTANCE),
    SHARE: (stattests.MORE_OFTEN, stattests.RISE, SHARE_RISE),
}


def kinds(contract: Contract) -> dict[str, str]:
    """List every column tested under a contract, and its kind for a test."""
    asked = {column.name: CODE if column.coded else NUMBER for column in contract.asked}
    missing = {missing_indicator(column.name): SHARE for column in contract.features if column.nullable}
    return {**asked, contract.target.column: CODE, **{indicator(r): SHARE for r in REASONS}, **missing}


def column_findings(
    reference: pd.DataFrame,
    batch: pd.DataFrame,
    contract: Contract,
    causes: dict[str, list[str]],
    alpha: float,
) -> tuple[list[Finding], Any]:
    """Test each column of two `tested` frames; give the findings and Evidently's snapshot, None if none ran.

    `alpha` is shared out evenly over the columns that the contract names, tested or not. `causes` names,
    for an indicator, the columns at fault.
    """
    level = alpha / len(kinds(contract))
    decided: dict[str, Finding] = {}
    plans: list[Plan] = []
    for name, kind in kinds(contract).items():
        known = _without_a_test(name, kind, reference, batch, contract)
        if known is None:
            plans.append(_plan(name, kind, reference, batch, level))
        else:
            decided[name] = known
    snapshot = run_evidently(reference, batch, plans) if plans else None
    results = results_by_column(snapshot)
    for plan in plans:
        words = _words(plan, reference, batch, causes)
        decided[plan.column] = finding(plan, results.get(plan.column), words)
    return [decided[name] for name in kinds(contract)], snapshot


def finding(plan: Plan, result: tuple[float, bool] | None, words: str) -> Finding:
    """Judge one column by Evidently's result for it; without a result it has drifted."""
    title = stattests.TITLES[plan.test]
    if result is None:
        lacking = "Evidently gave no result for it"
        return Finding(name=plan.column, test=title, threshold=plan.threshold, verdict=DRIFT, words=lacking)
    score, drifted = result
    return Finding(
        name=plan.column,
        test=title,
        score=score,
        threshold=plan.threshold,
        verdict=verdict_of(drifted),
        words=words,
    )


def _plan(name: str, kind: str, reference: pd.DataFrame, batch: pd.DataFrame, level: float) -> Plan:
    """Choose the test: by p-value, or by distance where so many rows make any difference significant."""
    by_p, by_distance, limit = TESTS[kind]
    if effective_rows(reference[name].count(), batch[name].count()) < LARGE:
        return Plan(name, kind, by_p, level)
    return Plan(name, kind, by_distance, limit)


def _without_a_test(
    name: str, kind: str, reference: pd.DataFrame, batch: pd.DataFrame, contract: Contract
) -> Finding | None:
    """Judge what needs no test, or cannot have one; None where there is something to test."""
    before = reference[name].dropna() if name in reference else pd.Series(dtype=object)
    now = batch[name].dropna() if name in batch else pd.Series(dtype=object)
    if kind == SHARE and not (before == YES).any() and not (now == YES).any():
        return Finding(name=name, verdict=PASS, words="none")
    if name == contract.target.column and now.empty:
        return Finding(name=name, verdict=NO_LABELS, words="no labels")
    if now.empty:
        return _empty(name, before, name in batch or name in {c.name for c in contract.features})
    if before.empty:
        verdict = NOT_TESTED if name in {column.name for column in contract.audit} else DRIFT
        return Finding(name=name, verdict=verdict, words="the reference has no values")
    if min(len(now), len(before)) < LEAST_ROWS:
        return Finding(name=name, verdict=TOO_FEW_ROWS, words=f"{min(len(now), len(before))} values")
    return None


def _empty(name: str, before: pd.Series, expected: bool) -> Finding:
    if before.empty:
        return Finding(name=name, verdict=PASS, words="no values, and none before")
    if not expected:
        return Finding(name=name, verdict=NOT_TESTED, words="not in the batch")
    return Finding(name=name, verdict=DRIFT, words="no values")


def _words(plan: Plan, reference: pd.DataFrame, batch: pd.DataFrame, causes: dict[str, list[str]]) -> str:
    before, now = reference[plan.column], batch[plan.column]
    if plan.kind == NUMBER:
        return number_words(before, now)
    if plan.kind == CODE:
        return code_words(before, now)
    return share_words(before, now, causes.get(plan.column, []))
