"""The fairness audit: rates by group, how far apart, by luck or not, and what a change alone flips."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics

from data.bundle.card import (
    ACCURACY,
    CALIBRATION_GAP,
    EQUALIZED_ODDS,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    PRECISION,
    RECALL,
    SELECTION_RATE,
    Audit,
)
from data.bundle.card_text import counterfactuals_sentence, groups_sentence, verdict, worrying
from data.contract.columns import Column, Role
from data.contract.contract import Contract
from flows.reports.evidence import Evidence, counterfactuals_of, members
from flows.reports.fairness import (
    RATES,
    counted,
    fairness_audits,
    fairness_table,
    students_of,
    table_of,
)
from tests.flows.reports.evidences import any_evidence, changed, grade_evidence


@pytest.fixture(scope="module")
def evidence(grade_class: Contract) -> Evidence:
    return grade_evidence(grade_class, rows=600)


def audit_of(evidence: Evidence, column: str) -> Audit:
    return next(audit for audit in fairness_audits(evidence) if audit.column == column)


def without_noise(evidence: Evidence, wrong: np.ndarray) -> Evidence:
    """The same students, forecast with certainty: rightly, but for the wrong ones called safe or at risk."""
    said = np.where(wrong, (evidence.y + 3) % 5, evidence.y)
    return replace(evidence, probabilities=np.eye(5)[said])


def test_the_counts_give_fairlearns_own_rates(evidence: Evidence) -> None:
    groups = evidence.frame["Ethnicity"].cat.codes.to_numpy().astype(int)
    students = students_of(evidence)
    theirs = {
        SELECTION_RATE: metrics.selection_rate,
        RECALL: metrics.true_positive_rate,
        FALSE_NEGATIVE_RATE: metrics.false_negative_rate,
        FALSE_POSITIVE_RATE: metrics.false_positive_rate,
    }
    frame = metrics.MetricFrame(
        metrics=theirs, y_true=students.true, y_pred=students.flagged, sensitive_features=groups
    ).by_group
    own = counted(*table_of(students, groups, 4))
    for name in theirs:
        assert own.values(name) == pytest.approx(frame[name].to_numpy(), abs=1e-9)


def test_the_difference_in_equalized_odds_is_fairlearns(evidence: Evidence) -> None:
    students, groups = students_of(evidence), evidence.frame["Gender"].astype(int)
    theirs = metrics.equalized_odds_difference(students.true, students.flagged, sensitive_features=groups)
    own = audit_of(evidence, "Gender").difference(EQUALIZED_ODDS)
    assert own is not None
    assert own.value == pytest.approx(theirs)


def test_every_rate_of_a_large_group_lies_in_its_interval(evidence: Evidence) -> None:
    for group in audit_of(evidence, "Gender").groups:
        assert [rate.name for rate in group.rates] == list(RATES)
        for rate in group.rates:
            assert rate.low is not None
            assert rate.low <= rate.value <= rate.high


def test_what_adds_up_adds_up(evidence: Evidence) -> None:
    for group in audit_of(evidence, "Gender").groups:
        found, missed, gap = group.rate(RECALL), group.rate(FALSE_NEGATIVE_RATE), group.rate(CALIBRATION_GAP)
        assert found.value + missed.value == pytest.approx(1)
        assert group.rate(ACCURACY).value == pytest.approx(1 - group.wrong.share)
        assert gap.value == pytest.approx(group.forecast_risk - group.true_risk)


def test_nothing_is_claimed_of_small_groups_nor_of_rates_with_few_behind_them(grade_class: Contract) -> None:
    audit = audit_of(grade_evidence(grade_class, rows=200), "Ethnicity")
    small = [group for group in audit.groups if group.wrong.n < 30]
    assert small
    assert all(rate.value is None for group in small for rate in group.rates)
    for group in audit.groups:
        assert all(rate.value is None for rate in group.rates if rate.n < 10)
    told = groups_sentence(audit)
    assert all(f"({group.wrong.label})" not in told for group in small)


def test_equal_groups_are_seldom_said_to_differ(grade_class: Contract) -> None:
    contract = changed(grade_class, {k: c for k, c in grade_class.columns.items() if k != "Ethnicity"})
    base, verdicts = grade_evidence(contract, rows=300), []
    for seed in range(20):
        shuffled = base.frame["Gender"].sample(frac=1, random_state=seed).set_axis(base.frame.index)
        dealt = replace(base, frame=base.frame.assign(Gender=shuffled))
        verdicts.append(worrying(audit_of(dealt, "Gender"), 1))
    assert sum(verdicts) <= 3


def test_a_group_that_is_overlooked_is_said_to_be(evidence: Evidence) -> None:
    girls = (evidence.frame["Gender"] == 1).to_numpy()
    overlooked = girls & (evidence.y == 4) & (np.arange(len(girls)) % 2 == 0)
    audit = audit_of(without_noise(evidence, overlooked), "Gender")
    found = audit.difference(RECALL)
    assert found.value > 0.2
    assert found.low > 0.1
    assert found.p_value < 0.001
    assert worrying(audit, 2)
    assert "(Female) and 100 % (Male) had been called so" in groups_sentence(audit)
    assert "by more than luck explains (luck alone: under 0.1 %)" in verdict(audit, 2)


def test_a_column_that_nobody_gave_is_not_audited(evidence: Evidence) -> None:
    empty = evidence.frame.assign(Gender=None).astype({"Gender": evidence.frame["Gender"].dtype})
    assert [audit.column for audit in fairness_audits(replace(evidence, frame=empty))] == ["Ethnicity"]


def test_changing_what_the_model_never_sees_changes_nothing(submission) -> None:
    flips = submission.evidence.counterfactuals
    assert set(flips) == {"Gender", "Ethnicity"}
    for found in flips.values():
        assert (found.feature, found.classes, found.flagged, found.most) == (False, 0, 0, 0)
        assert found.n == len(submission.evidence.y)
    assert "by construction: the model never sees it" in counterfactuals_sentence(flips["Gender"], "Gender")


def test_changing_an_audited_feature_flips_those_whom_it_decides(grade_class: Contract) -> None:
    gender = grade_class.columns["Gender"].model_copy(update={"role": Role.FEATURE, "audited": True})
    contract = changed(grade_class, {**grade_class.columns, "Gender": gender})
    evidence = grade_evidence(contract, rows=100)

    def by_gender(frame: pd.DataFrame) -> np.ndarray:
        shares = np.full((len(frame), 5), 0.05)
        shares[np.arange(len(frame)), np.where(frame["Gender"] == 1, 4, 0)] = 0.8
        return shares

    flips = counterfactuals_of(evidence.frame, contract, by_gender)["Gender"]
    assert (flips.feature, flips.classes, flips.flagged) == (True, 1, 1)
    assert flips.most == pytest.approx(0.75)
    assert "changes the likeliest class of 100.0 % of the students" in counterfactuals_sentence(
        flips, "Gender"
    )


def test_a_number_is_changed_to_the_middle_of_each_third(grade_class: Contract) -> None:
    age = grade_class.columns["Age"].model_copy(update={"audited": True})
    contract = changed(grade_class, {**grade_class.columns, "Age": age})
    asked: list[set[float]] = []

    def noting(frame: pd.DataFrame) -> np.ndarray:
        asked.append(set(frame["Age"]))
        return np.full((len(frame), 5), 0.2)

    counterfactuals_of(grade_evidence(contract, rows=100).frame, contract, noting)
    assert [len(ages) for ages in asked[-3:]] == [1, 1, 1]
    assert set().union(*asked[-3:]) <= {15.0, 16.0, 17.0, 18.0}


def test_the_table_for_the_registry_has_every_rate_and_difference(evidence: Evidence) -> None:
    table = fairness_table(fairness_audits(evidence))
    gender = table[table["column"] == "Gender"]
    assert set(gender["rate"]) == {*RATES, EQUALIZED_ODDS, "flipped_classes", "flipped_calls"}
    assert gender.loc[gender["group"] == "Male", "rate"].tolist() == list(RATES)
    assert SELECTION_RATE in set(gender["rate"])
    assert FALSE_POSITIVE_RATE in set(gender["rate"])


def test_few_students_of_two_classes_break_nothing(pass_fail: Contract) -> None:
    for rows in (3, 12, 45):
        for audit in fairness_audits(any_evidence(pass_fail, rows)):
            assert audit.p_value is None
            assert Audit.model_validate_json(audit.model_dump_json()) == audit
            assert PRECISION in {rate.name for rate in audit.groups[0].rates}


@pytest.mark.parametrize(
    ("kind", "values", "names"),
    [
        ("integer", range(15, 24), ["up to 17 years", "18 to 20 years", "21 years or more"]),
        ("integer", [17, 18, 19, 17, 18, 19], ["up to 17 years", "18 years", "19 years or more"]),
        (
            "number",
            [0.5, 1.5, 2.5, 3.5, 4.5, 5.5],
            ["up to 2.167 years", "over 2.167, up to 3.833 years", "over 3.833 years"],
        ),
        ("integer", [4, 4, 4, 4, 9], ["all"]),
    ],
)
def test_thirds_of_a_number_are_named_in_words_with_its_unit_and_the_last_is_open(
    kind: str, values: Any, names: list[str]
) -> None:
    column = Column(name="Age", title="Age", kind=kind, role="audit", unit="years")
    found = dict(members(pd.Series(list(values), dtype=float), column))
    assert list(found) == names
    assert sum(rows.sum() for rows in found.values()) == len(list(values))
