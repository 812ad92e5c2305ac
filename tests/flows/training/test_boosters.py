"""XGBoost boosters: directions, cuts, sums that are exact everywhere; and their ONNX graphs."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb

from data.bundle.bundle import open_session
from data.bundle.models import TreeModel
from flows.training.data import TrainingData
from flows.training.families import IncrementalBooster, refit_booster
from flows.training.fit import Fitted
from flows.training.onnx_export import TOLERANCE, export, parity
from flows.training.ordinal import OrdinalLink
from tests.flows.training.students import BOUNDS, Make, steps_toward

PARAMS = {"max_depth": 2, "learning_rate": 0.1, "subsample": 0.7}


def boosted(data: TrainingData, rounds: int = 40, **more: object) -> TreeModel:
    model = refit_booster(data, PARAMS | more, rounds, seed=0).model
    assert isinstance(model, TreeModel)
    return model


@pytest.mark.parametrize("kind", ["score", "ordinal"])
def test_a_feature_with_a_known_direction_never_works_against_it(students: Make, kind: str) -> None:
    data = students(kind=kind)
    assert (steps_toward(boosted(data, 100), data) >= 0).all()


def test_a_score_keeps_the_bounds_of_the_classes_and_an_ordinal_booster_learns_falling_cut_points(
    students: Make,
) -> None:
    assert refit_booster(students(), PARAMS, 10, seed=0).link(0.3).cuts == BOUNDS
    first, second = refit_booster(students(kind="ordinal"), PARAMS, 50, seed=0).link(1.0).cuts
    assert first > second


def test_an_additive_booster_never_lets_two_features_meet_in_a_tree(students: Make) -> None:
    trees = boosted(students(), additive=True).booster.trees_to_dataframe()
    assert trees[trees["Feature"] != "Leaf"].groupby("Tree")["Feature"].nunique().max() == 1


def test_float_columns_of_one_nominal_may_meet_in_an_additive_tree(students: Make) -> None:
    data = replace(students(), groups=((0, 1), (2,), (3,)))
    trees = boosted(data, additive=True).booster.trees_to_dataframe()
    met = trees[trees["Feature"] != "Leaf"].groupby("Tree")["Feature"].unique()
    assert {"f0", "f1"} in [set(names) for names in met]


def test_fitting_side_by_side_gives_the_same_booster_as_fitting_alone(students: Make) -> None:
    data = students()
    alone, first, second = (IncrementalBooster(data, data.X, PARAMS, 3) for _ in range(3))
    alone.fit(40)
    for rounds in (10, 20, 40):
        first.fit(rounds)
        second.fit(rounds)
    assert np.array_equal(first.held_out(), alone.held_out())


def test_reasons_add_up_to_the_latent(fitted: Fitted, students: Make) -> None:
    X = students(n=50, seed=5).X
    assert isinstance(fitted.model, TreeModel)
    effects = fitted.model.contributions(X)
    assert effects.sum(axis=-1) == pytest.approx(fitted.model.latent(X), abs=1e-4)


def test_rounded_leaves_sum_to_the_same_latent_in_any_order(students: Make) -> None:
    data = students()
    model = boosted(data, 200)
    margin = xgb.DMatrix(data.X, base_margin=np.zeros(len(data.X), np.float32))
    halves = [
        model.booster.predict(margin, iteration_range=part, output_margin=True)
        for part in ((0, 100), (100, 200))
    ]
    base = model.latent(data.X) - (halves[0] + halves[1])
    assert np.array_equal(base, np.full_like(base, base[0]))


def test_the_onnx_model_agrees_with_the_booster_missing_cells_included(
    fitted: Fitted, students: Make
) -> None:
    session = open_session(export(fitted.model, fitted.link).SerializeToString())
    X = students(n=500, seed=9, missing=0.2).X
    X[0] = np.nan
    shares = session.run(["probabilities"], {"features": X})[0]
    assert parity(fitted.model, fitted.link, session, X) <= TOLERANCE / 10
    assert (shares.shape, shares.dtype) == ((500, 3), np.float32)
    assert shares.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    wrong = replace(fitted.link, sigma=fitted.link.sigma * 2)
    assert parity(fitted.model, wrong, session, X) > TOLERANCE


@pytest.mark.parametrize("kind", ["score", "ordinal"])
def test_the_latent_comes_out_to_the_last_bit(students: Make, kind: str) -> None:
    data = students(kind=kind)
    refitted = refit_booster(data, {"max_depth": 2, "learning_rate": 0.05}, 400, seed=0)
    session = open_session(export(refitted.model, refitted.link(0.3)).SerializeToString())
    latent = session.run(["latent"], {"features": data.X})[0]
    assert np.array_equal(latent, refitted.model.latent(data.X))


@pytest.mark.parametrize("ordered", [True, False])
def test_two_classes_have_one_cut_point_and_two_probabilities(
    two_classes: TrainingData, ordered: bool
) -> None:
    data = replace(two_classes, ordered=ordered)
    refitted = refit_booster(data, {"max_depth": 1}, 30, seed=0)
    link = refitted.link(1.2)
    session = open_session(export(refitted.model, link).SerializeToString())
    shares = session.run(["probabilities"], {"features": data.X})[0]
    assert (len(link.cuts), shares.shape[1]) == (1, 2)
    assert (shares.argmax(axis=1) == data.y).mean() > 0.9
    assert parity(refitted.model, link, session, data.X) <= TOLERANCE


@pytest.mark.parametrize("kind", ["score", "ordinal", "softmax"])
def test_trees_that_never_split_are_exported_too(students: Make, kind: str) -> None:
    data = students(kind=kind)
    model = boosted(data, 60, max_depth=3, gamma=10.0)
    cuts = () if kind == "softmax" else BOUNDS
    link = OrdinalLink("softmax" if kind == "softmax" else "probit", cuts, 0.5)
    session = open_session(export(model, link).SerializeToString())
    assert any(dump.count("\n") == 1 for dump in model.booster.get_dump())
    assert parity(model, link, session, data.X) <= TOLERANCE
