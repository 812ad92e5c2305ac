"""The card's figures, and what a model is worth part of the way through."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.bundle.card import Card, PartOfYear, Share
from data.bundle.card_text import counts_warning, risk_errors_sentence
from data.cohorts import grades as cohort
from data.contract.contract import Contract
from flows.reports.card import model_card
from flows.reports.figures import card_figures, part_year_figures, reliability_bins
from tests.contract.tiny import contract_of
from tests.flows.reports.evidences import any_evidence, grade_evidence
from tests.flows.reports.test_card import section_of


def truth(frame: pd.DataFrame) -> np.ndarray:
    """What the very rule that made the students says of them."""
    return cohort.true_probabilities(frame.astype(float))


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


def test_a_count_so_far_misleads_and_its_projection_less_so(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class, rows=800)
    evidence = replace(evidence, data={**evidence.data, "generated": {"rows": 800}})
    quarter, *_, whole = part_year_figures(evidence, truth)
    assert (quarter.part, whole.part) == (0.25, 1.0)
    assert whole.so_far == whole.projected
    accuracy = evidence.metrics["test_accuracy"]
    assert whole.so_far.share == pytest.approx(accuracy)
    assert quarter.so_far.share < quarter.projected.share < whole.so_far.share
    assert quarter.found_so_far.share < 0.5 < quarter.found_projected.share < whole.found_so_far.share


def test_real_records_and_those_without_counts_are_not_judged_part_of_the_way(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class)
    real = replace(evidence, data={**evidence.data, "generated": None})
    assert part_year_figures(real, truth) == []
    uncounted = any_evidence(contract_of(), 40)
    generated = replace(uncounted, data={**uncounted.data, "generated": {"rows": 40}})
    assert part_year_figures(generated, truth) == []


def test_marks_are_no_counts(pass_fail: Contract) -> None:
    assert [column.name for column in pass_fail.counted] == ["absences"]


def test_the_markdown_says_the_same_or_that_it_is_not_known(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class)
    title = "Before the end of the period"
    assert "is not known" in section_of(model_card(evidence, {}), title)
    generated = replace(evidence, data={**evidence.data, "generated": {"rows": 300}})
    lines = part_year_figures(generated, truth)
    told = section_of(model_card(generated, {}, lines), title)
    (quarter,) = [line for line in told.splitlines() if line.startswith("| 25 % |")]
    for share in (lines[0].so_far, lines[0].found_so_far, lines[0].projected, lines[0].found_projected):
        assert f" {100 * share.share:.0f} % " in quarter
    assert "as counted, at risk found" in told


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


def test_the_warning_of_counts_so_far_claims_nothing_of_few_students(grade_class: Contract) -> None:
    share = {
        name: Share(share=0.5, low=0.3, high=0.7, n=29) for name in PartOfYear.model_fields if name != "part"
    }
    few = PartOfYear(part=0.25, **share)
    assert "too few test students ended at risk" in counts_warning(grade_class, [few])
    many = few.model_copy(update={"found_so_far": Share(share=0.2, low=0.1, high=0.3, n=30)})
    assert "found 20 % of the 30 test students who ended at risk" in counts_warning(grade_class, [many])
