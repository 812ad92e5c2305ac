"""The relation gates: does the class still follow from the features as the champion learned it?

Column tests cannot see a changed effect or corrupt labels. Under the champion's own probabilities the loss
and the class of each row have a known mean and variance, whatever the mix of students: so covariate shift
alone does not trip these gates.
"""

import numpy as np
from scipy import stats

from flows.gates.findings import Finding, verdict_of
from flows.gates.subgroups import Subgroup

LOSS, RESIDUAL = "relation: loss", "relation: residual"
LOSS_CAP = 7.0
"""A label that the champion gave under 0.1 % counts as this: one slip of the pen is no drift."""
MOST_EXACT = 5_000
"""No champion is taken for more exact than one of so many rows, or any bias of it alarms in a large batch."""
CONTINUITY = 0.25
"""Half a class, squared: in subgroups where hardly anything is uncertain the normal tail is too thin."""
LEAST_IN_SUBGROUP = 10


def loss_finding(probabilities: np.ndarray, y: np.ndarray, trained_rows: int, alpha: float) -> Finding:
    """Judge z = Σ(ℓ − H) / √ΣV over labelled rows; H, V are the loss's mean and variance under the champion.

    `probabilities` is (n, K), `y` (n,) class indices. The variance is widened by (1 + n / trained_rows) for
    the champion's own error. Two-sided: a loss above what the champion expects means corrupt labels or a
    changed relation; one below it means labels copied from forecasts, of which nothing can be learned.
    """
    n = len(y)
    losses = np.minimum(-np.log(np.maximum(probabilities, 1e-12)), LOSS_CAP)
    expected = (probabilities * losses).sum(axis=1)
    variance = (probabilities * losses**2).sum(axis=1) - expected**2
    seen = losses[np.arange(n), y]
    widened = variance.sum() * (1 + n / min(trained_rows, MOST_EXACT))
    p_value = float(2 * stats.norm.sf(abs(seen.sum() - expected.sum()) / np.sqrt(widened)))
    return Finding(
        name=LOSS,
        test="z of the log loss",
        score=p_value,
        threshold=alpha,
        verdict=verdict_of(p_value < alpha),
        words=f"log loss {seen.mean():.3g} where the champion expects {expected.mean():.3g} ({n} rows)",
    )


def residual_finding(
    probabilities: np.ndarray,
    y: np.ndarray,
    groups: list[Subgroup],
    trained_rows: int,
    labels: tuple[str, ...],
    ordered: bool,
    alpha: float,
) -> Finding:
    """Judge the largest |Σ(y − E y)| / √ΣVar over subgroups, Bonferroni-corrected for their number.

    Of ordered classes y is the class index, of others each class's indicator in turn. The variance of a
    subgroup of m rows is widened by (1 + m / M), M the subgroup's rows in the champion's training: its
    estimate of a group's level is as uncertain as the mean of those.
    """
    scales = [np.arange(len(labels), dtype=float)] if ordered else list(np.eye(len(labels)))
    tested = [group for group in groups if group.rows.sum() >= LEAST_IN_SUBGROUP]
    results = []
    for place, scale in enumerate(scales):
        expected = probabilities @ scale
        variance = probabilities @ scale**2 - expected**2
        residual = scale[y] - expected
        for group in tested:
            z = _group_z(
                residual[group.rows], variance[group.rows], group.share * min(trained_rows, MOST_EXACT)
            )
            results.append((abs(z), group, residual[group.rows].mean(), place))
    size, group, mean, place = max(results, key=lambda result: result[0])
    p_value = float(min(1.0, 2 * stats.norm.sf(size) * len(results)))
    what = _ordered_words(mean) if ordered else f"{labels[place]} {100 * mean:+.1f} points from the forecast"
    return Finding(
        name=RESIDUAL,
        test=f"largest of {len(results)} residuals",
        score=p_value,
        threshold=alpha,
        verdict=verdict_of(p_value < alpha),
        words=f"{group.name}: {what} ({int(group.rows.sum())} rows)",
    )


def undecided(words: str, verdict: str) -> list[Finding]:
    """Say why the relation gates could not decide."""
    return [Finding(name=name, verdict=verdict, words=words) for name in (LOSS, RESIDUAL)]


def _group_z(residual: np.ndarray, variance: np.ndarray, trained_rows: float) -> float:
    m = len(residual)
    widened = variance.sum() * (1 + m / max(trained_rows, 1.0))
    return float(residual.sum() / np.sqrt(widened + CONTINUITY))


def _ordered_words(mean: float) -> str:
    return f"{abs(mean):.2f} classes {'worse' if mean > 0 else 'better'} than forecast"
