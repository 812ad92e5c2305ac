"""Whether each column still looks as it did, by Evidently with our tests."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from data.contract.contract import Contract
from data.rows.quarantine import REASONS
from data.words import percent
from flows.drift_gate import (
    DRIFT,
    LEAST_ROWS,
    NO_LABELS,
    NOT_TESTED,
    PASS,
    TOO_FEW_ROWS,
    Finding,
    verdict_of,
)
from flows.drift_gate.samples import YES, indicator, missing_indicator

SHAPE_SHARE = 0.2
"""Part of a number's alpha that is spent on any shape; the rest is on level and spread, which see more."""


def effective_rows(reference: int, current: int) -> float:
    """Give the rows of a one-sample test that would see as much: the smaller side limits it."""
    return reference * current / max(reference + current, 1)


def numbers_p(reference: pd.Series, current: pd.Series) -> float:
    """Test two samples of a number for any difference; give the p-value.

    Bonferroni over a rank test of level and spread and Kolmogorov–Smirnov, in shares of alpha. (At 300 rows
    against 2,392 it sees +3 absences as often as Mann–Whitney does; Cramér–von Mises of SciPy fails on ties,
    Anderson–Darling's p-values end at 0.001.)
    """
    before, now = reference.to_numpy(float), current.to_numpy(float)
    shape = stats.ks_2samp(before, now, method="asymp").pvalue
    return float(min(1.0, level_and_spread_p(before, now) / (1 - SHAPE_SHARE), shape / SHAPE_SHARE))


def level_and_spread_p(reference: np.ndarray, current: np.ndarray) -> float:
    """Test two samples for another level or spread.

    Neyman's smooth test (1937): the means of the first two Legendre polynomials of the pooled mid-ranks,
    whose joint permutation distribution is close to chi-square with two degrees of freedom.

    Args:
        reference: numbers (m,).
        current: numbers (n,).

    Returns:
        The p-value; 1 where both sides have one value alone.
    """
    n, m = len(current), len(reference)
    ranks = stats.rankdata(np.concatenate([reference, current])) / (n + m) * 2 - 1 - 1 / (n + m)
    scores = np.column_stack([ranks, (3 * ranks**2 - 1) / 2])
    scores -= scores.mean(axis=0)
    covariance = scores.T @ scores * n * m / ((n + m) * (n + m - 1))
    total = scores[m:].sum(axis=0)
    freedom = np.linalg.matrix_rank(covariance, hermitian=True)
    if freedom == 0:  # one value on both sides
        return 1.0
    return float(stats.chi2.sf(total @ np.linalg.pinv(covariance, hermitian=True) @ total, freedom))


def codes_p(reference: pd.Series, current: pd.Series) -> float:
    """Test two samples of codes for any difference; give the p-value.

    Contingency chi-square with rare codes pooled; Fisher's exact test where two codes are left.
    """
    counts = pd.DataFrame({"reference": reference.value_counts(), "current": current.value_counts()})
    table = pool_rare(counts.fillna(0).to_numpy())
    if len(table) < 2:
        return 1.0
    if len(table) == 2:
        return float(stats.fisher_exact(table.astype(int)).pvalue)
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def pool_rare(table: np.ndarray, least: float = 5.0) -> np.ndarray:
    """Pool the rarest rows of a (codes, 2) table until two are left or each is expected `least` times."""
    table = table[np.argsort(table.sum(axis=1))]
    smaller_side = (table.sum(axis=0) / table.sum()).min()
    while len(table) > 2 and table[0].sum() * smaller_side < least:
        table = np.vstack([table[0] + table[1], table[2:]])
        table = table[np.argsort(table.sum(axis=1))]
    return table


def more_often_p(reference: pd.Series, current: pd.Series) -> float:
    """Test whether "yes" is more frequent in the current sample than before; give the one-sided p-value."""
    before, now = (reference == YES), (current == YES)
    table = [[now.sum(), (~now).sum()], [before.sum(), (~before).sum()]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def rise_in_share(reference: pd.Series, current: pd.Series) -> float:
    """Give how much larger the share of "yes" is than before."""
    return float((current == YES).mean() - (reference == YES).mean())


CLEAR_SHIFT = 0.1  # of the reference's standard deviation; below it a changed spread is the news


def number_words(reference: pd.Series, current: pd.Series) -> str:
    """Tell the mean, or the spread where that is what changed."""
    before, now = reference.dropna(), current.dropna()
    if now.min() == now.max() and before.min() < before.max():
        return f"always {now.iloc[0]:.3g}, was {before.min():.3g} to {before.max():.3g}"
    shift, spread = abs(now.mean() - before.mean()), before.std()
    if shift < CLEAR_SHIFT * spread:
        return (
            f"standard deviation {spread:.3g} → {now.std():.3g}, mean {before.mean():.3g} → {now.mean():.3g}"
        )
    return f"mean {before.mean():.3g} → {now.mean():.3g}"


def code_words(reference: pd.Series, current: pd.Series) -> str:
    """Tell the code whose share changed most."""
    before, now = reference.value_counts(normalize=True), current.value_counts(normalize=True)
    change = now.sub(before, fill_value=0)
    if change.empty:
        return "no values"
    size = change.sort_index().abs().round(9)
    code = size[size == size.max()].index[-1]  # of two codes the last, which is Yes
    return f"{code} {percent(before.get(code, 0.0), 1)} → {percent(now.get(code, 0.0), 1)}"


def share_words(reference: pd.Series, current: pd.Series) -> str:
    """Tell how often an indicator is on."""
    return f"{percent((reference == YES).mean(), 1)} → {percent((current == YES).mean(), 1)} of rows"


class ColumnTest(NamedTuple):
    """A test that Evidently runs by its name; `score` gives a p-value or a distance, None is its own."""

    name: str
    title: str
    score: Callable[[pd.Series, pd.Series], float] | None = None
    distance: bool = False


NUMBER, CODE, SHARE = "number", "code", "share"
NUMBERS = ColumnTest("ranks-and-shape", "ranks (level, spread) and Kolmogorov–Smirnov", numbers_p)
CODES = ColumnTest("contingency-chi-square", "two-sample chi-square", codes_p)
MORE_OFTEN = ColumnTest("more-often", "Fisher exact, more often", more_often_p)
RISE = ColumnTest("rise-in-share", "rise in share", rise_in_share, distance=True)
WASSERSTEIN = ColumnTest("wasserstein", "normed Wasserstein distance", distance=True)
JENSEN_SHANNON = ColumnTest("jensenshannon", "Jensen–Shannon distance", distance=True)


class KindTests(NamedTuple):
    """How columns of a kind are tested: by p-value, or by distance up to a limit; how a change is told."""

    by_p: ColumnTest
    by_distance: ColumnTest
    limit: float
    words: Callable[[pd.Series, pd.Series], str]


KINDS = {
    NUMBER: KindTests(NUMBERS, WASSERSTEIN, 0.1, number_words),
    CODE: KindTests(CODES, JENSEN_SHANNON, 0.1, code_words),
    SHARE: KindTests(MORE_OFTEN, RISE, 0.02, share_words),
}
LARGE = 2500
"""Effective rows n·m / (n + m) from which any difference is significant: 5,000 a side."""


class Plan(NamedTuple):
    """A column that Evidently is to test, and the limit: a p-value or a distance."""

    column: str
    kind: str
    test: ColumnTest
    limit: float


def evidently_runs() -> Any:
    """Return the module that has Evidently at work, imported when it is needed and without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from flows.drift_gate import evidently_runs as module
    return module


class Compared(NamedTuple):
    """What Evidently compared, to be drawn if somebody is to see it: two `tested` frames and the plans."""

    before: pd.DataFrame
    now: pd.DataFrame
    plans: list[Plan]

    def charts(self, names: Sequence[str]) -> Any:
        """Give Evidently's snapshot with a chart of each of these columns, in their order."""
        planned = {plan.column: plan for plan in self.plans}
        return evidently_runs().charts(self.before, self.now, [planned[name] for name in names])


def run_evidently(reference: pd.DataFrame, batch: pd.DataFrame, plans: list[Plan]) -> Any:
    """Run Evidently's drift tests as planned; give its snapshot."""
    return evidently_runs().scores(reference, batch, plans)


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
) -> tuple[list[Finding], Compared | None]:
    """Test each column of two `tested` frames; give the findings and what can be drawn, None if none ran.

    `alpha` is shared out evenly over the columns that the contract names, tested or not. `causes` names,
    for an indicator, the columns at fault.
    """
    named = kinds(contract)
    found = {name: _without_a_test(name, kind, reference, batch, contract) for name, kind in named.items()}
    plans = [
        _plan(name, named[name], reference, batch, alpha / len(named))
        for name, known in found.items()
        if known is None
    ]
    snapshot = run_evidently(reference, batch, plans) if plans else None
    results, judged = results_by_column(snapshot), {}
    for plan in plans:
        words = KINDS[plan.kind].words(reference[plan.column], batch[plan.column])
        at_fault = f" ({', '.join(causes[plan.column])})" if plan.column in causes else ""
        judged[plan.column] = finding(plan, results.get(plan.column), words + at_fault)
    compared = Compared(reference, batch, plans) if plans else None
    return [known or judged[name] for name, known in found.items()], compared


def finding(plan: Plan, result: tuple[float, bool] | None, words: str) -> Finding:
    """Judge one column by Evidently's result for it; without a result it has drifted."""
    score, drifted = result or (None, True)
    return Finding(
        name=plan.column,
        test=plan.test.title,
        score=score,
        threshold=plan.limit,
        verdict=verdict_of(drifted),
        words=words if result else "Evidently gave no result for it",
        distance=plan.test.distance,
    )


def _plan(name: str, kind: str, reference: pd.DataFrame, batch: pd.DataFrame, level: float) -> Plan:
    """Choose the test: by p-value, or by distance where so many rows make any difference significant."""
    tests = KINDS[kind]
    if effective_rows(reference[name].count(), batch[name].count()) < LARGE:
        return Plan(name, kind, tests.by_p, level)
    return Plan(name, kind, tests.by_distance, tests.limit)


def _without_a_test(
    name: str, kind: str, reference: pd.DataFrame, batch: pd.DataFrame, contract: Contract
) -> Finding | None:
    """Judge what needs no test, or cannot have one; None where there is something to test."""
    before = reference[name].dropna() if name in reference else pd.Series(dtype=object)
    now = batch[name].dropna() if name in batch else pd.Series(dtype=object)
    few = min(len(now), len(before))
    expected = name in batch or name in {column.name for column in contract.features}
    optional = name in {column.name for column in contract.audit}
    looks = (
        (kind == SHARE and not (before == YES).any() and not (now == YES).any(), PASS, "none"),
        (now.empty and name == contract.target.column, NO_LABELS, "no labels"),
        (now.empty and before.empty, PASS, "no values, and none before"),
        (now.empty, DRIFT if expected else NOT_TESTED, "no values" if expected else "not in the batch"),
        (before.empty, NOT_TESTED if optional else DRIFT, "the reference has no values"),
        (few < LEAST_ROWS, TOO_FEW_ROWS, f"{few} values"),
    )
    return next(
        (Finding(name=name, verdict=verdict, words=words) for so, verdict, words in looks if so), None
    )
