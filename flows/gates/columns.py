"""The column tests: Evidently with tests chosen by kind and sample size, corrected for their number."""

from typing import Any

import pandas as pd

from data.contract import Contract
from data.quarantine import REASONS
from flows.gates import stattests
from flows.gates.evidently_report import CODE, NUMBER, SHARE, Plan, results_by_column, run_evidently
from flows.gates.findings import (
    DRIFT,
    LEAST_ROWS,
    NO_LABELS,
    NOT_TESTED,
    PASS,
    TOO_FEW_ROWS,
    Finding,
    verdict_of,
)
from flows.gates.samples import indicator, missing_indicator
from flows.gates.stattests import DISTANCE, LARGE, SHARE_RISE, YES, effective_rows
from flows.gates.words import code_words, number_words, share_words

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
