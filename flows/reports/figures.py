"""The card's figures: of all, of flagging students at risk and its price."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from data.bundle.answers import risk_of, risky
from data.bundle.card import (
    Card,
    CardEstimate,
    CardFigure,
    ClassFigures,
    Data,
    Flagging,
    PartWay,
    Price,
    ReliabilityBin,
    RiskError,
    members,
)
from data.contract.columns import Costs, Target
from data.statistics import proportion_ci
from flows.reports.evidence import FIGURES, Evidence, lines_of, risks
from flows.reports.fairness import estimate, fairness_audits, known, share_of
from flows.training.metrics import FEW, null_calibration_error, null_chance_error

BINS = 10
OF_ORDER = "test_qwk"
"""A figure that means something where classes have an order."""


def card_figures(evidence: Evidence, part_way: Sequence[PartWay] = ()) -> Card:
    """Return every figure of the card."""
    labels, (risk, true) = evidence.contract.target.labels, risks(evidence)
    flagged = risk >= evidence.contract.target.call_from
    held = np.array([labels[k] in s for k, s in zip(evidence.y, evidence.sets, strict=True)], dtype=bool)
    named = np.array([members(some) for some in evidence.sets], dtype=object)
    return Card(
        data=_data(evidence),
        figures=tuple(figures_on_test(evidence)),
        baselines=tuple(lines_of(evidence.leaderboard)),
        classes=tuple(_classes(evidence)),
        sets=share_of(held),
        sets_by_class=tuple(share_of(held[evidence.y == k], label) for k, label in enumerate(labels)),
        sets_by_members=tuple(share_of(held[named == one], one) for one in sorted(set(named))),
        recall=share_of(flagged[true]),
        precision=share_of(true[flagged]),
        flagging=flagging_of(evidence),
        reliability=tuple(reliability_bins(risk, true)),
        calibration_luck=null_calibration_error(evidence.probabilities),
        risk_errors=tuple(risk_errors(evidence)),
        audits=fairness_audits(evidence),
        counted=tuple(column.name for column in evidence.contract.accumulating),
        part_way=tuple(part_way),
        days=evidence.days,
        notes=evidence.notes,
    )


def risk_errors(evidence: Evidence) -> list[RiskError]:
    """Return the calibration error of being at risk, out of fold on the training split, then on the test."""
    target, pooled = evidence.contract.target, risk_of(evidence.pooled[0], evidence.contract.target)
    found = []
    for prefix, risk in (("cv_", pooled), ("test_", risk_of(evidence.probabilities, target))):
        figures = {part: evidence.metrics.get(f"{prefix}ece_at_risk{part}") for part in ("", "_low", "_high")}
        value, low, high = figures.values()
        if value is not None and low is not None and high is not None:
            held_out, luck = prefix == "test_", null_chance_error(risk)
            line = {name: _ends(evidence, f"{prefix}risk_{name}") for name in ("slope", "intercept")}
            found.append(
                RiskError(held_out=held_out, value=value, low=low, high=high, n=len(risk), luck=luck, **line)
            )
    return found


def _ends(evidence: Evidence, name: str) -> tuple[float, float, float] | None:
    value, low, high = (evidence.metrics.get(f"{name}{end}") for end in ("", "_low", "_high"))
    return None if value is None or low is None or high is None else (value, low, high)


def reliability_bins(said: np.ndarray, came: np.ndarray) -> list[ReliabilityBin]:
    """Return forecast probabilities (n,) in bins of equal width, beside how often they came true (n,)."""
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    return [
        ReliabilityBin(said=float(said[place == k].mean()), seen=share_of(came[place == k]))
        for k in np.unique(place)
    ]


def _data(evidence: Evidence) -> Data:
    known = evidence.data
    source = str(known["source"])
    return Data.model_validate(
        {
            **{name: known[name] for name in Data.model_fields if name in known},
            "source": source if "://" in source else PurePath(source).name,
            "generated": known.get("generated") not in (None, False),
        }
    )


def figures_on_test(evidence: Evidence) -> list[CardFigure]:
    """Return the figures on the test split that there are, in their order."""
    limit = evidence.bayes or {}
    found = []
    for name, title in FIGURES.items():
        value = known(evidence.metrics.get(name))
        low, high = evidence.intervals.get(name, (None, None))
        if value is not None and (name != OF_ORDER or evidence.contract.target.ordered):
            best = limit.get(name.removeprefix("test_"))
            found.append(
                CardFigure(name=name, title=title, value=value, low=known(low), high=known(high), limit=best)
            )
    return found


def _classes(evidence: Evidence) -> list[ClassFigures]:
    labels = evidence.contract.target.labels
    rows = np.bincount(evidence.y, minlength=len(labels)).tolist()
    return [
        ClassFigures.model_validate(
            {"label": label, "n": n}
            | {
                name: known(evidence.metrics.get(f"test_{name}_{label}")) if n >= FEW else None
                for name in ("precision", "recall", "f1")
            }
        )
        for label, n in zip(labels, rows, strict=True)
    ]


GRID = 100  # thresholds are tried at each percent
REPEATS = 1_000
CURVE_REPEATS, CURVE_ROWS = 200, 20_000
PER = 100  # students that a cost is given for


class RiskCounts(NamedTuple):
    """Students by their risk in percent (…, GRID + 1): those who ended at risk, and the others."""

    risky: np.ndarray
    safe: np.ndarray

    def cost(self, costs: Costs) -> np.ndarray:
        """Return the cost per 100 students of each threshold (…, GRID + 2); at the last, none are called."""
        missed = _from_zero(self.risky)
        alarms = self.safe.sum(axis=-1, keepdims=True) - _from_zero(self.safe)
        students = self.risky.sum(axis=-1, keepdims=True) + self.safe.sum(axis=-1, keepdims=True)
        return np.asarray(PER * (costs.missed * missed + costs.false_alarm * alarms) / students)

    def again(self, rng: np.random.Generator) -> "RiskCounts":
        """Return the same of students drawn again with replacement, (REPEATS, GRID + 1)."""
        cells = np.concatenate([self.risky, self.safe])
        drawn = rng.multinomial(cells.sum(), cells / cells.sum(), size=REPEATS)
        return RiskCounts(drawn[:, : GRID + 1], drawn[:, GRID + 1 :])


@lru_cache(maxsize=1)
def flagging_of(evidence: Evidence, seed: int = 0) -> Flagging:
    """Return how the test students are flagged at risk, and the price where the contract names costs."""
    target, rng = evidence.contract.target, np.random.default_rng(seed)
    risk, true = risks(evidence)
    flagged = risk >= target.call_from
    area, balanced = ranking_figures(risk, true, flagged)
    return Flagging(
        threshold=target.call_from,
        at_risk=share_of(true),
        flagged=share_of(flagged),
        average_precision=estimate(area, _areas_again(risk, true, area, rng)),
        balanced_accuracy=estimate(balanced, _balanced_again(true, flagged, rng)),
        price=None if target.costs is None else _price(evidence, target.costs, rng),
    )


def ranking_figures(risk: np.ndarray, true: np.ndarray, flagged: np.ndarray) -> tuple[float, float]:
    """Return how well students are told apart, by scikit-learn's definitions.

    Args:
        risk: forecast probabilities of ending at risk (n,).
        true: who ended so (n,), bool.
        flagged: who is called so (n,), bool.

    Returns:
        The average precision of the risk and the balanced accuracy of the flags; NaN where all ended alike.
    """
    from sklearn.metrics import average_precision_score, balanced_accuracy_score

    if true.all() or not true.any():
        return float("nan"), float("nan")
    return float(average_precision_score(true, risk)), float(balanced_accuracy_score(true, flagged))


def flagging_metrics(risk: np.ndarray, true: np.ndarray, target: Target) -> dict[str, float]:
    """Return the figures of flagging students (n,) under their registry names; NaN where none can be told."""
    flagged = risk >= target.call_from
    area, balanced = ranking_figures(risk, true, flagged)
    found = {
        "share": proportion_ci(true).share,
        "average_precision": area,
        "balanced_accuracy": balanced,
        "recall": proportion_ci(flagged[true]).share,
        "precision": proportion_ci(true[flagged]).share,
    }
    if target.costs is not None:
        found["cost_per_100"] = PER * float(cost_of(risk, true, target.costs, target.call_from).mean())
    return {f"test_at_risk_{name}": value for name, value in found.items()}


def cost_of(risk: np.ndarray, true: np.ndarray, costs: Costs, threshold: float) -> np.ndarray:
    """Return what flagging each student (n,) cost, or not, in the contract's unit."""
    flagged = risk >= threshold
    return np.asarray(costs.missed * (true & ~flagged) + costs.false_alarm * (~true & flagged))


def risk_counts(risk: np.ndarray, true: np.ndarray) -> RiskCounts:
    """Count students (n,) by their risk in percent."""
    place = np.floor(np.clip(risk, 0, 1) * GRID + 1e-9).astype(int)
    return RiskCounts(*(np.bincount(place[rows], minlength=GRID + 1) for rows in (true, ~true)))


def _price(evidence: Evidence, costs: Costs, rng: np.random.Generator) -> Price:
    target = evidence.contract.target
    probabilities, y = evidence.pooled
    pooled = risk_of(probabilities, target), risky(target)[y]
    tally = risk_counts(*pooled)
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


def _balanced_again(true: np.ndarray, flagged: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    cells = np.bincount(2 * true + flagged, minlength=4)
    drawn = rng.multinomial(len(true), cells / len(true), size=REPEATS).reshape(REPEATS, 2, 2)
    rows = drawn.sum(axis=2)
    shares = np.where(rows > 0, drawn[:, [0, 1], [0, 1]] / np.maximum(rows, 1), np.nan)
    return np.asarray(shares.mean(axis=1))


def _areas_again(risk: np.ndarray, true: np.ndarray, area: float, rng: np.random.Generator) -> np.ndarray:
    """Return the average precision of resamples: of m students, their distance to it by sqrt(m / n)."""
    if np.isnan(area):
        return np.array([area])
    size, order = min(len(true), CURVE_ROWS), np.argsort(-risk, kind="stable")
    last = np.flatnonzero(np.append(np.diff(risk[order]) != 0, True))  # of those of one risk
    drawn = (rng.integers(0, len(true), size) for _ in range(CURVE_REPEATS))
    areas = [_area(np.bincount(rows, minlength=len(true))[order], true[order], last) for rows in drawn]
    areas = [again for again in areas if not np.isnan(again)]
    return np.asarray(area + (np.array(areas) - area) * np.sqrt(size / len(true)))


def _area(times: np.ndarray, true: np.ndarray, last: np.ndarray) -> float:
    """Return the average precision of students drawn so many times, in falling order of risk, sorted once."""
    right, flagged = np.cumsum(times * true)[last], np.cumsum(times)[last]
    if not right[-1]:
        return float("nan")
    return float((np.diff(right, prepend=0) * right / np.maximum(flagged, 1)).sum() / right[-1])


def _from_zero(counts: np.ndarray) -> np.ndarray:
    """Return how many are below each threshold: none below the first, all below the last."""
    below = counts.cumsum(axis=-1)
    return np.concatenate([np.zeros_like(below[..., :1]), below], axis=-1)
