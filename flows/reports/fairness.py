"""The fairness audit: what the test students of each group meet, and how far the groups are apart.

Rates by group are fairlearn's `MetricFrame`; intervals and luck are of `group_counts`. Nothing is
claimed of a group with fewer than 30 students, nor of a rate with fewer than 10 behind it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.card_audit import (
    ACCURACY,
    CALLED,
    FALSE_ALARMS,
    FOUND,
    GAP,
    MISSED,
    RIGHT,
    Audit,
    Group,
    Rate,
)
from data.columns import Column
from flows.reports.card_shares import card_share, estimate
from flows.reports.evidence import Evidence
from flows.reports.group_counts import RATES, Counted, Students, counted, resampled, table_of
from flows.reports.group_differences import differences, either, lucks
from flows.reports.groups import ENOUGH_ROWS, members, risks
from flows.reports.shares import share_of
from flows.training.metrics import FEW

MOST_ROWS = 50_000

if TYPE_CHECKING:
    from fairlearn.metrics import MetricFrame


@lru_cache(maxsize=1)  # card, figures and plot ask one after the other
def fairness_audits(evidence: Evidence, seed: int = 0) -> tuple[Audit, ...]:
    """Return the audit of each audited column that the test students have.

    Of more than 50,000 students, of a random 50,000: fairlearn goes through them one by one.
    """
    rng = np.random.default_rng(seed)
    if len(evidence.y) > MOST_ROWS:
        kept = np.sort(rng.choice(len(evidence.y), MOST_ROWS, replace=False))
        y, probabilities = evidence.y[kept], evidence.probabilities[kept]
        evidence = replace(evidence, y=y, probabilities=probabilities, frame=evidence.frame.iloc[kept])
    frame, students = evidence.frame, students_of(evidence)
    known = [c for c in evidence.contract.audited if c.name in frame and frame[c.name].notna().any()]
    return tuple(_audit(evidence, students, column, rng) for column in known)


def students_of(evidence: Evidence) -> Students:
    """Return the test students as the audit sees them."""
    risk, true = risks(evidence)
    right = evidence.probabilities.argmax(axis=1) == evidence.y
    return Students(risk, risk >= evidence.contract.target.call_from, true, right)


def metric_frame(students: Students, groups: pd.Series) -> "MetricFrame":
    """Return fairlearn's rates of the students (n,) by group (n,)."""
    from fairlearn import metrics

    functions: dict[str, Callable[..., float]] = {
        CALLED: metrics.selection_rate,
        FOUND: metrics.true_positive_rate,
        MISSED: metrics.false_negative_rate,
        FALSE_ALARMS: metrics.false_positive_rate,
        RIGHT: _precision,
        ACCURACY: _mean_right,
        GAP: _gap,
    }
    given = {ACCURACY: {"right": students.right}, GAP: {"risk": students.risk}}
    return metrics.MetricFrame(
        metrics=functions,
        y_true=students.true.astype(int),
        y_pred=students.called.astype(int),
        sensitive_features=groups,
        sample_params=given,
    )


def _precision(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    from sklearn.metrics import precision_score

    return float(precision_score(y_true, y_pred, zero_division=np.nan))


def _mean_right(_true: np.ndarray, _called: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean(right))


def _gap(true: np.ndarray, _called: np.ndarray, risk: np.ndarray) -> float:
    return float(np.mean(risk) - np.mean(true))


def _audit(evidence: Evidence, students: Students, column: Column, rng: np.random.Generator) -> Audit:
    named = dict(members(evidence.frame[column.name], column))
    place = np.full(len(students.true), -1)
    for number, rows in enumerate(named.values()):
        place[rows] = number
    inside = place >= 0
    some = Students(*(values[inside] for values in students))
    table, mean_risk = table_of(some, place[inside], len(named))
    own, drawn = counted(table, mean_risk), resampled(table, mean_risk, rng)
    rates = metric_frame(some, pd.Series(place[inside], name=column.name)).by_group
    groups = tuple(
        _group(name, Students(*(values[rows] for values in students)), rates.loc[number], drawn, number)
        for number, (name, rows) in enumerate(named.items())
    )
    enough = table.sum(axis=1) >= ENOUGH_ROWS
    own, drawn = own.only(enough), drawn.only(enough)
    by_lot = lucks(own, rng)
    return Audit(
        column=column.name,
        groups=groups,
        luck=either(by_lot[ACCURACY], by_lot[FOUND], by_lot[FALSE_ALARMS]),
        differences=tuple(differences(own, drawn, by_lot)),
        flips=evidence.flips.get(column.name),
    )


def _group(name: str, students: Students, rates: Any, drawn: Counted, number: int) -> Group:
    enough = len(students.true) >= ENOUGH_ROWS
    behind = _behind(students)
    return Group(
        wrong=card_share(share_of(~students.right), name),
        forecast_risk=float(students.risk.mean()),
        true_risk=float(students.true.mean()),
        rates=tuple(
            _rate(rate, float(rates[rate]), behind[rate], drawn.values(rate)[:, number], enough)
            for rate in RATES
        ),
    )


def _behind(students: Students) -> Mapping[str, np.ndarray]:
    """Return, for each rate that is a share, what is true (m,) of those it is a share of."""
    called, true = students.called, students.true
    return {
        CALLED: called,
        FOUND: called[true],
        MISSED: ~called[true],
        FALSE_ALARMS: called[~true],
        RIGHT: true[called],
        ACCURACY: students.right,
        GAP: true,
    }


def _rate(name: str, value: float, hits: np.ndarray, drawn: np.ndarray, enough: bool) -> Rate:
    """Give a share its exact 90 % interval, and the gap its bootstrap one."""
    if not enough or len(hits) < FEW:
        return Rate(name=name, value=None, n=len(hits))
    if name == GAP:
        return Rate(name=name, n=len(hits), **estimate(value, drawn).model_dump())
    exact = share_of(hits, 0.9)
    return Rate(name=name, n=len(hits), value=value, low=exact.low, high=exact.high)
