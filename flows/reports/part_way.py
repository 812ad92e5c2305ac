"""What a model is worth part of the way through: on whom its forecasts rest, and how good they are."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from data.bundle.answers import grade_sets, risk_of, risky
from data.bundle.card import CardFigure, PartWay
from data.bundle.population import RANGE, Accumulation, DaySets, PartWaySets, Population, totals_of
from data.cohorts.addresses import CohortPlan
from data.cohorts.part_way import best_possible, thinned
from data.contract.columns import Column
from data.contract.contract import Contract
from data.rows.frames import matrix, target_index
from flows.reports.evidence import Evidence
from flows.reports.fairness import share_of
from flows.training.metrics import calibrate, evaluate, intervals

MEASURED_AT = (0.25, 0.5, 0.75)
SETS_AT = (0.1, 0.25, 0.5, 0.75)
"""Parts of the period after which the grade sets are calibrated; between them thresholds are in between."""
MOST_ROWS = 5_000  # of the test split that are asked about
CALIBRATED_ON = 2_500  # training students, or fewer, each drawn some times
DRAWS = 4
Forecast = Callable[[np.ndarray], np.ndarray]


def population_of(
    students: pd.DataFrame,
    contract: Contract,
    forecast: Forecast,
    least: tuple[float, ...],
    days: tuple[DaySets, ...] = (),
    seed: int = 0,
) -> Population:
    """Return what a bundle keeps of the students that a model learned from.

    Args:
        students: sound training rows as parsed.
        contract: of them.
        forecast: gives the class probabilities (n, K) of feature rows.
        least: the thresholds of the grade sets at the period's end (K,), set out of fold.
        days: the thresholds by day, of dated records.
        seed: of the records so far that are drawn.
    """
    known = {
        column.name: students[column.name].dropna().to_numpy(dtype=float) for column in _numbers(contract)
    }
    totals = {
        column.name: totals_of(known[column.name], whole=column.whole, most=column.limits[1])
        for column in contract.accumulating
        if len(known[column.name])
    }
    ranges = {name: tuple(np.quantile(values, RANGE)) for name, values in known.items() if len(values)}
    sets: list[PartWaySets] = []
    if totals:
        some = students.sample(min(len(students), CALIBRATED_ON), random_state=seed)
        sets = _sets(some, contract, Accumulation(totals, contract), forecast, least, seed)
    return Population(totals=totals, ranges=ranges, sets=tuple(sets), days=days)


def _numbers(contract: Contract) -> list[Column]:
    return [column for column in contract.features if not column.coded]


def _sets(
    students: pd.DataFrame,
    contract: Contract,
    accumulation: Accumulation,
    forecast: Forecast,
    least: tuple[float, ...],
    seed: int,
) -> list[PartWaySets]:
    """Calibrate the grade sets on records of the training students as they stood after parts of the period.

    The model has seen these students. By how much that flatters it is known at the period's end, where the
    thresholds are out of fold: where those of the same students are higher, the others are lowered alike.
    """
    y, rng = target_index(students, contract), np.random.default_rng(seed)
    seen = np.array(calibrate(forecast(matrix(students, contract)), y).least)
    lower = np.minimum(1.0, np.divide(least, seen, out=np.ones(len(seen)), where=seen > 0))
    sets = []
    for elapsed in SETS_AT:
        drawn = []
        for _ in range(min(DRAWS, -(-CALIBRATED_ON // len(students)))):
            so_far = matrix(thinned(students, accumulation.columns, elapsed, rng), contract)
            shares = accumulation.mean(forecast, so_far, np.full(len(students), elapsed))
            drawn.append(calibrate(shares, y).least)
        thresholds = np.mean(drawn, axis=0) * lower
        sets.append(PartWaySets(elapsed=elapsed, thresholds=tuple(thresholds.tolist())))
    return sets


def part_way_figures(
    evidence: Evidence, population: Population, forecast: Forecast, least: tuple[float, ...], seed: int = 0
) -> list[PartWay]:
    """Return how good a model is on the test students after parts of the period.

    Nothing where no column accumulates. Nobody's records so far are known, so they are drawn from the whole
    period's (`thinned`). The best possible is known of generated students alone.
    """
    contract = evidence.contract
    accumulation = Accumulation(population.totals, contract)
    if not accumulation.columns or not len(evidence.y):
        return []
    rows = np.arange(min(len(evidence.y), MOST_ROWS))
    frame, y, rng = evidence.frame.iloc[rows], evidence.y[rows], np.random.default_rng(seed)
    found = []
    for elapsed in MEASURED_AT:
        so_far, parts = thinned(frame, accumulation.columns, elapsed, rng), np.full(len(rows), elapsed)
        shares = accumulation.mean(forecast, matrix(so_far, contract), parts).astype(np.float64)
        shares /= shares.sum(axis=1, keepdims=True)
        members = grade_sets(shares, population.thresholds(least, parts), contract.target.ordered)
        found.append(_figures(elapsed, shares, y, members, _best(evidence, so_far, elapsed), contract))
    return found


def _figures(
    elapsed: float,
    shares: np.ndarray,
    y: np.ndarray,
    members: np.ndarray,
    best: np.ndarray | None,
    contract: Contract,
) -> PartWay:
    target = contract.target
    values, ends = evaluate(shares, y), intervals(shares, y, 0)
    limit = None if best is None else evaluate(best, y)["log_loss"]
    true, flagged = risky(target)[y], risk_of(shares, target) >= target.call_from
    (low, high), (least, most) = ends["log_loss"], ends["ece"]
    return PartWay(
        elapsed=elapsed,
        n=len(y),
        log_loss=CardFigure(
            name="log_loss", title="Log loss", value=values["log_loss"], low=low, high=high, limit=limit
        ),
        ece=CardFigure(
            name="ece", title="Calibration error", value=values["ece"], low=least, high=most, limit=None
        ),
        recall=share_of(flagged[true]),
        sets_by_class=tuple(share_of(members[y == k, k], label) for k, label in enumerate(target.labels)),
    )


def _best(evidence: Evidence, so_far: pd.DataFrame, elapsed: float) -> np.ndarray | None:
    plan = evidence.data.get("generated")
    if not isinstance(plan, dict):
        return None
    return best_possible(so_far, evidence.contract.name, elapsed, CohortPlan.model_validate(plan).drift)
