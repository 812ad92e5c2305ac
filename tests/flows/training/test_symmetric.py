"""CatBoost's trees and their copies as XGBoost's answer alike, to the edge of every border."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.bundle.bundle import open_session
from data.bundle.models import TreeModel
from flows.training.data import TrainingData
from flows.training.onnx_export import TOLERANCE, export, parity
from flows.training.symmetric import cuts_of, exported, raw, refit_symmetric, rewritten, train
from tests.flows.training.students import Make, steps_toward

PARAMS = {"depth": 3, "learning_rate": 0.1, "l2_leaf_reg": 1.0, "subsample": 0.7, "random_strength": 1.0}
ROUNDS = 60


def rows_on_the_borders(document: dict[str, Any]) -> np.ndarray:
    """Return rows whose values are borders of the model, the float32 numbers beside them, and missing."""
    borders = [one["borders"][1:] or [0.0] for one in document["features_info"]["float_features"]]
    rng = np.random.default_rng(0)
    on = np.column_stack([rng.choice(np.array(own, np.float32), 300) for own in borders])
    down, up = np.float32(-np.inf), np.float32(np.inf)
    rows = np.concatenate([on, np.nextafter(on, up), np.nextafter(on, down)])
    rows[rng.random(rows.shape) < 0.2] = np.nan
    return rows


@pytest.mark.parametrize(
    ("kind", "missing"),
    [("score", 0.0), ("score", 0.1), ("ordinal", 0.1), ("softmax", 0.1), ("softmax", 0.0), ("pair", 0.0)],
)
def test_catboost_its_trees_as_xgboosts_and_onnx_answer_alike(
    students: Make, two_classes: TrainingData, kind: str, missing: float
) -> None:
    data = two_classes if kind == "pair" else students(kind=kind, missing=missing)
    model = train(data, PARAMS, ROUNDS, seed=0)
    document = exported(model)
    rows = rows_on_the_borders(document)
    refitted = refit_symmetric(data, PARAMS, ROUNDS, 0, 1)
    link = refitted.link(1.0)
    assert refitted.model.latent(rows) == pytest.approx(raw(model, rows, ROUNDS), abs=1e-5)
    assert parity(
        refitted.model, link, open_session(export(refitted.model, link).SerializeToString()), rows
    ) <= (TOLERANCE / 10)


def test_a_column_that_is_the_same_everywhere_keeps_the_others_in_their_places(students: Make) -> None:
    data = students()
    X = data.X.copy()
    X[:, 1] = 7
    flat = replace(data, X=X)
    model = train(flat, PARAMS, ROUNDS, seed=0)
    latent = refit_symmetric(flat, PARAMS, ROUNDS, 0, 1).model.latent(data.X)
    assert latent == pytest.approx(raw(model, data.X, ROUNDS), abs=1e-5)


def test_reasons_add_up_to_the_latent_leaves_that_no_row_reached_included(students: Make) -> None:
    data = students(missing=0.1)
    document = exported(train(data, PARAMS, ROUNDS, seed=0))
    model = TreeModel.of(rewritten(document, 4, 1))
    rows = rows_on_the_borders(document)
    rest = model.latent(rows) - model.contributions(rows)[:, :-1].sum(axis=1)
    assert min(min(tree["leaf_weights"]) for tree in document["oblivious_trees"]) == 0
    assert np.ptp(rest) < 1e-4


@pytest.mark.parametrize("kind", ["score", "pair"])
def test_a_known_direction_holds_wherever_there_is_one_latent(
    students: Make, two_classes: TrainingData, kind: str
) -> None:
    data = two_classes if kind == "pair" else students(kind=kind)
    assert (steps_toward(refit_symmetric(data, PARAMS, ROUNDS, 0, 1).model, data) >= -1e-6).all()


def test_a_part_of_the_trees_is_the_model_of_fewer_rounds(students: Make) -> None:
    data = students()
    longer, shorter = train(data, PARAMS, ROUNDS, seed=0), train(data, PARAMS, ROUNDS // 3, seed=0)
    assert raw(longer, data.X, ROUNDS // 3) == pytest.approx(raw(shorter, data.X, ROUNDS // 3), abs=1e-9)


def test_the_score_keeps_its_bounds_a_pair_has_one_cut_and_more_classes_have_margins(
    students: Make, two_classes: TrainingData
) -> None:
    assert tuple(cuts_of(students())) == students().bounds
    assert tuple(cuts_of(two_classes)) == (0.0,)
    assert len(cuts_of(students(kind="ordinal"))) == len(cuts_of(students(kind="softmax"))) == 0


def test_scale_and_bias_of_margins_are_taken_over(students: Make) -> None:
    data = students(kind="softmax")
    model = train(data, PARAMS, ROUNDS, seed=0)
    document = exported(model) | {"scale_and_bias": [2.0, [0.5, -1.0, 0.25]]}
    latent = TreeModel.of(rewritten(document, 4, 3)).latent(data.X)
    assert latent == pytest.approx(2 * raw(model, data.X, ROUNDS) + [0.5, -1.0, 0.25], abs=1e-4)


def test_missing_cells_that_count_as_the_largest_are_refused(students: Make) -> None:
    document = exported(train(students(missing=0.1), PARAMS, 5, seed=0))
    document["features_info"]["float_features"][2]["nan_value_treatment"] = "AsTrue"
    with pytest.raises(RuntimeError, match=r"columns \[2\] for the largest"):
        rewritten(document, 4, 1)
