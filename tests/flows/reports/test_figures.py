"""The card's figures: flagging and its price, reliability, what a count so far is warned of."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from data.bundle.card import Card, PartOfYear, Share
from data.bundle.card_text import counts_hint, risk_errors_sentence
from data.contract.columns import Costs
from data.contract.contract import Contract
from flows.reports.card import model_card
from flows.reports.evidence import Evidence, risks
from flows.reports.figures import (
    GRID,
    card_figures,
    cost_of,
    flagging_metrics,
    flagging_of,
    reliability_bins,
    risk_counts,
)
from tests.contract.tiny import contract_of
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
    costs = risk_counts(risk, true).cost(COSTS)
    each = [100 * cost_of(risk, true, COSTS, k / GRID).mean() for k in range(GRID + 1)]
    assert costs[: GRID + 1] == pytest.approx(each)
    assert costs[-1] == pytest.approx(400 * true.mean())


def test_figures_of_calls_are_scikit_learns(pass_fail: Contract) -> None:
    evidence = calibrated(pass_fail, 500)
    risk, true = risks(evidence)
    metrics = flagging_metrics(risk, true, pass_fail.target)
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
    assert np.isnan(flagging_metrics(*risks(same), pass_fail.target)["test_at_risk_recall"])


def test_the_card_says_how_rare_it_is_and_what_calling_costs(pass_fail: Contract) -> None:
    told = section_of(model_card(calibrated(pass_fail, 800), {}), "Who is called at risk")
    assert "from a risk of 20 % on" in told
    assert "where guessing has 0.1" in told
    assert "Nothing was resampled or weighted" in told
    assert "1 / (4 + 1) = 20 % on costs least" in told


def test_figures_survive_being_written_and_read(grade_class: Contract) -> None:
    card = card_figures(grade_evidence(grade_class))
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_figures_are_those_of_the_evidence(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class)
    card = card_figures(evidence)
    assert card.figures[0].value == evidence.metrics["test_accuracy"]
    assert sum(c.n for c in card.classes) == len(evidence.y)
    assert sum(s.n for s in card.sets_by_members) == card.sets.n == len(evidence.y)
    assert card.recall.n == int(np.isin(evidence.y, [3, 4]).sum())
    assert [audit.column for audit in card.audits] == ["Gender", "Ethnicity"]
    assert card.counted == ("Absences",)


def test_forecasts_by_the_rule_itself_come_true_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    said = rng.random(20_000)
    bins = reliability_bins(said, rng.random(20_000) < said)
    assert len(bins) == 10
    assert sum(b.seen.low <= b.said <= b.seen.high for b in bins) >= 8


def test_certain_forecasts_fall_into_the_last_bin() -> None:
    (found,) = reliability_bins(np.ones(3), np.ones(3, dtype=bool))
    assert (found.said, found.seen.share, found.seen.n) == (1.0, 1.0, 3)


def test_what_has_too_few_rows_is_nothing_and_not_a_number(pass_fail: Contract) -> None:
    card = card_figures(any_evidence(pass_fail, 12))
    assert "NaN" not in card.model_dump_json()


def test_the_contract_says_what_accumulates(pass_fail: Contract) -> None:
    assert [column.name for column in pass_fail.accumulating] == ["absences"]


def test_the_calibration_of_being_at_risk_is_told_with_its_interval_and_of_how_many(
    grade_class: Contract,
) -> None:
    evidence = grade_evidence(grade_class, 200)
    card = card_figures(evidence)
    assert [error.held_out for error in card.risk_errors] == [False, True]
    for error, prefix in zip(card.risk_errors, ("cv_", "test_"), strict=True):
        assert (error.value, error.n) == (evidence.metrics[f"{prefix}ece_at_risk"], 200)
        assert error.low <= error.value <= error.high
    told = section_of(model_card(evidence, {}), "How far the probabilities can be trusted")
    assert risk_errors_sentence(card.risk_errors) in told
    assert "on the 200 test students" in told
    (figure,) = [figure for figure in card.figures if figure.name == "test_ece_at_risk"]
    assert figure.low <= figure.value <= figure.high


def test_of_a_model_of_an_earlier_release_a_count_so_far_is_warned_of(grade_class: Contract) -> None:
    share = {
        name: Share(share=0.5, low=0.3, high=0.7, n=29) for name in PartOfYear.model_fields if name != "part"
    }
    few = PartOfYear(part=0.25, **share)
    many = few.model_copy(update={"found_so_far": Share(share=0.2, low=0.1, high=0.3, n=30)})
    plain = {
        **grade_class.columns,
        "Absences": grade_class.columns["Absences"].model_copy(update={"accumulates": False}),
    }
    earlier = grade_class.model_copy(update={"columns": plain})
    card = card_figures(grade_evidence(grade_class))
    told = [
        counts_hint(earlier, card.model_copy(update={"part_year": lines})) for lines in ((), (few,), (many,))
    ]
    assert "was not measured" in told[0]
    assert "too few test students ended at risk" in told[1]
    assert "found 20 % of the 30 test students who ended at risk" in told[2]
    assert (
        counts_hint(earlier, None)
        == counts_hint(contract_of(), card.model_copy(update={"counted": ()}))
        == ""
    )
    assert "Absences: give the count so far" in counts_hint(grade_class, card)
