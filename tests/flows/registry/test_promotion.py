"""The decision to promote, on arrays of row losses."""

import numpy as np
import pytest

from flows.registry.promotion import against_champion, first_champion

ROWS = np.random.default_rng(1).uniform(0.1, 0.9, 300)
"""Log losses of the champion."""
NOISE = np.random.default_rng(2).normal(0, 0.01, 300)


def test_a_first_model_that_beats_the_class_shares_is_champion() -> None:
    verdict = first_champion(ROWS, ROWS + 0.5 + NOISE, seed=0)
    assert verdict.promoted
    assert verdict.reason.startswith("the first champion: log loss")


def test_a_first_model_that_does_not_beat_the_class_shares_is_none() -> None:
    verdict = first_champion(ROWS, ROWS + NOISE - NOISE.mean(), seed=0)
    assert not verdict.promoted
    assert verdict.reason.startswith("no better than the class shares alone")


def test_a_better_challenger_is_promoted_though_it_saw_no_new_student() -> None:
    verdict = against_champion(ROWS - 0.05 + NOISE, ROWS, margin=0.01, new_students=0, seed=0)
    assert verdict.promoted
    assert verdict.reason.startswith("better: log loss -0.05")
    assert verdict.figures["high"] < 0


@pytest.mark.parametrize(("new_students", "promoted"), [(0, False), (40, True)])
def test_an_equal_challenger_is_promoted_only_for_new_students(new_students: int, promoted: bool) -> None:
    equal = ROWS + NOISE - NOISE.mean()
    verdict = against_champion(equal, ROWS, margin=0.01, new_students=new_students, seed=0)
    assert verdict.promoted is promoted
    assert ("40 students more" in verdict.reason) is promoted


@pytest.mark.parametrize("new_students", [0, 4_000])
def test_a_challenger_that_may_be_worse_than_the_margin_is_not_promoted(new_students: int) -> None:
    verdict = against_champion(ROWS + 0.02 + NOISE, ROWS, margin=0.01, new_students=new_students, seed=0)
    assert not verdict.promoted
    assert verdict.reason.startswith("may be worse by more than 0.01")


def test_a_wide_interval_speaks_against_the_challenger() -> None:
    noisy = ROWS + np.random.default_rng(3).normal(0, 1, 300)
    assert not against_champion(noisy, ROWS, margin=0.01, new_students=99, seed=0).promoted


@pytest.mark.parametrize("rows", [0, 29])
def test_too_few_rows_decide_nothing(rows: int) -> None:
    few = ROWS[:rows]
    for verdict in (
        first_champion(few, few + 1, seed=0),
        against_champion(few - 1, few, margin=0.01, new_students=9, seed=0),
    ):
        assert not verdict.promoted
        assert f"too few held-out students to judge: {rows}, of 30 needed" in verdict.reason


def test_the_same_losses_give_the_same_verdict() -> None:
    first, second = (
        against_champion(ROWS + NOISE, ROWS, margin=0.01, new_students=1, seed=4) for _ in range(2)
    )
    assert first == second
