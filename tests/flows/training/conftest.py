"""Models and grids that the tests of the training core share."""

from dataclasses import replace

import numpy as np
import pytest

from flows.training.data import TrainingData
from flows.training.fit import Fitted, fit
from flows.training.grid import Grid
from tests.flows.training.students import BOUNDS, Make, make_students


@pytest.fixture(scope="session")
def small_grid() -> Grid:
    """Return two quick fits, one of them with a checkpoint in between."""
    family = {
        "max_depth": [1, 2],
        "learning_rate": 0.1,
        "n_estimators": [60, 150],
        "subsample": 0.7,
        "patience": 40,
    }
    return Grid.model_validate({"families": [family]})


@pytest.fixture(scope="session")
def students() -> Make:
    """Give the maker of small students."""
    return make_students


@pytest.fixture(scope="session")
def two_classes(students: Make) -> TrainingData:
    """Students who pass or fail, without a score."""
    data = students(kind="ordinal")
    return replace(data, y=np.minimum(data.y, 1), labels=("pass", "fail"), bounds=(BOUNDS[0],))


@pytest.fixture(scope="session", params=["score", "ordinal", "softmax"])
def fitted(request: pytest.FixtureRequest, students: Make, small_grid: Grid) -> Fitted:
    """A model of each kind, trained on students with missing cells."""
    data = students(kind=request.param, missing=0.05)
    return fit(data, small_grid, seed=1, folds=3, baselines=False)
