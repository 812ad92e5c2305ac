"""Every interval that is shown holds the figure beside it, whatever the students."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from data.bundle.card import Flagging
from data.contract.contract import Contract
from data.statistics import count_range
from flows.evaluate import calibration_figures
from flows.monitoring.window import calibration_measured, estimate_accuracy, mean_measured
from flows.reports.figures import card_figures, flagging_of
from flows.training.metrics import calibration_interval, chance_error, evaluate, intervals, paired_bootstrap
from tests.flows.reports.evidences import any_evidence, changed, grade_evidence

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
COSTS = {"missed": 4, "false_alarm": 1}


@st.composite
def forecasts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, 3) and classes (n,), drawn from them, from nothing, or all alike."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n, sharp = draw(st.integers(1, 200)), draw(st.sampled_from([0.02, 0.3, 5.0]))
    shares = rng.dirichlet(np.full(3, sharp), n)
    true = draw(st.sampled_from([shares, np.full((n, 3), 1 / 3), np.eye(3)[np.zeros(n, dtype=int)]]))
    y = np.minimum((true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1), 2)
    return shares, y


@FEW
@given(forecasts())
def test_those_of_the_test_figures_do(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    shares, y = drawn
    own = evaluate(shares, y)
    for name, (low, high) in intervals(shares, y, 0).items():
        assert low <= own[name] <= high, name
    low, high = calibration_interval(shares[:, 2], y == 2)
    assert 0 <= low <= chance_error(shares[:, 2], y == 2) <= high
    difference = paired_bootstrap(shares[:, 0], shares[:, 1])
    assert difference.low <= difference.mean <= difference.high


@FEW
@given(forecasts())
def test_those_of_the_monitor_and_of_counts_do(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    shares, y = drawn
    assume(len(y) > 1)
    found = estimate_accuracy(shares, 400)
    assert found.low <= found.share <= found.high
    for measured in (calibration_measured("c", shares[:, 2], y == 2), mean_measured("m", shares[:, 2])):
        assert measured.low <= measured.value <= measured.high
    expected, low, high = count_range(shares[:, 2], 0.3)
    assert low <= round(expected) <= high


def spans(value: Any) -> Iterator[tuple[Any, Any, float, float]]:
    """Every figure with an interval in a card, wherever it stands."""
    if isinstance(value, BaseModel):
        figure = getattr(value, "value", getattr(value, "share", None))
        if figure is not None and getattr(value, "low", None) is not None:
            yield value, figure, value.low, value.high  # type: ignore[attr-defined]
        for name in type(value).model_fields:
            yield from spans(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from spans(one)


@pytest.mark.parametrize(("rows", "seed"), [(15, 0), (90, 2)])
def test_those_of_a_card_do(rows: int, seed: int, grade_class: Contract) -> None:
    costly = changed(grade_class, costs=COSTS)
    for evidence in (any_evidence(costly, rows, seed), grade_evidence(costly, rows)):
        found = list(spans(card_figures(evidence)))
        assert len(found) > 20
        for what, figure, low, high in found:
            assert low <= figure <= high, what


def test_the_cheapest_threshold_and_its_cost_do(grade_class: Contract) -> None:
    calls: Flagging = flagging_of(grade_evidence(changed(grade_class, costs=COSTS), 60))
    assert calls.price is not None
    for found in (calls.price.best, calls.price.best_threshold, calls.price.here, calls.price.pooled):
        assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("warp", "wanted"), [(0.0, 0.0), (0.1, 0.1)])
def test_the_interval_of_a_calibration_error_holds_the_true_one(warp: float, wanted: float) -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(60):
        said = rng.uniform(0.1, 0.8, 150)
        low, high = calibration_interval(said, rng.random(150) < said + warp)
        held += low <= wanted <= high
    assert held >= 54, "percentiles of resamples hold a perfect model's in none of sixty"


def test_calibration_of_being_at_risk_is_judged_on_both_splits_with_its_interval_and_rows(
    grade_class: Contract,
) -> None:
    evidence = grade_evidence(grade_class, 200)
    risk, true = evidence.probabilities[:, 3:].sum(axis=1), evidence.y >= 3
    found = calibration_figures(evidence.probabilities, evidence.y, grade_class.target, "test_", seed=0)
    assert found["test_ece_at_risk"] == pytest.approx(chance_error(risk, true))
    low, high = calibration_interval(risk, true)
    assert (found["test_ece_at_risk_low"], found["test_ece_at_risk_high"]) == (low, high)
    assert found["test_ece_at_risk_n"] == 200
