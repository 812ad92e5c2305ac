"""Models and grids that the tests of the training core share, each trained once."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from flows.training.data import TrainingData
from flows.training.fit import Fitted, fit
from flows.training.grid import Grid
from tests.flows.training.students import BOUNDS, Make, make_students

FAMILIES: dict[str, dict[str, Any]] = {
    "xgboost": {"max_depth": 1, "learning_rate": 0.2, "n_estimators": 60},
    "catboost": {"family": "catboost", "depth": 2, "learning_rate": 0.2, "iterations": [30, 60]},
    "logistic": {"family": "logistic", "C": [0.1, 10]},
    "linear": {"family": "linear", "alpha": 1},
    "neural": {"family": "neural", "hidden_units": 6, "epochs": 60, "patience": 20},
}


class Watched(NamedTuple):
    """A model, and what was told of the progress of its search: done, in all, lowest log loss."""

    fitted: Fitted
    progress: list[tuple[int, int, float | None]]


def grid_of(*names: str) -> Grid:
    """Return a grid of these families."""
    return Grid.model_validate({"families": [FAMILIES[name] for name in names]})


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
    """A booster of each kind, trained on students with missing cells."""
    data = students(kind=request.param, missing=0.05)
    return fit(data, small_grid, seed=1, folds=3, baselines=False)


@pytest.fixture(scope="session", params=["score", "ordinal", "softmax"])
def pooled(request: pytest.FixtureRequest, students: Make) -> Fitted:
    """A pool of what suits students of a kind, with missing cells."""
    grid = grid_of("xgboost", "catboost", "logistic", "linear").model_copy(update={"pool": True})
    return fit(students(kind=request.param, missing=0.05), grid, seed=0, folds=3, baselines=False)


@pytest.fixture(scope="session")
def mixed(students: Make) -> Watched:
    """A model chosen from all families and compared with the baselines, its data with missing cells."""
    progress: list[tuple[int, int, float | None]] = []
    data = students(missing=0.05)
    model = fit(data, grid_of(*FAMILIES), seed=0, folds=3, on_progress=lambda *all_: progress.append(all_))
    return Watched(model, progress)
