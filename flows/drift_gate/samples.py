"""Which rows are compared, by which tests, and in which words."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from data.contract.columns import Codes, Column
from data.contract.contract import Contract
from data.rows.quarantine import REASONS, reasons_by_row
from data.rows.spreadsheets import FIRST_ROW
from data.words import percent

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


def share_words(reference: pd.Series, current: pd.Series, columns: list[str]) -> str:
    """Tell how often an indicator is on, and for which columns."""
    before, now = (reference == YES).mean(), (current == YES).mean()
    named = f" ({', '.join(columns)})" if columns else ""
    return f"{percent(before, 1)} → {percent(now, 1)} of rows{named}"


QUARANTINE = "quarantine"
REFERENCE_ROWS, BATCH_ROWS = 5_000, 20_000
LOOKED_AT = 200_000
"""Rows that the gate reads at most: of more, a sample that keeps the shares of classes and of sound rows."""
MOST_UNKNOWN = 20  # unknown texts told apart; with more, the column holds something else altogether
HUGE = 1e100
"""A number beyond this counts as infinite: the sums of a histogram would overflow."""


@dataclass(frozen=True)
class Reference:
    """What the champion was trained on.

    `sample` holds rows as parsed, and in `quarantine` the text of what was wrong with each, "" for nothing;
    `trained_rows` is the number of rows of the fit, `rows` of the whole file.
    """

    sample: pd.DataFrame
    trained_rows: int
    rows: int


def reference_of(parsed: pd.DataFrame, faults: pd.DataFrame, trained_rows: int, seed: int = 0) -> Reference:
    """Draw the reference from a parsed frame and its quarantine table: at most 5,000 rows, seeded."""
    sample = draw(parsed, REFERENCE_ROWS, seed)
    marked = sample.assign(**{QUARANTINE: faults_text(sample, faults)}).reset_index(drop=True)
    return Reference(marked, trained_rows, len(parsed))


def draw(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Draw rows without replacement, in their order; all of them if there are no more."""
    if len(frame) <= rows:
        return frame
    chosen = np.random.default_rng(seed).choice(len(frame), rows, replace=False)
    return frame.iloc[np.sort(chosen)]


def faults_text(parsed: pd.DataFrame, faults: pd.DataFrame) -> pd.Series:
    """Say of each parsed row what is wrong with it, "" for nothing: "Ethnicity: unknown code"."""
    ours = faults[faults["row"].isin(parsed.index + FIRST_ROW)]
    if ours.empty:
        return pd.Series("", index=parsed.index, dtype=object)
    texts = reasons_by_row(ours)
    return pd.Series(parsed.index + FIRST_ROW, index=parsed.index).map(texts).fillna("").astype(object)


def sound_rows(reference: Reference) -> pd.DataFrame:
    """Give the rows of the reference that were not quarantined."""
    return reference.sample[reference.sample[QUARANTINE] == ""]


def without_unasked(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Leave out audit columns of which nothing is known: who asks for a forecast may withhold them."""
    unasked = [c.name for c in contract.audit if c.name in frame and frame[c.name].isna().all()]
    return frame.drop(columns=unasked)


def tested(frame: pd.DataFrame, faults: pd.Series, contract: Contract) -> pd.DataFrame:
    """Give the columns to test: numbers as finite floats or NaN, codes as labels, indicators as yes or no.

    They are the features and audit columns, the target, one indicator for each reason of quarantine and one
    for what is missing of each nullable feature; a column that the frame lacks is lacking here too.
    """
    columns = {c.name: _values(frame[c.name], c) for c in contract.asked if c.name in frame}
    target = contract.target
    if target.column in frame:
        columns[target.column] = _labels(frame[target.column], target.classes)
    for reason in REASONS:
        columns[indicator(reason)] = _yes(has_reason(faults, reason, contract))
    for column in contract.features:
        if column.nullable and column.name in frame:
            columns[missing_indicator(column.name)] = _yes(frame[column.name].isna())
    return pd.DataFrame(columns, index=frame.index)


def indicator(reason: str) -> str:
    """Name the column that says whether a row is quarantined for a reason."""
    return f"quarantined: {reason}"


def missing_indicator(name: str) -> str:
    """Name the column that says whether a nullable feature is missing."""
    return f"missing: {name}"


def has_reason(faults: pd.Series, reason: str, contract: Contract) -> pd.Series:
    """Say which rows have a reason; a label that has not come is no fault of the row here."""
    waiting = f"{contract.target.column}: missing"
    distinct = {
        text: any(part.endswith(f": {reason}") and part != waiting for part in text.split("; "))
        for text in faults.unique()
    }
    return faults.map(distinct).astype(bool)


def _values(series: pd.Series, column: Column) -> pd.Series:
    if column.coded:
        return _labels(series, column.codes)
    values = series.astype(float)
    return values.where(values.abs() < HUGE)


def _labels(series: pd.Series, codes: Codes) -> pd.Series:
    """Give the labels of parsed codes; what the contract does not know is called unknown."""
    known = list(codes.values())
    texts = series.cat.categories[len(known) :]
    unknown = [f"unknown {_harmless(text)}" if len(texts) <= MOST_UNKNOWN else "unknown" for text in texts]
    names = np.array([*known, *unknown, None], dtype=object)
    return pd.Series(names[series.cat.codes.to_numpy()], index=series.index, dtype=object)


def _harmless(text: str) -> str:
    """Shorten a text of the records and take its angle brackets: Evidently's page would run scripts in it."""
    return str(text)[:40].translate(str.maketrans("<>", "‹›"))


def _yes(flags: pd.Series) -> pd.Series:
    return pd.Series(np.where(flags.to_numpy(dtype=bool), YES, "no"), index=flags.index, dtype=object)
