"""The fairness audit: counts, rates and differences by group, against what luck would give."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data.bundle.card import (
    ACCURACY,
    CALIBRATION_GAP,
    ENOUGH,
    EQUALIZED_ODDS,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    PRECISION,
    RECALL,
    SELECTION_RATE,
    Audit,
    CardEstimate,
    Group,
    GroupDifference,
    Rate,
    Share,
)
from data.contract.columns import Column
from data.statistics import count_ci, proportion_ci
from flows.reports.evidence import Evidence, members, risks
from flows.training.metrics import FEW, ends_around

LEVEL = (5.0, 95.0)


def share_of(hits: np.ndarray, label: str = "") -> Share:
    """Return the share of true values (n,) with its 95 % interval, under a label; nothing of none."""
    found = {name: known(value) for name, value in proportion_ci(hits)._asdict().items()}
    return Share.model_validate({**found, "n": len(hits), "label": label})


def known(value: float | None) -> float | None:
    """Return a figure, or nothing for what is no number."""
    return None if value is None or not math.isfinite(value) else float(value)


def estimate(value: float, drawn: np.ndarray) -> CardEstimate:
    """Return a figure with the 90 % interval of its resamples; those that have none are left out."""
    told = drawn[~np.isnan(drawn)]
    if not len(told) or known(value) is None:
        return CardEstimate(value=known(value))
    low, high = ends_around(value, told, LEVEL)
    return CardEstimate(value=known(value), low=low, high=high)


# Of counts, not by fairlearn, whose bootstrap computes every metric of every group anew, in Python: 25 ms a
# resample of 500 students with four groups and four metrics, so half a minute for a tenth of a second here.
REPEATS = 1_000
BINS = 20  # of the forecast risk; the rest of its spread is the model's own and no matter of luck
RATES = (
    SELECTION_RATE,
    RECALL,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    PRECISION,
    ACCURACY,
    CALIBRATION_GAP,
)


class Students(NamedTuple):
    """Test students (n,) as the audit sees them."""

    risk: np.ndarray
    """Forecast probability of the classes at risk."""
    flagged: np.ndarray
    """Whether they are flagged as at risk."""
    true: np.ndarray
    """Whether they ended so."""
    right: np.ndarray
    """Whether the likeliest class was the true one."""

    def cells(self) -> np.ndarray:
        """Return each student's cell (n,): what was said and came of them, and about which risk."""
        bins = np.minimum((self.risk * BINS).astype(int), BINS - 1)
        return np.asarray(((self.flagged * 2 + self.true) * 2 + self.right) * BINS + bins)


class Counted(NamedTuple):
    """The parts of each rate by name: of `below[name]` students, `above[name]`; each (…, groups)."""

    above: dict[str, np.ndarray]
    below: dict[str, np.ndarray]

    def values(self, name: str, least: int = 1) -> np.ndarray:
        """Return a rate (…, groups); NaN where fewer than `least` students are behind it."""
        below = self.below[name]
        return np.where(below >= least, self.above[name] / np.maximum(below, 1), np.nan)

    def only(self, groups: np.ndarray) -> "Counted":
        """Return the parts of some groups alone, which are true in (groups,)."""
        return Counted(*({name: values[..., groups] for name, values in part.items()} for part in self))


def table_of(students: Students, groups: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts (groups, cells) from each student's group (n,), and the mean risk in each."""
    width = 8 * BINS
    place = groups * width + students.cells()
    table = np.bincount(place, minlength=count * width)
    mean_risk = np.bincount(place, students.risk, minlength=count * width) / np.maximum(table, 1)
    return table.reshape(count, width), mean_risk.reshape(count, width)


def counted(table: np.ndarray, mean_risk: np.ndarray) -> Counted:
    """Return the parts of every rate from counts (…, groups, cells)."""
    split = table.reshape(*table.shape[:-1], 2, 2, 2, BINS).sum(axis=-1)  # flagged, true, right
    students, flagged = split.sum(axis=(-3, -2, -1)), split[..., 1, :, :].sum(axis=(-2, -1))
    true, both = split[..., :, 1, :].sum(axis=(-2, -1)), split[..., 1, 1, :].sum(axis=-1)
    above = {
        SELECTION_RATE: flagged,
        RECALL: both,
        FALSE_NEGATIVE_RATE: true - both,
        FALSE_POSITIVE_RATE: flagged - both,
        PRECISION: both,
        ACCURACY: split[..., 1].sum(axis=(-2, -1)),
        CALIBRATION_GAP: (table * mean_risk).sum(axis=-1) - true,
    }
    below = {
        SELECTION_RATE: students,
        RECALL: true,
        FALSE_NEGATIVE_RATE: true,
        FALSE_POSITIVE_RATE: students - true,
        PRECISION: flagged,
        ACCURACY: students,
        CALIBRATION_GAP: students,
    }
    return Counted(above, below)


def resampled(table: np.ndarray, mean_risk: np.ndarray, rng: np.random.Generator) -> Counted:
    """Return the parts of every rate (repeats, groups) of students drawn again with replacement."""
    drawn = rng.multinomial(table.sum(), table.ravel() / table.sum(), size=REPEATS)
    return counted(drawn.reshape(REPEATS, *table.shape), mean_risk)


SHUFFLES = 5_000


class Ends(NamedTuple):
    """The rates of the groups that are farthest apart: of the students, and of resamples (repeats,)."""

    highest: float
    lowest: float
    highest_again: np.ndarray
    lowest_again: np.ndarray


def differences(own: Counted, drawn: Counted, chances: Mapping[str, float | None]) -> list[GroupDifference]:
    """Return the differences that at least two groups allow.

    `own` is of the students, `drawn` of their resamples, `chances` the p-value of each. A group counts in
    a rate that at least 10 of its students are behind. Intervals are of the two groups that are
    farthest apart, in the same order: the range over all groups of a resample would only be larger.
    """
    ends = {name: _ends(own.values(name, FEW), drawn.values(name)) for name in RATES}
    if ends[RECALL] or ends[FALSE_POSITIVE_RATE]:
        ends[EQUALIZED_ODDS] = max(
            (ends[RECALL], ends[FALSE_POSITIVE_RATE]), key=lambda two: _apart(two) if two else -1.0
        )
    return [
        GroupDifference(
            name=name,
            **estimate(_apart(two), two.highest_again - two.lowest_again).model_dump(),
            ratio=None if name in (CALIBRATION_GAP, EQUALIZED_ODDS) else estimate(*_ratio(two)),
            p_value=chances[name],
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


def p_values(own: Counted, rng: np.random.Generator) -> Mapping[str, float | None]:
    """Return how often groups of these sizes would be as far apart if membership were dealt out by lot.

    The students behind a rate keep what became of them and their groups are shuffled. None for a
    rate that fewer than two groups have, and for `gap`, which is no share.
    """
    apart = {name: _shuffled(own, name, rng) for name in RATES if name != CALIBRATION_GAP}
    found: dict[str, float | None] = {CALIBRATION_GAP: None}
    found |= {name: _p_value(spread(own.values(name, FEW)), apart[name]) for name in apart}
    return {**found, EQUALIZED_ODDS: bonferroni(found[RECALL], found[FALSE_POSITIVE_RATE])}


def bonferroni(*chances: float | None) -> float | None:
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


def _p_value(seen: np.ndarray, dealt: np.ndarray) -> float | None:
    if np.isnan(seen):
        return None
    return float((1 + (dealt >= seen - 1e-12).sum()) / (1 + len(dealt)))


@lru_cache(maxsize=1)  # card, figures and plot ask one after the other
def fairness_audits(evidence: Evidence, seed: int = 0) -> tuple[Audit, ...]:
    """Return the audit of each audited column that the test students have."""
    rng = np.random.default_rng(seed)
    frame, students = evidence.frame, students_of(evidence)
    known = [c for c in evidence.contract.audited if c.name in frame and frame[c.name].notna().any()]
    return tuple(_audit(evidence, students, column, rng) for column in known)


def students_of(evidence: Evidence) -> Students:
    """Return the test students as the audit sees them."""
    risk, true = risks(evidence)
    right = evidence.probabilities.argmax(axis=1) == evidence.y
    return Students(risk, risk >= evidence.contract.target.call_from, true, right)


def _audit(evidence: Evidence, students: Students, column: Column, rng: np.random.Generator) -> Audit:
    named = dict(members(evidence.frame[column.name], column))
    place = np.full(len(students.true), -1)
    for number, rows in enumerate(named.values()):
        place[rows] = number
    inside = place >= 0
    some = Students(*(values[inside] for values in students))
    table, mean_risk = table_of(some, place[inside], len(named))
    own, drawn = counted(table, mean_risk), resampled(table, mean_risk, rng)
    groups = tuple(
        _group(name, Students(*(values[rows] for values in students)), own, drawn, number)
        for number, (name, rows) in enumerate(named.items())
    )
    enough = table.sum(axis=1) >= ENOUGH
    own, drawn = own.only(enough), drawn.only(enough)
    chances = p_values(own, rng)
    return Audit(
        column=column.name,
        groups=groups,
        p_value=bonferroni(chances[ACCURACY], chances[RECALL], chances[FALSE_POSITIVE_RATE]),
        differences=tuple(differences(own, drawn, chances)),
        counterfactuals=evidence.counterfactuals.get(column.name),
    )


def _group(name: str, students: Students, own: Counted, drawn: Counted, number: int) -> Group:
    parts = {rate: (own.above[rate][number], int(own.below[rate][number])) for rate in RATES}
    enough = len(students.true) >= ENOUGH
    return Group(
        wrong=share_of(~students.right, name),
        forecast_risk=float(students.risk.mean()),
        true_risk=float(students.true.mean()),
        rates=tuple(
            _rate(rate, above, n, drawn.values(rate)[:, number])
            if enough and n >= FEW
            else Rate(name=rate, value=None, n=n)
            for rate, (above, n) in parts.items()
        ),
    )


def _rate(name: str, above: float, n: int, drawn: np.ndarray) -> Rate:
    """Give a share its 90 % interval, and the gap its bootstrap one."""
    if name == CALIBRATION_GAP:
        return Rate(name=name, n=n, **estimate(above / n, drawn).model_dump())
    share, low, high, _ = count_ci(int(above), n, 0.9)
    return Rate(name=name, n=n, value=share, low=low, high=high)


COLUMNS = ["column", "group", "rate", "value", "low", "high", "n", "ratio", "luck"]
APART, CHANGED = "(farthest apart)", "(changed alone)"


def fairness_table(audits: Sequence[Audit]) -> pd.DataFrame:
    """Return the lines of all audited columns; None where too few students are behind a figure."""
    lines = ({"column": audit.column, **line} for audit in audits for line in _lines(audit))
    table = pd.DataFrame(lines, columns=COLUMNS).astype(object)
    return table.where(table.notna(), None)


def _lines(audit: Audit) -> Iterator[dict[str, Any]]:
    for group in audit.groups:
        for rate in group.rates:
            yield {**rate.model_dump(exclude={"name"}), "group": group.wrong.label, "rate": rate.name}
    for apart in audit.differences:
        ratio = apart.ratio.value if apart.ratio else None
        figures = apart.model_dump(include={"value", "low", "high", "p_value"})
        yield {**figures, "group": APART, "rate": apart.name, "ratio": ratio}
    if (changed := audit.counterfactuals) is not None:
        for name, share in (("classes", changed.classes), ("calls", changed.flagged)):
            yield {"group": CHANGED, "rate": f"flipped_{name}", "value": share, "n": changed.n}
