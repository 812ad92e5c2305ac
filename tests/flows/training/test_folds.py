from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from data.errors import BadInput
from flows.training.data import stratified_folds, tuning_rows
from tests.flows.training.students import Make


def test_folds_hold_every_row_out_once_and_each_class_in_its_share(students: Make) -> None:
    data = students()
    folds = stratified_folds(data, 4, seed=0)
    held = np.sort(np.concatenate([rows for _, rows in folds]))
    assert np.array_equal(held, np.arange(len(data.y)))
    counts = np.array([np.bincount(data.y[rows], minlength=3) for _, rows in folds])
    assert np.ptp(counts, axis=0).max() <= 1


def test_the_seed_decides_the_folds(students: Make) -> None:
    first, same, other = (stratified_folds(students(), 3, seed)[0][1] for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("kept", "refusal"),
    [
        (lambda y: (y != 0) | (np.cumsum(y == 0) <= 9), r"needs 10 rows .2 a fold.: good has 9"),
        (lambda y: y != 1, "fair has 0"),
        (lambda y: y == 2, "Every row is of the class poor"),
        (lambda y: np.arange(len(y)) < 3, "3 usable rows are fewer than 5 folds"),
    ],
)
def test_too_few_rows_of_a_class_are_refused_by_name(
    students: Make, kept: Callable[[np.ndarray], np.ndarray], refusal: str
) -> None:
    data = students()
    with pytest.raises(BadInput, match=refusal):
        stratified_folds(data.rows(np.flatnonzero(kept(data.y))), 5, seed=0)


def test_a_large_set_is_tuned_on_a_sample_that_keeps_shares_and_rare_classes(students: Make) -> None:
    data = students(n=5_000)
    rare = replace(data, y=np.where(np.arange(5_000) < 20, 0, np.maximum(data.y, 1)))
    sample = tuning_rows(rare, 5, seed=0, limit=500)
    assert tuning_rows(rare, 5, seed=0, limit=5_000) is None
    assert sample is not None
    counts, whole = np.bincount(rare.y[sample]), np.bincount(rare.y)
    assert counts[0] == 10
    assert counts[1:] / 500 == pytest.approx(whole[1:] / 5_000, abs=0.01)
    assert len(np.unique(sample)) == len(sample)
