import numpy as np
import pytest

from data.bundle.answers import grade_sets
from flows.training.uncertainty import calibrate, coverage
from tests.flows.training.test_metrics import shares_and_classes


def test_each_class_is_held_by_its_students_sets_at_least_nine_times_in_ten() -> None:
    held = []
    for seed in range(100):
        shares, y = shares_and_classes(n=800, seed=seed)
        thresholds = calibrate(shares[:400], y[:400])
        held.append([c.share for c in coverage(shares[400:], y[400:], thresholds, tuple("ABCD")).values()])

    assert np.mean(held, axis=0) == pytest.approx(0.91, abs=0.02)


def test_a_class_with_fewer_than_nine_calibration_rows_is_always_in_the_set() -> None:
    shares, y = shares_and_classes()
    keep = np.concatenate([np.flatnonzero(y == 3)[:8], np.flatnonzero(y != 3)])

    thresholds = calibrate(shares[keep], y[keep])

    assert thresholds.rows[3] == 8
    assert grade_sets(shares, thresholds.least)[:, 3].all()


def test_nine_calibration_rows_are_enough_for_a_threshold_at_the_lowest_of_them() -> None:
    shares = np.column_stack([np.linspace(0.1, 0.9, 9), 1 - np.linspace(0.1, 0.9, 9)])

    assert calibrate(shares, np.zeros(9, dtype=int)).least[0] == pytest.approx(0.1)


def test_the_likeliest_class_is_always_in_the_set() -> None:
    member = grade_sets(np.array([[0.2, 0.5, 0.3]]), (1.1, 1.1, 1.1))

    assert member.tolist() == [[False, True, False]]


def test_realised_coverage_gives_rows_and_an_interval_and_copes_with_none() -> None:
    shares, y = shares_and_classes(classes=3)
    y = np.minimum(y, 1)

    table = coverage(shares, y, calibrate(shares, y), ("A", "B", "C"))

    assert table["A"].low < table["A"].share < table["A"].high
    assert table["A"].n == (y == 0).sum()
    assert table["C"].n == 0
    assert np.isnan(table["C"].share)
