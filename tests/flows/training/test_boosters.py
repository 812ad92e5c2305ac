import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from data.bundle.models import TreeModel
from flows.training.boosters import Growing, predict_latent, refit
from flows.training.data import TrainingData
from flows.training.fit import Fitted
from tests.flows.training.students import BOUNDS, Make

PARAMS = {"max_depth": 2, "learning_rate": 0.1, "subsample": 0.7}

READ_AND_PREDICT = """
import sys, numpy, xgboost
for folder in sys.argv[1:]:
    booster = xgboost.Booster(model_file=f"{folder}/booster.ubj")
    numpy.save(f"{folder}/answer.npy", booster.predict(xgboost.DMatrix(numpy.load(f"{folder}/rows.npy"))))
"""


@pytest.mark.parametrize("kind", ["score", "ordinal"])
def test_a_feature_with_a_known_direction_never_works_against_it(students: Make, kind: str) -> None:
    data = students(kind=kind)
    booster = refit(data, PARAMS, 100, seed=0).booster
    for column, direction in enumerate(data.monotone[:3]):
        rows = np.repeat(data.X[:50, None], 30, axis=1)
        rows[:, :, column] = np.linspace(0, 30, 30)

        latent = predict_latent(booster, rows.reshape(-1, 4)).reshape(50, 30)

        assert (np.diff(latent, axis=1) * direction >= 0).all()


def test_a_saved_booster_predicts_its_latent_in_a_clean_process(students: Make, tmp_path: Path) -> None:
    known = {}
    for kind in ("score", "ordinal"):
        data, folder = students(kind=kind), tmp_path / kind
        booster = refit(data, PARAMS, 30, seed=0).booster
        folder.mkdir()
        booster.save_model(folder / "booster.ubj")
        np.save(folder / "rows.npy", data.X)
        known[folder] = predict_latent(booster, data.X)

    subprocess.run([sys.executable, "-c", READ_AND_PREDICT, *known], check=True)

    for folder, latent in known.items():
        assert np.array_equal(np.load(folder / "answer.npy"), latent)


def test_a_booster_on_the_score_keeps_the_bounds_of_the_classes_as_cut_points(students: Make) -> None:
    assert refit(students(), PARAMS, 10, seed=0).head(0.3).cuts == BOUNDS


def test_an_ordinal_booster_learns_falling_cut_points(students: Make) -> None:
    cuts = refit(students(kind="ordinal"), PARAMS, 50, seed=0).head(1.0).cuts

    assert len(cuts) == 2
    assert cuts[0] > cuts[1]


def test_two_classes_need_one_cut_point(two_classes: TrainingData) -> None:
    growing = refit(two_classes, PARAMS, 80, seed=0)
    shares = growing.head(1.0).probabilities(predict_latent(growing.booster, two_classes.X))

    assert shares.shape == (len(two_classes.y), 2)
    assert (shares.argmax(axis=1) == two_classes.y).mean() > 0.9


def test_an_additive_booster_never_lets_two_features_meet_in_a_tree(students: Make) -> None:
    booster = refit(students(), PARAMS | {"additive": True}, 40, seed=0).booster
    trees = booster.trees_to_dataframe()

    features = trees[trees["Feature"] != "Leaf"].groupby("Tree")["Feature"].nunique()

    assert features.max() == 1


def test_float_columns_of_one_nominal_may_meet_in_an_additive_tree(students: Make) -> None:
    data = replace(students(), groups=((0, 1), (2,), (3,)))
    trees = refit(data, PARAMS | {"additive": True}, 40, seed=0).booster.trees_to_dataframe()

    met = trees[trees["Feature"] != "Leaf"].groupby("Tree")["Feature"].unique()

    assert {"f0", "f1"} in [set(names) for names in met]


def test_growing_side_by_side_gives_the_same_booster_as_growing_alone(students: Make) -> None:
    data = students()
    alone = Growing(data, PARAMS, 3)
    alone.grow(40)

    first, second = Growing(data, PARAMS, 3), Growing(data, PARAMS, 3)
    for rounds in (10, 20, 40):
        first.grow(rounds)
        second.grow(rounds)

    assert np.array_equal(first.latent(first.matrix), alone.latent(alone.matrix))


def test_reasons_add_up_to_the_latent(fitted: Fitted, students: Make) -> None:
    X = students(n=50, seed=5).X
    assert isinstance(fitted.model, TreeModel)
    effects = fitted.model.booster.predict(xgb.DMatrix(X), pred_contribs=True)

    assert effects.sum(axis=-1) == pytest.approx(fitted.model.latent(X), abs=1e-4)


def test_rounded_leaves_sum_to_the_same_latent_in_any_order(students: Make) -> None:
    data = students()
    booster = refit(data, PARAMS, 200, seed=0).booster
    whole = predict_latent(booster, data.X)
    margin = xgb.DMatrix(data.X, base_margin=np.zeros(len(data.X), np.float32))
    halves = [
        booster.predict(margin, iteration_range=part, output_margin=True) for part in ((0, 100), (100, 200))
    ]

    base = whole - (halves[0] + halves[1])

    assert np.array_equal(base, np.full_like(base, base[0]))
