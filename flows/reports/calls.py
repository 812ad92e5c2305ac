"""Who is called at risk: how rare being at risk is, how well the call does, and what it costs."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from data.bundle.answers import risk_of, risky
from data.bundle.card import CardEstimate, Flagging, Price
from data.contract.columns import Costs, Target
from data.statistics import proportion_ci
from flows.reports.evidence import Evidence, risks
from flows.reports.fairness import card_share, estimate

GRID = 100  # thresholds are tried at each percent
REPEATS = 1_000
CURVE_REPEATS, CURVE_ROWS = 200, 20_000
PER = 100  # students that a cost is given for


class Tally(NamedTuple):
    """Students by their risk in percent (…, GRID + 1): those who ended at risk, and the others."""

    risky: np.ndarray
    safe: np.ndarray

    def cost(self, costs: Costs) -> np.ndarray:
        """Return the cost per 100 students of each threshold (…, GRID + 2); at the last, none are called."""
        missed = _from_zero(self.risky)
        alarms = self.safe.sum(axis=-1, keepdims=True) - _from_zero(self.safe)
        students = self.risky.sum(axis=-1, keepdims=True) + self.safe.sum(axis=-1, keepdims=True)
        return np.asarray(PER * (costs.missed * missed + costs.false_alarm * alarms) / students)

    def again(self, rng: np.random.Generator) -> "Tally":
        """Return the same of students drawn again with replacement, (REPEATS, GRID + 1)."""
        cells = np.concatenate([self.risky, self.safe])
        drawn = rng.multinomial(cells.sum(), cells / cells.sum(), size=REPEATS)
        return Tally(drawn[:, : GRID + 1], drawn[:, GRID + 1 :])


@lru_cache(maxsize=1)
def flagging_of(evidence: Evidence, seed: int = 0) -> Flagging:
    """Return how the test students are called at risk, and the price where the contract names costs."""
    target, rng = evidence.contract.target, np.random.default_rng(seed)
    risk, true = risks(evidence)
    called = risk >= target.call_from
    area, balanced = figures_of(risk, true, called)
    return Flagging(
        threshold=target.call_from,
        at_risk=card_share(proportion_ci(true)),
        flagged=card_share(proportion_ci(called)),
        average_precision=estimate(area, _areas_again(risk, true, area, rng)),
        balanced_accuracy=estimate(balanced, _balanced_again(true, called, rng)),
        price=None if target.costs is None else _price(evidence, target.costs, rng),
    )


def figures_of(risk: np.ndarray, true: np.ndarray, called: np.ndarray) -> tuple[float, float]:
    """Return the average precision and the balanced accuracy of calls (n,); NaN where all are alike."""
    from sklearn.metrics import average_precision_score

    if true.all() or not true.any():
        return float("nan"), float("nan")
    balanced = (called[true].mean() + (~called[~true]).mean()) / 2
    return float(average_precision_score(true, risk)), float(balanced)


def call_metrics(risk: np.ndarray, true: np.ndarray, target: Target) -> dict[str, float]:
    """Return the figures of calling students (n,) under their registry names; NaN where none can be told."""
    called = risk >= target.call_from
    area, balanced = figures_of(risk, true, called)
    found = {
        "share": proportion_ci(true).share,
        "average_precision": area,
        "balanced_accuracy": balanced,
        "recall": proportion_ci(called[true]).share,
        "precision": proportion_ci(true[called]).share,
    }
    if target.costs is not None:
        found["cost_per_100"] = PER * float(cost_of(risk, true, target.costs, target.call_from).mean())
    return {f"test_at_risk_{name}": value for name, value in found.items()}


def cost_of(risk: np.ndarray, true: np.ndarray, costs: Costs, threshold: float) -> np.ndarray:
    """Return what calling each student (n,) cost, or not calling."""
    called = risk >= threshold
    return np.asarray(costs.missed * (true & ~called) + costs.false_alarm * (~true & called))


def tally_of(risk: np.ndarray, true: np.ndarray) -> Tally:
    """Count students (n,) by their risk in percent."""
    place = np.floor(np.clip(risk, 0, 1) * GRID + 1e-9).astype(int)
    return Tally(*(np.bincount(place[rows], minlength=GRID + 1) for rows in (true, ~true)))


def _price(evidence: Evidence, costs: Costs, rng: np.random.Generator) -> Price:
    target = evidence.contract.target
    probabilities, y = evidence.pooled
    pooled = risk_of(probabilities, target), risky(target)[y]
    tally = tally_of(*pooled)
    own, drawn = tally.cost(costs), tally.again(rng).cost(costs)
    place = int(own.argmin())  # resamples are judged there too: at a best of their own they cost too little
    return Price(
        missed=costs.missed,
        false_alarm=costs.false_alarm,
        here=_mean_again(cost_of(*risks(evidence), costs, target.call_from), rng),
        pooled=_mean_again(cost_of(*pooled, costs, target.call_from), rng),
        best=estimate(float(own[place]), drawn[:, place]),
        best_threshold=estimate(place / GRID, drawn.argmin(axis=1) / GRID),
        nobody=float(own[-1]),
        everybody=float(own[0]),
    )


def _mean_again(costs: np.ndarray, rng: np.random.Generator) -> CardEstimate:
    """Return the mean of each student's cost (n,), per 100, with its bootstrap interval."""
    values, counts = np.unique(PER * costs, return_counts=True)
    drawn = rng.multinomial(len(costs), counts / len(costs), size=REPEATS)
    return estimate(PER * float(costs.mean()), drawn @ values / len(costs))


def _balanced_again(true: np.ndarray, called: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    cells = np.bincount(2 * true + called, minlength=4)
    drawn = rng.multinomial(len(true), cells / len(true), size=REPEATS).reshape(REPEATS, 2, 2)
    rows = drawn.sum(axis=2)
    shares = np.where(rows > 0, drawn[:, [0, 1], [0, 1]] / np.maximum(rows, 1), np.nan)
    return np.asarray(shares.mean(axis=1))


def _areas_again(risk: np.ndarray, true: np.ndarray, area: float, rng: np.random.Generator) -> np.ndarray:
    """Return the average precision of resamples: of m students, their distance to it by sqrt(m / n)."""
    from sklearn.metrics import average_precision_score

    if np.isnan(area):
        return np.array([area])
    size = min(len(true), CURVE_ROWS)
    drawn = (rng.integers(0, len(true), size) for _ in range(CURVE_REPEATS))
    areas = [average_precision_score(true[rows], risk[rows]) for rows in drawn if true[rows].any()]
    return np.asarray(area + (np.array(areas) - area) * np.sqrt(size / len(true)))


def _from_zero(counts: np.ndarray) -> np.ndarray:
    """Return how many are below each threshold: none below the first, all below the last."""
    below = counts.cumsum(axis=-1)
    return np.concatenate([np.zeros_like(below[..., :1]), below], axis=-1)
