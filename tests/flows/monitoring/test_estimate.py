"""The accuracy that is estimated without grades: how near it comes, and how often its interval holds."""

import numpy as np
import pytest

from bench import estimate as bench
from data.cohorts import grades as cohort
from data.statistics import closest_interval
from flows.monitoring.window import estimate_accuracy, interval_of_share

MANY = 100_000  # training rows of a champion that is calibrated


def coins(rng: np.random.Generator, chances: np.ndarray) -> float:
    return float((rng.random(len(chances)) < chances).mean())


def two_classes(chances: np.ndarray) -> np.ndarray:
    return np.column_stack([chances, 1 - chances])


@pytest.mark.parametrize("rows", [30, 1_500])
def test_the_interval_holds_what_comes_in_about_90_of_100_batches_however_small(rows: int) -> None:
    rng = np.random.default_rng(rows)
    held = []
    for _ in range(200):
        chances = rng.uniform(0.5, 1.0, rows)
        low, high = interval_of_share(chances, MANY)
        held.append(low - 1e-9 <= coins(rng, chances) <= high + 1e-9)
    assert 0.85 <= np.mean(held) <= 0.95


def test_the_estimate_is_within_three_points_of_what_comes_in_nine_of_ten_shifted_batches() -> None:
    rng = np.random.default_rng(5)
    gaps = []
    for _ in range(40):
        batch = bench.shifted(rng, 500)
        probabilities = cohort.true_probabilities(batch)
        right = probabilities.argmax(axis=1) == batch["GradeClass"].to_numpy(int)
        gaps.append(abs(estimate_accuracy(probabilities, MANY).share - right.mean()))
    assert np.mean(np.array(gaps) <= 0.03) >= 0.9


@pytest.mark.slow
def test_the_benchmark_reaches_what_it_must() -> None:
    parts = [bench.run_champion(number) for number in range(bench.CHAMPIONS)]
    near, sized = ([one for part in parts for one in part[place]] for place in (0, 1))
    report = "\n".join(bench.report(near, sized))
    assert report.count(": met") + report.count("   met") == 1 + len(bench.SIZES), report


def test_a_champion_of_few_rows_is_less_sure_of_its_accuracy() -> None:
    shares = two_classes(np.full(200, 0.8))
    few, many = (estimate_accuracy(shares, rows) for rows in (100, 5_000))
    assert few.share == many.share == pytest.approx(0.8)
    assert few.high - few.low > 1.3 * (many.high - many.low)


def test_small_and_large_batches_meet_where_one_rule_takes_over_from_the_other() -> None:
    chances = np.random.default_rng(0).uniform(0.6, 1.0, 1_001)
    assert interval_of_share(chances[:1_000], 2_000) == pytest.approx(
        interval_of_share(chances, 2_000), abs=0.003
    )


def test_forecasts_that_are_all_certain_are_all_right() -> None:
    found = estimate_accuracy(two_classes(np.ones(40)), 500)
    assert (found.low, found.high) == (1.0, 1.0)
    assert found.share == pytest.approx(1.0, abs=1e-5)


def test_the_counts_chosen_add_up_closest_to_the_level() -> None:
    shares = np.array([0.02, 0.08, 0.5, 0.3, 0.07, 0.03])
    assert closest_interval(shares, 0.88) == (1, 3)
    assert closest_interval(np.array([0.0, 1.0])) == (1, 1)
