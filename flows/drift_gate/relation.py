"""Whether the grade still follows from the columns, on the whole and in subgroups."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from data.contract.columns import Column, Target
from data.contract.contract import Contract
from flows.drift_gate.findings import Finding, verdict_of
from flows.drift_gate.labels import LABELS


@dataclass(frozen=True)
class Subgroup:
    """Rows of a batch (n,) bool, and the share of the reference that belongs to the same subgroup."""

    name: str
    rows: np.ndarray
    share: float


def subgroups(batch: pd.DataFrame, reference: pd.DataFrame, contract: Contract) -> list[Subgroup]:
    """Cut a batch into subgroups by each feature; quarters of numbers are the reference's.

    Both frames are as parsed and without quarantined rows. Audit columns make no subgroups: a difference that
    the champion cannot know is there from the start, and would stop every batch.
    """
    found = [Subgroup("all rows", np.ones(len(batch), dtype=bool), 1.0)]
    for column in contract.features:
        before, now = reference[column.name], batch[column.name]
        cut = _codes(before, now, column) if column.coded else _quarters(before, now, column)
        found += [Subgroup(name, rows, float(share)) for name, rows, share in cut]
        if column.nullable:
            gone = now.isna().to_numpy()
            found.append(Subgroup(f"{column.name} missing", gone, float(before.isna().mean())))
    return found


def _codes(before: pd.Series, now: pd.Series, column: Column) -> list[tuple[str, np.ndarray, float]]:
    shares = np.array([(before.cat.codes == place).mean() for place in range(len(column.codes))])
    codes = now.cat.codes.to_numpy()
    labels = enumerate(column.codes.values())
    return [(f"{column.name} = {label}", codes == place, shares[place]) for place, label in labels]


def _quarters(before: pd.Series, now: pd.Series, column: Column) -> list[tuple[str, np.ndarray, float]]:
    known = before.dropna().to_numpy(float)
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.array([])
    ends = [-np.inf, *edges, np.inf]
    old, new = before.to_numpy(float), now.to_numpy(float)
    return [
        (
            _range_name(column.name, low, high),
            (new > low) & (new <= high),
            ((old > low) & (old <= high)).mean(),
        )
        for low, high in pairwise(ends)
    ]


def _range_name(name: str, low: float, high: float) -> str:
    if np.isinf(low) and np.isinf(high):
        return f"{name} known"
    if np.isinf(low):
        return f"{name} ≤ {high:.3g}"
    return f"{name} > {low:.3g}" if np.isinf(high) else f"{name} {low:.3g} to {high:.3g}"


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
