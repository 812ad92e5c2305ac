import numpy as np
import pandas as pd
import pytest

from flows.drift_gate.columns import (
    codes_p,
    effective_rows,
    level_and_spread_p,
    more_often_p,
    numbers_p,
    pool_rare,
    rise_in_share,
)

REPEATS = 400


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def days(rng: np.random.Generator, rows: int) -> pd.Series:
    return pd.Series(rng.integers(0, 30, rows).astype(float))


def test_two_samples_of_the_same_numbers_differ_as_often_as_alpha_says(rng: np.random.Generator) -> None:
    alarms = sum(numbers_p(days(rng, 800), days(rng, 100)) < 0.05 for _ in range(REPEATS))
    assert alarms / REPEATS < 0.08


def test_the_level_the_spread_and_the_shape_of_numbers_are_all_seen(rng: np.random.Generator) -> None:
    reference = days(rng, 2_000)
    assert numbers_p(reference, days(rng, 300) + 4) < 1e-6
    assert numbers_p(reference, pd.Series(rng.integers(10, 20, 300))) < 1e-6
    gap = pd.Series(rng.choice([6.0, 7.0, 22.0, 23.0], 300))
    assert numbers_p(reference, gap) < 1e-6


def test_one_value_on_both_sides_is_no_difference() -> None:
    same = pd.Series(np.full(40, 3.0))
    assert level_and_spread_p(np.full(40, 3.0), np.full(60, 3.0)) == 1.0
    assert numbers_p(same, same) == 1.0


def test_one_value_against_another_is_a_difference() -> None:
    assert numbers_p(pd.Series(np.full(40, 3.0)), pd.Series(np.full(60, 4.0))) < 1e-9


def test_a_batch_as_large_as_the_reference_alarms_no_more_often(rng: np.random.Generator) -> None:
    def draw() -> pd.Series:
        return pd.Series(rng.choice(list("abcd"), 1_000, p=[0.5, 0.2, 0.2, 0.1]))

    alarms = sum(codes_p(draw(), draw()) < 0.05 for _ in range(REPEATS))
    assert alarms / REPEATS < 0.08  # the reference taken for exact gives 0.28


def test_changed_shares_of_codes_are_seen() -> None:
    reference, current = pd.Series(list("abc") * 300), pd.Series(["a"] * 60 + ["b"] * 20 + ["c"] * 20)
    assert codes_p(reference, current) < 1e-6
    assert codes_p(reference, reference.head(90)) > 0.9


def test_rare_codes_are_pooled_until_each_is_expected_five_times() -> None:
    table = np.array([[500, 50], [400, 40], [6, 1], [3, 0], [1, 1]])
    assert pool_rare(table).tolist() == [[410, 42], [500, 50]]


def test_of_two_codes_none_is_pooled_away() -> None:
    assert len(pool_rare(np.array([[1000, 0], [0, 2]]))) == 2
    assert codes_p(pd.Series(["a"] * 1000), pd.Series(["b"] * 30)) < 1e-9


def test_only_more_often_is_drift() -> None:
    often, seldom = pd.Series(["yes"] * 20 + ["no"] * 80), pd.Series(["yes"] * 2 + ["no"] * 98)
    assert more_often_p(seldom, often) < 1e-4
    assert more_often_p(often, seldom) > 0.99
    assert rise_in_share(seldom, often) == pytest.approx(0.18)


def test_the_smaller_side_limits_the_effective_rows() -> None:
    assert effective_rows(5_000, 5_000) == 2_500
    assert effective_rows(300, 2_000_000) == pytest.approx(300, abs=0.1)
    assert effective_rows(0, 0) == 0
