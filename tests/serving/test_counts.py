"""Counts of a list: what they hold, and that their ranges hold the truth."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from data.bundle.bundle import Bundle
from data.cohorts.grades import generate
from data.statistics import count_range, poisson_binomial, shift_sd
from serving.pages.roster_list import counts_of

CLASSES = {25: 1_000, 100: 1_000, 400: 250}  # of so many students


def test_equal_chances_give_the_binomial_distribution() -> None:
    found = poisson_binomial(np.full((1, 37), 0.3))
    assert found[0] == pytest.approx(binom.pmf(np.arange(38), 37, 0.3), abs=1e-12)


def test_unequal_chances_give_every_count_its_share() -> None:
    assert poisson_binomial(np.array([[0.5, 0.2]]))[0] == pytest.approx([0.4, 0.5, 0.1])


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_certain_students_leave_no_range(certain: float) -> None:
    expected = int(12 * certain)
    assert count_range(np.full(12, certain), 0.1) == (expected, expected, expected)


def test_nobody_is_counted_as_nobody() -> None:
    assert count_range(np.array([]), 0.1) == (0, 0, 0)


def test_what_the_model_may_have_wrong_widens_a_range() -> None:
    chances = np.full(400, 0.5)
    (_, low, high), (_, lower, higher) = count_range(chances, 0.0), count_range(chances, 0.2)
    assert lower < low < 200 < high < higher


def test_fewer_training_rows_leave_more_doubt_and_never_without_bound() -> None:
    risks = np.array([0.1, 0.5, 0.9])
    assert shift_sd(risks, 2_000, 2) < shift_sd(risks, 200, 2) < shift_sd(risks, 2, 2) == 0.5
    assert shift_sd(np.array([1.0]), 2_000, 2) == 0.5


def test_a_list_is_counted_apart_from_those_left_out() -> None:
    counts = counts_of(np.array([0.9, 0.8, 0.4]), np.array([True, True, False]), 2_000)
    assert counts.listed == 2
    assert counts.false_alarms.expected == pytest.approx(0.3)
    assert counts.left_out.expected == pytest.approx(0.4)


@pytest.mark.parametrize("students", CLASSES)
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_the_ranges_hold_the_truth_in_nine_of_ten_classes(
    bundle_folder: Path, students: int, share: float
) -> None:
    bundle = Bundle.load(bundle_folder)
    target, rows = bundle.contract.target, bundle.manifest.training["rows"]
    first = target.labels.index(target.at_risk[0])
    classes = CLASSES[students]
    cohort = generate(classes * students, seed=31, first_id=1_000_000)
    shares = bundle.probabilities(cohort[list(bundle.space.names)].to_numpy(np.float32))
    risks = np.minimum(shares[:, first:].sum(axis=1), 1).astype(float).reshape(classes, students)
    truth = (cohort[target.column].to_numpy() >= first).reshape(classes, students)
    held = np.zeros(2)
    for some, true in zip(risks, truth, strict=True):
        listed = np.zeros(students, dtype=bool)
        listed[np.argsort(-some, kind="stable")[: int(share * students)]] = True
        counts = counts_of(some, listed, rows)
        told = zip((counts.false_alarms, counts.left_out), (~true[listed], true[~listed]), strict=True)
        held += [found.low <= there.sum() <= found.high for found, there in told]
    assert (held / classes >= 0.9).all(), held
