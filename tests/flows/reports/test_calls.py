"""Who is called at risk, from which probability on, and what that costs."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from data.contract.columns import Costs
from data.contract.contract import Contract
from flows.reports.card import model_card
from flows.reports.evidence import Evidence, risks
from flows.reports.figures import GRID, call_metrics, card_figures, cost_of, flagging_of, tally_of
from tests.flows.reports.evidences import any_evidence, changed, grade_evidence
from tests.flows.reports.test_card import section_of

COSTS = Costs(missed=4, false_alarm=1)


def calibrated(contract: Contract, rows: int = 4_000) -> Evidence:
    """Students whose forecasts are true: one in six fails."""
    base, rng = any_evidence(contract, rows), np.random.default_rng(1)
    risk = rng.beta(0.7, 3.5, rows)
    y = (rng.random(rows) < risk).astype(np.int64)
    shares = np.stack([1 - risk, risk], axis=1)
    return replace(base, y=y, probabilities=shares, pooled=(shares, y))


def test_without_costs_one_half_is_the_threshold(grade_class: Contract) -> None:
    calls = flagging_of(grade_evidence(grade_class))
    assert calls.threshold == grade_class.target.call_from == 0.5
    assert calls.price is None
    assert "names no costs" in section_of(
        model_card(grade_evidence(grade_class), {}), "Who is called at risk"
    )


def test_costs_move_the_threshold_to_where_the_expected_cost_is_least(pass_fail: Contract) -> None:
    assert pass_fail.target.call_from == pytest.approx(0.2)
    dear = changed(pass_fail, costs={"missed": 1, "false_alarm": 3})
    assert dear.target.call_from == pytest.approx(0.75)


def test_with_calibrated_probabilities_the_cheapest_threshold_is_the_one_of_the_costs(
    pass_fail: Contract,
) -> None:
    evidence = calibrated(pass_fail)
    price = flagging_of(evidence).price
    assert price is not None
    assert price.best_threshold.low <= 0.2 <= price.best_threshold.high
    assert price.best.value <= price.pooled.value <= 1.03 * price.best.value
    assert price.pooled.value < min(price.nobody, price.everybody)
    risk, true = risks(evidence)
    assert price.nobody == pytest.approx(400 * true.mean())
    assert price.everybody == pytest.approx(100 * (1 - true.mean()))
    assert price.here.value == pytest.approx(100 * cost_of(risk, true, COSTS, 0.2).mean())


def test_the_costs_of_all_thresholds_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    risk = rng.integers(0, 101, 500) / 100
    true = rng.random(500) < risk
    costs = tally_of(risk, true).cost(COSTS)
    each = [100 * cost_of(risk, true, COSTS, k / GRID).mean() for k in range(GRID + 1)]
    assert costs[: GRID + 1] == pytest.approx(each)
    assert costs[-1] == pytest.approx(400 * true.mean())


def test_figures_of_calls_are_scikit_learns(pass_fail: Contract) -> None:
    evidence = calibrated(pass_fail, 500)
    risk, true = risks(evidence)
    metrics = call_metrics(risk, true, pass_fail.target)
    assert metrics["test_at_risk_average_precision"] == pytest.approx(average_precision_score(true, risk))
    assert metrics["test_at_risk_balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(true, risk >= 0.2)
    )
    card = card_figures(evidence)
    assert metrics["test_at_risk_recall"] == card.recall.share
    assert metrics["test_at_risk_precision"] == card.precision.share
    calls = flagging_of(evidence)
    for told in (calls.average_precision, calls.balanced_accuracy):
        assert told.low < told.value < told.high


def test_a_test_split_of_one_class_has_no_such_figures(pass_fail: Contract) -> None:
    evidence = any_evidence(pass_fail, 20)
    same = replace(evidence, y=np.zeros(20, dtype=np.int64))
    calls = flagging_of(same)
    assert calls.average_precision.value is None
    assert calls.balanced_accuracy.value is None
    assert np.isnan(call_metrics(*risks(same), pass_fail.target)["test_at_risk_recall"])


def test_the_card_says_how_rare_it_is_and_what_calling_costs(pass_fail: Contract) -> None:
    told = section_of(model_card(calibrated(pass_fail, 800), {}), "Who is called at risk")
    assert "from a risk of 20 % on" in told
    assert "where guessing has 0.1" in told
    assert "Nothing was resampled or weighted" in told
    assert "1 / (4 + 1) = 20 % on costs least" in told
