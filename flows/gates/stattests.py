"""Two-sample tests of our own, and their registration with Evidently.

Evidently's own chi-square takes the reference for exact, which alarms falsely when the batch is as large
as the reference; its Kolmogorov–Smirnov sees +3 absences less often than a test of ranks does.
"""

import numpy as np
import pandas as pd
from scipy import stats

NUMBERS, CODES, MORE_OFTEN, RISE = "ranks-and-shape", "contingency-chi-square", "more-often", "rise-in-share"
WASSERSTEIN, JENSEN_SHANNON = "wasserstein", "jensenshannon"  # Evidently's own names
YES = "yes"

TITLES = {
    NUMBERS: "ranks (level, spread) and Kolmogorov–Smirnov",
    CODES: "two-sample chi-square",
    MORE_OFTEN: "Fisher exact, more often",
    RISE: "rise in share",
    WASSERSTEIN: "normed Wasserstein distance",
    JENSEN_SHANNON: "Jensen–Shannon distance",
}
SHAPE_SHARE = 0.2
"""Part of a number's alpha that is spent on any shape; the rest is on level and spread, which see more."""
LARGE = 2500
"""Effective rows n·m / (n + m) from which any difference is significant: 5,000 a side."""
DISTANCE, SHARE_RISE = 0.1, 0.02


def effective_rows(reference: int, current: int) -> float:
    """Give the rows of a one-sample test that would see as much: the smaller side limits it."""
    return reference * current / max(reference + current, 1)


def numbers_p(reference: np.ndarray, current: np.ndarray) -> float:
    """Test two samples of a number for any difference; give the p-value.

    Bonferroni over a rank test of level and spread and Kolmogorov–Smirnov, in shares of alpha. (At 300 rows
    against 2,392 it sees +3 absences as often as Mann–Whitney does; Cramér–von Mises of SciPy fails on ties,
    Anderson–Darling's p-values end at 0.001.)
    """
    shape = stats.ks_2samp(reference, current, method="asymp").pvalue
    return float(min(1.0, level_and_spread_p(reference, current) / (1 - SHAPE_SHARE), shape / SHAPE_SHARE))


def level_and_spread_p(reference: np.ndarray, current: np.ndarray) -> float:
    """Test the mean of the first two Legendre polynomials of the pooled mid-ranks (Neyman's smooth test)."""
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


def register() -> None:
    """Make the tests known to Evidently by name, which refuses a bare function."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def add(name: str, kind: ColumnType, decide) -> None:  # type: ignore[no-untyped-def]
        register_stattest(StatTest(name, TITLES[name], [kind]), default_impl=decide)

    number, coded = ColumnType.Numerical, ColumnType.Categorical
    add(
        NUMBERS,
        number,
        lambda ref, cur, _, alpha: _p(numbers_p(ref.to_numpy(float), cur.to_numpy(float)), alpha),
    )
    add(CODES, coded, lambda ref, cur, _, alpha: _p(codes_p(ref, cur), alpha))
    add(MORE_OFTEN, coded, lambda ref, cur, _, alpha: _p(more_often_p(ref, cur), alpha))
    add(RISE, coded, lambda ref, cur, _, limit: _distance(rise_in_share(ref, cur), limit))


def _p(p_value: float, alpha: float) -> tuple[float, bool]:
    return p_value, bool(p_value < alpha)


def _distance(distance: float, limit: float) -> tuple[float, bool]:
    return distance, bool(distance > limit)
