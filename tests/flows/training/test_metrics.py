"""Figures, intervals and conformal thresholds: against scikit-learn, and against what they promise."""

import numpy as np
import pytest
from sklearn import metrics as reference

from data.bundle.answers import grade_sets
from flows.training.metrics import (
    beside_chosen,
    calibrate,
    calibration_line,
    evaluate,
    evaluate_classes,
    intervals,
    paired_bootstrap,
)


def shares_and_classes(n: int = 600, seed: int = 0, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and classes drawn from them: a perfectly calibrated model."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(classes, 0.5), n)
    y = (shares.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return shares, np.minimum(y, classes - 1)


def test_the_figures_are_those_of_scikit_learn() -> None:
    shares, y = shares_and_classes()
    top = shares.argmax(axis=1)
    figures = evaluate(shares, y, "test_")
    assert figures["test_accuracy"] == pytest.approx(reference.accuracy_score(y, top))
    assert figures["test_f1_macro"] == pytest.approx(reference.f1_score(y, top, average="macro"))
    assert figures["test_qwk"] == pytest.approx(reference.cohen_kappa_score(y, top, weights="quadratic"))
    assert figures["test_log_loss"] == pytest.approx(reference.log_loss(y, shares))
    auc = reference.roc_auc_score(y, shares, multi_class="ovr")
    assert figures["test_roc_auc_ovr"] == pytest.approx(auc)


def test_the_calibration_error_of_a_calibrated_model_is_small_and_of_a_boaster_large() -> None:
    shares, y = shares_and_classes(n=20_000)
    assert evaluate(shares, y)["ece"] < 0.02
    assert evaluate(np.eye(4)[shares.argmax(axis=1)], y)["ece"] > 0.2


def test_a_class_without_a_test_row_leaves_every_figure_a_number() -> None:
    shares, y = shares_and_classes()
    kept = y != 2
    figures = evaluate(shares[kept], y[kept])
    assert np.isfinite(list(figures.values())).all()
    assert np.isfinite(list(intervals(shares[kept], y[kept], seed=0).values())).all()


def test_rows_of_one_class_have_no_roc_curve_but_all_else() -> None:
    shares, y = shares_and_classes()
    figures = evaluate(shares[y == 1], y[y == 1])
    assert np.isnan(figures.pop("roc_auc_ovr"))
    assert np.isfinite(list(figures.values())).all()


def test_a_class_with_fewer_than_ten_rows_has_no_figure_of_its_own() -> None:
    shares, y = shares_and_classes()
    keep = np.concatenate([np.flatnonzero(y == 0)[:9], np.flatnonzero(y != 0)])
    table = evaluate_classes(shares[keep], y[keep], ("A", "B", "C", "D"))
    assert table["A"]["n"] == 9
    assert np.isnan([table["A"][name] for name in ("precision", "recall", "f1")]).all()
    assert table["B"]["recall"] == pytest.approx(
        reference.recall_score(y[keep], shares[keep].argmax(axis=1), average=None)[1]
    )


def test_intervals_hold_their_figure_and_are_the_same_for_the_same_seed() -> None:
    shares, y = shares_and_classes()
    found = intervals(shares, y, seed=4, prefix="test_")
    for name in ("test_accuracy", "test_f1_macro", "test_qwk", "test_log_loss"):
        low, high = found[name]
        assert low < evaluate(shares, y, "test_")[name] < high
    assert intervals(shares, y, seed=4, prefix="test_") == found


def test_a_paired_comparison_sees_a_difference_that_two_intervals_would_hide() -> None:
    rng = np.random.default_rng(0)
    hard = rng.exponential(2, 500)
    better, worse = hard + rng.normal(0, 0.05, 500), hard + 0.1 + rng.normal(0, 0.05, 500)
    difference = paired_bootstrap(better, worse)
    assert difference.low < difference.mean < difference.high < 0
    assert difference.above_zero == 0


def test_a_model_cannot_be_told_apart_from_itself_and_one_that_knows_nothing_is_worse() -> None:
    shares, y = shares_and_classes()
    assert set(beside_chosen(shares, shares, y).values()) == {0.0}
    ignorant = beside_chosen(np.full_like(shares, 0.25), shares, y)
    assert 0 < ignorant["low"] < ignorant["difference"] < ignorant["high"]


def test_each_class_is_held_by_its_students_sets_at_least_nine_times_in_ten() -> None:
    held = []
    for seed in range(100):
        shares, y = shares_and_classes(n=800, seed=seed)
        member = grade_sets(shares[400:], calibrate(shares[:400], y[:400]).least)
        own = member[np.arange(400), y[400:]]
        held.append([own[y[400:] == k].mean() for k in range(4)])
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
    assert grade_sets(np.array([[0.2, 0.5, 0.3]]), (1.1, 1.1, 1.1)).tolist() == [[False, True, False]]


def chances_and_what_came(
    n: int, seed: int, cooled: float = 1.0, raised: float = 0.0
) -> tuple[np.ndarray, ...]:
    """Return chances, and what came where the true log odds are the forecast ones times `cooled`, raised."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1, 1.5, n)
    return 1 / (1 + np.exp(-odds)), rng.random(n) < 1 / (1 + np.exp(-(raised + cooled * odds)))


@pytest.mark.parametrize(("cooled", "raised"), [(1.0, 0.0), (0.6, 0.0), (1.0, 0.5)])
def test_the_line_of_calibration_is_the_one_that_was_drawn_and_its_intervals_hold_it(
    cooled: float, raised: float
) -> None:
    held = np.zeros(2)
    for seed in range(400):
        line = calibration_line(*chances_and_what_came(500, seed, cooled, raised))
        truth = ((raised, line["intercept"]), (cooled, line["slope"]))
        held += [low <= true <= high for true, (_, low, high) in truth]
    assert (held >= 0.91 * 400).all(), "over 1,500 draws they hold it in 94 to 95 of 100"


def test_several_rows_of_a_student_count_as_one_student_in_the_line_of_calibration() -> None:
    chances, came = chances_and_what_came(300, 1)
    once = calibration_line(chances, came)
    students = np.tile(np.arange(300), 4)
    fourfold = calibration_line(np.tile(chances, 4), np.tile(came, 4), students)
    assert fourfold["slope"] == pytest.approx(once["slope"], rel=1e-6)


@pytest.mark.parametrize("came", [np.zeros(50, dtype=bool), np.arange(50) >= 25], ids=["none", "parted"])
def test_where_a_line_cannot_be_had_none_is_told(came: np.ndarray) -> None:
    assert calibration_line(np.linspace(0.1, 0.9, 50), came) == {}
