"""The model card says what is so, plainly, and nothing more."""

import re
from dataclasses import replace

import numpy as np
import pytest

from data.contract.columns import Role
from data.contract.contract import Contract
from flows.reports.card import model_card
from flows.reports.figures import card_figures
from tests.flows.reports.evidences import any_evidence, changed, grade_evidence, leaderboard


def section_of(card: str, title: str) -> str:
    return card.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize(
    ("low", "high", "mark", "said"),
    [
        (
            -0.12,
            -0.06,
            "better by 0.090 (0.060 to 0.120)",
            "**logistic regression is better** than the model",
        ),
        (
            -0.01,
            0.02,
            "cannot be told apart (-0.010 to 0.020)",
            "**logistic regression cannot be told apart**",
        ),
        (0.01, 0.03, "worse by 0.020 (0.010 to 0.030)", "Each of the others is worse"),
    ],
)
def test_a_model_beside_the_chosen_one_is_better_worse_or_cannot_be_told_apart_and_by_how_much(
    low: float, high: float, mark: str, said: str, grade_class: Contract
) -> None:
    evidence = grade_evidence(grade_class, leaderboard=leaderboard(low, high))
    card = model_card(evidence, {})
    assert mark in line_of(card, "| logistic regression |")
    assert said in card
    assert card_figures(evidence).baselines[1].mark == mark


def test_nothing_is_claimed_of_a_group_of_fewer_than_thirty_students(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class, rows=200)
    groups = evidence.frame["Ethnicity"].value_counts()
    assert groups[3] < 30 < groups[0], "the cohort has one small group"
    by_group = section_of(model_card(evidence, {}), "Fair to all?")
    assert line_of(by_group, "| Other |") == f"| Other | {groups[3]} | too few rows |{'  |' * 6}"
    assert re.search(r"\d+ % \(\d+ to \d+\)", line_of(by_group, "| Caucasian |"))


def test_groups_are_not_compared_where_only_one_is_large_enough(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class, rows=40)
    assert "There are too few students to compare the groups." in section_of(
        model_card(evidence, {}), "Fair to all?"
    )


def test_groups_whose_errors_differ_by_more_than_luck_are_said_to(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class, rows=400)
    certain = np.eye(5)[evidence.y]
    girls = (evidence.frame["Gender"] == 1).to_numpy()
    certain[girls] = np.roll(certain[girls], 1, axis=1)
    by_group = section_of(model_card(replace(evidence, probabilities=certain), {}), "Fair to all?")
    assert "**The groups differ by more than luck explains (luck alone: under 0.1 %)." in by_group


def test_a_class_with_fewer_than_ten_test_students_has_too_few_rows(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class, rows=60)
    students = int((evidence.y == 0).sum())
    assert 0 < students < 10
    card = model_card(evidence, {})
    told = f"| A | {students} | too few rows | too few rows | too few rows |"
    assert line_of(section_of(card, "Each class"), "| A |") == told
    assert line_of(section_of(card, "Sets of plausible classes"), "| A |").startswith(
        f"| A | {students} | too few"
    )


def test_a_generated_cohort_shows_its_limit_and_is_not_real(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class, bayes={"accuracy": 0.9, "log_loss": 0.3})
    evidence = replace(evidence, data={**evidence.data, "generated": {"rows": 300}})
    card = model_card(evidence, {})
    assert "**Trained on generated students, not real ones.**" in card
    assert "accuracy of 0.900 on them, and no model can be expected to do better" in card


def test_the_card_of_real_records_says_how_it_came_about_and_where_it_was_judged(
    grade_class: Contract,
) -> None:
    card = model_card(grade_evidence(grade_class), {"version": "3", "reason": "better than version 2"})
    for told in (
        "- Version: 3\n- Reason: better than version 2",
        "| Source | records.csv |",
        "**Absences: added up over a period, and known in full at its end alone.**",
        "pooled out-of-fold forecasts of the training split: 0.012",
        "by luck alone",
    ):
        assert told in card
    for kept in ("generated", "best possible", "someone", "Age: counted"):
        assert kept not in card


def test_leaks_are_named_as_never_used(pass_fail: Contract) -> None:
    card = model_card(any_evidence(pass_fail, 60), {})
    assert "never used: First period grade and Second period grade." in card


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a|b", "two\nlines"])
def test_no_name_becomes_html_or_breaks_a_table(grade_class: Contract, name: str) -> None:
    evidence = grade_evidence(grade_class, notes=(name,), params={name: name})
    board = leaderboard().replace("majority", name)
    card = model_card(replace(evidence, leaderboard=board), {"reason": name})
    assert "<script" not in card.replace("\\<", "")
    assert all(line.endswith("|") for line in card.splitlines() if line.startswith("|"))


def test_a_contract_without_audit_columns_says_that_groups_were_not_looked_at(grade_class: Contract) -> None:
    contract = changed(grade_class, {k: c for k, c in grade_class.columns.items() if c.role != Role.AUDIT})
    card = model_card(grade_evidence(contract), {})
    assert "names no audit column" in card


def test_a_number_is_audited_in_thirds(grade_class: Contract) -> None:
    age = grade_class.columns["Age"].model_copy(update={"role": Role.AUDIT})
    contract = changed(grade_class, {**grade_class.columns, "Age": age})
    by_group = section_of(model_card(grade_evidence(contract), {}), "Fair to all?")
    assert "| Age | test rows |" in by_group
