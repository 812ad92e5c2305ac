"""Figures, intervals and conformal thresholds: against scikit-learn, and against what they promise."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from data.bundle.answers import answer_of, grade_sets
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


def gappy(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of five classes in order that are noisy enough to leave gaps, and the classes."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(0, 1.2, n)
    y = np.digitize(latent + rng.normal(0, 0.7, n), [-1, -0.3, 0.4, 1.1])
    away = latent[:, None] - np.array([-1.6, -0.6, 0.1, 0.8, 1.7])
    shares = np.exp(-away * away + rng.normal(0, 1.1, away.shape))
    return shares / shares.sum(axis=1, keepdims=True), y


def test_sets_of_classes_in_order_have_no_gaps_are_smaller_than_filled_ones_and_hold_as_often() -> None:
    told: dict[str, Any] = {"gaps": 0.0, "filled": 0.0, "raised": 0.0, "held": np.zeros(5)}
    for seed in range(6):
        (shares, y), (new, true) = gappy(1_500, seed), gappy(6_000, 100 + seed)
        usual, raised = calibrate(shares, y), calibrate(shares, y, ordered=True)
        assert raised.rows == usual.rows
        assert (np.array(raised.least) >= np.array(usual.least)).all()
        plain = grade_sets(new, usual.least)
        sets = grade_sets(new, raised.least, contiguous=True)
        assert (np.abs(np.diff(np.pad(sets, ((0, 0), (1, 1))).astype(int))).sum(axis=1) == 2).all()
        filled = grade_sets(new, usual.least, contiguous=True)
        told["gaps"] += (filled.sum(axis=1) > plain.sum(axis=1)).mean() / 6
        told["filled"] += filled.sum(axis=1).mean() / 6
        told["raised"] += sets.sum(axis=1).mean() / 6
        told["held"] += np.array([sets[true == k, k].mean() for k in range(5)]) / 6
    assert told["gaps"] > 0.03
    assert told["raised"] < told["filled"] - 0.02
    assert (told["held"] > 0.88).all()


def test_a_class_with_too_few_students_is_in_every_set_and_drags_nothing_else_in() -> None:
    shares, y = gappy(600, 1)
    few = np.flatnonzero(y == 4)[5:]
    keep = np.setdiff1d(np.arange(600), few)
    least = calibrate(shares[keep], y[keep], ordered=True).least
    sets = grade_sets(shares, least, contiguous=True)
    assert least[4] == 0
    assert sets[:, 4].all()
    assert (sets.sum(axis=1) < 5).mean() > 0.5


@pytest.mark.parametrize("contiguous", [False, True])
def test_one_row_alone_has_the_same_set_as_among_others(contiguous: bool) -> None:
    shares, y = gappy(500, 2)
    for least in (calibrate(shares, y, ordered=contiguous).least, (0.3, 0.0, 0.2, 0.9, 0.0), (0.0,) * 5):
        sets = grade_sets(shares, least, contiguous)
        for row, inside in zip(shares.tolist(), sets, strict=True):
            told = answer_of(row, "ABCDF", least, [4], contiguous)
            assert told["grade_set"] == [label for label, held in zip("ABCDF", inside, strict=True) if held]
