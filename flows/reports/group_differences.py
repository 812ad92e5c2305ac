"""How far the groups of an audit are apart in each rate, and how far luck alone would bring them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from data.card_audit import FALSE_ALARMS, FOUND, GAP, ODDS, Difference
from flows.reports.card_shares import estimate
from flows.reports.group_counts import RATES, Counted
from flows.training.metrics import FEW

SHUFFLES = 5_000


class Ends(NamedTuple):
    """The rates of the groups that are farthest apart: of the students, and of resamples (repeats,)."""

    highest: float
    lowest: float
    highest_again: np.ndarray
    lowest_again: np.ndarray


def differences(own: Counted, drawn: Counted, by_lot: Mapping[str, float | None]) -> list[Difference]:
    """Return the differences that at least two groups allow.

    `own` is of the students, `drawn` of their resamples, `by_lot` the luck of each. A group counts in
    a rate that at least 10 of its students are behind. Intervals are of the two groups that are
    farthest apart, in the same order: the range over all groups of a resample would only be larger.
    """
    ends = {name: _ends(own.values(name, FEW), drawn.values(name)) for name in RATES}
    if ends[FOUND] or ends[FALSE_ALARMS]:
        ends[ODDS] = max((ends[FOUND], ends[FALSE_ALARMS]), key=lambda two: _apart(two) if two else -1.0)
    return [
        Difference(
            name=name,
            **estimate(_apart(two), two.highest_again - two.lowest_again).model_dump(),
            ratio=None if name in (GAP, ODDS) else estimate(*_ratio(two)),
            luck=by_lot[name],
        )
        for name, two in ends.items()
        if two
    ]


def _ends(values: np.ndarray, again: np.ndarray) -> Ends | None:
    if (~np.isnan(values)).sum() < 2:
        return None
    high, low = np.nanargmax(values), np.nanargmin(values)
    return Ends(float(values[high]), float(values[low]), again[:, high], again[:, low])


def _apart(two: Ends) -> float:
    return two.highest - two.lowest


def _ratio(two: Ends) -> tuple[float, np.ndarray]:
    """Return the lowest as a share of the highest; NaN where that is 0."""
    below = np.where(two.highest_again > 0, two.highest_again, np.nan)
    return two.lowest / two.highest if two.highest > 0 else float("nan"), two.lowest_again / below


def lucks(own: Counted, rng: np.random.Generator) -> Mapping[str, float | None]:
    """Return how often groups of these sizes would be as far apart if membership were dealt out by lot.

    The students behind a rate keep what became of them and their groups are shuffled. None for a
    rate that fewer than two groups have, and for `gap`, which is no share.
    """
    apart = {name: _shuffled(own, name, rng) for name in RATES if name != GAP}
    found: dict[str, float | None] = {GAP: None}
    found |= {name: _luck(spread(own.values(name, FEW)), apart[name]) for name in apart}
    return {**found, ODDS: either(found[FOUND], found[FALSE_ALARMS])}


def either(*chances: float | None) -> float | None:
    """Return the smallest of a few chances times their number (Bonferroni); None of none."""
    told = [chance for chance in chances if chance is not None]
    return min(1.0, len(told) * min(told)) if told else None


def spread(values: np.ndarray) -> np.ndarray:
    """Return how far the groups (…, groups) are apart; NaN with fewer than two known ones."""
    known = (~np.isnan(values)).sum(axis=-1)
    high = np.where(np.isnan(values), -np.inf, values).max(axis=-1, initial=-np.inf)
    low = np.where(np.isnan(values), np.inf, values).min(axis=-1, initial=np.inf)
    return np.where(known > 1, high - low, np.nan)


def _shuffled(own: Counted, name: str, rng: np.random.Generator) -> np.ndarray:
    above, below = own.above[name], own.below[name]
    known = below >= FEW
    if known.sum() < 2:
        return np.full(SHUFFLES, np.nan)
    hits = int(above[known].sum())
    drawn = rng.multivariate_hypergeometric(below[known], hits, size=SHUFFLES, method="marginals")
    return spread(drawn / below[known])


def _luck(seen: np.ndarray, dealt: np.ndarray) -> float | None:
    if np.isnan(seen):
        return None
    return float((1 + (dealt >= seen - 1e-12).sum()) / (1 + len(dealt)))
