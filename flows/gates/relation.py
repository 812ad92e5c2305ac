"""The relation gates: does the class still follow from the features as the champion learned it?

Column tests cannot see a changed effect or corrupt labels. Under the champion's own probabilities the loss
and the class of each row have a known mean and variance, whatever the mix of students: so covariate shift
alone does not trip these gates.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from data.target import Target
from flows.gates.findings import Finding, verdict_of
from flows.gates.labels import LABELS
from flows.gates.subgroups import Subgroup

LOSS, RESIDUAL = "relation: loss", "relation: residual"
LOSS_CAP = 7.0
"""A label that the champion gave under 0.1 % counts as this: one slip of the pen is no drift."""
MOST_EXACT = 5_000
"""No champion is taken for more exact than one of so many rows, or any bias of it alarms in a large batch."""
CONTINUITY = 0.25
"""Half a class, squared: in subgroups where hardly anything is uncertain the normal tail is too thin."""
LEAST_IN_SUBGROUP = 10


@dataclass(frozen=True)
class Residual:
    """How far one subgroup is from the forecast: |z|, and the mean residual of a row."""

    group: Subgroup
    place: int
    size: float
    mean: float


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
        verdict=verdict_of(not p_value >= alpha),
        words=f"log loss {seen.mean():.3g} where the champion expects {expected.mean():.3g} ({n} rows)",
    )


def residual_finding(
    probabilities: np.ndarray,
    y: np.ndarray,
    groups: list[Subgroup],
    trained_rows: int,
    target: Target,
    alpha: float,
) -> Finding:
    """Judge the largest |Σ(y − E y)| / √ΣVar over subgroups, Bonferroni-corrected for their number.

    Of ordered classes y is the class index, of others each class's indicator in turn. The variance of a
    subgroup of m rows is widened by (1 + m / M), M the subgroup's rows in the champion's training: its
    estimate of a group's level is as uncertain as the mean of those.
    """
    exactness = min(trained_rows, MOST_EXACT)
    tested = [group for group in groups if group.rows.sum() >= LEAST_IN_SUBGROUP]
    found = [
        _residual(group, place, residual, variance, exactness)
        for place, residual, variance in _residuals(probabilities, y, target)
        for group in tested
    ]
    largest = max(found, key=lambda residual: residual.size)
    p_value = float(min(1.0, 2 * stats.norm.sf(largest.size) * len(found)))
    return Finding(
        name=RESIDUAL,
        test=f"largest of {len(found)} residuals",
        score=p_value,
        threshold=alpha,
        verdict=verdict_of(not p_value >= alpha),
        words=_words(largest, target),
    )


def undecided(words: str, verdict: str) -> list[Finding]:
    """Say why the relation gates could not decide."""
    return [Finding(name=name, verdict=verdict, words=words) for name in (LOSS, RESIDUAL, LABELS)]


def _residuals(
    probabilities: np.ndarray, y: np.ndarray, target: Target
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Give each row's residual and its variance, of the class index or of one class after the other."""
    count = len(target.labels)
    for place, scale in enumerate([np.arange(count, dtype=float)] if target.ordered else np.eye(count)):
        expected = probabilities @ scale
        yield place, scale[y] - expected, probabilities @ scale**2 - expected**2


def _residual(
    group: Subgroup, place: int, residual: np.ndarray, variance: np.ndarray, exactness: int
) -> Residual:
    own, m = residual[group.rows], group.rows.sum()
    widened = variance[group.rows].sum() * (1 + m / max(group.share * exactness, 1.0))
    return Residual(group, place, float(abs(own.sum()) / np.sqrt(widened + CONTINUITY)), float(own.mean()))


def _words(residual: Residual, target: Target) -> str:
    group = residual.group
    if target.ordered and len(target.labels) > 2:
        change = (
            f"{abs(residual.mean):.2f} classes {'worse' if residual.mean > 0 else 'better'} than forecast"
        )
    else:
        # Of two ordered classes the index is the second one's share.
        label = target.labels[1 if target.ordered else residual.place]
        often = "more" if residual.mean > 0 else "less"
        change = f"{label} {100 * abs(residual.mean):.1f} points {often} often than forecast"
    return f"{group.name}: {change} ({int(group.rows.sum())} rows)"
