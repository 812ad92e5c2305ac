"""A column that the class is cut from is told from one that only goes with it, by rows held out."""

import numpy as np
import pytest

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.contract.leakage import leakage_score
from data.rows.frames import parse, target_index

LABELS = ("A", "B", "C", "D", "F")


@pytest.fixture(scope="module")
def grades(grade_class: Contract) -> tuple[object, np.ndarray]:
    frame = parse(cohort.generate(2_000), grade_class)
    return frame, target_index(frame, grade_class)


def column(values: object) -> np.ndarray:
    return np.asarray(values, dtype=float)[:, None]


def test_the_score_that_the_class_is_cut_from_gives_it_away_with_its_bounds(grades) -> None:
    frame, y = grades
    score = leakage_score("GPA", column(frame["GPA"]), y, LABELS)
    assert score.gives_away
    assert score.accuracy > 0.99
    assert score.evidence.startswith("alone it tells the class of 100.0% of 2,000 rows held out")
    assert ": F from 0, D from 2.0" in score.evidence


def test_the_strongest_honest_column_does_not(grades) -> None:
    frame, y = grades
    score = leakage_score("Absences", column(frame["Absences"]), y, LABELS)
    assert not score.gives_away
    assert 0.3 < score.explained < 0.6


def test_a_score_gives_the_class_away_even_if_seven_in_a_hundred_labels_are_wrong(grades) -> None:
    frame, y = grades
    wrong = np.random.default_rng(1).random(len(y)) < 0.07
    noisy = np.where(wrong, np.random.default_rng(2).integers(0, 5, len(y)), y)
    assert leakage_score("GPA", column(frame["GPA"]), noisy, LABELS).gives_away


def test_a_column_without_any_relation_tells_nothing(grades) -> None:
    _, y = grades
    score = leakage_score("noise", column(np.random.default_rng(3).normal(size=len(y))), y, LABELS)
    assert not score.gives_away
    assert score.explained < 0.02
    assert "takes 0% of the doubt," in score.evidence


def test_that_a_cell_is_missing_can_give_the_class_away(grades) -> None:
    _, y = grades
    filled = np.random.default_rng(4).normal(size=len(y))
    score = leakage_score(
        "left on", column(np.where(y == 4, np.nan, filled)), np.minimum(y, 4) // 4, ("stayed", "left")
    )
    assert score.gives_away
    assert score.evidence.endswith("left where it is missing")


def test_a_class_of_codes_gives_itself_away_without_a_rule_of_bounds(grades) -> None:
    _, y = grades
    score = leakage_score("copy", np.eye(5)[y], y, LABELS)
    assert (score.gives_away, score.rule) == (True, "")


def test_rows_of_one_class_leave_nothing_to_tell() -> None:
    score = leakage_score("any", column(np.arange(50)), np.zeros(50, dtype=int), ("A", "B"))
    assert (score.explained, score.fewer_errors, score.gives_away) == (0, 0, False)


def test_a_class_of_two_rows_and_rows_without_a_class_are_left_out() -> None:
    y = np.array([0] * 30 + [1] * 30 + [2] * 2 + [-1] * 8)
    score = leakage_score("any", column(np.arange(70)), y, ("A", "B", "C"))
    assert score.rows == 60


def test_of_very_many_rows_a_sample_is_enough_and_always_the_same() -> None:
    values = np.random.default_rng(5).normal(size=30_000)
    found = [leakage_score("x", column(values), (values > 0).astype(int), ("A", "B")) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0].rows == 20_000
