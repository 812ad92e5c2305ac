import numpy as np
import onnxruntime
import pytest

from data.bundle.models import TreeModel
from flows.training.boosters import predict_latent, refit
from flows.training.data import TrainingData
from flows.training.fit import Fitted
from flows.training.onnx_export import TOLERANCE, export, parity
from tests.flows.training.students import Make


def session_of(model: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def test_the_onnx_model_agrees_with_the_booster_missing_cells_included(
    fitted: Fitted, students: Make
) -> None:
    session = session_of(export(fitted.model, fitted.head).SerializeToString())
    X = students(n=500, seed=9, missing=0.2).X
    X[0] = np.nan

    assert parity(fitted.model, fitted.head, session, X) <= TOLERANCE / 10


def test_one_row_is_answered_as_it_is_in_a_batch(fitted: Fitted, students: Make) -> None:
    session = session_of(export(fitted.model, fitted.head).SerializeToString())
    X = students(n=20, seed=9).X

    batch = session.run(["probabilities"], {"features": X})[0]
    single = [session.run(["probabilities"], {"features": row[None]})[0][0] for row in X]

    assert batch.shape == (20, 3)
    assert batch.dtype == np.float32
    assert np.array_equal(batch, np.array(single))
    assert batch.sum(axis=1) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("kind", ["score", "ordinal"])
def test_the_latent_comes_out_to_the_last_bit(students: Make, kind: str) -> None:
    data = students(kind=kind)
    growing = refit(data, {"max_depth": 2, "learning_rate": 0.05}, 400, seed=0)
    session = session_of(export(TreeModel.of(growing.booster), growing.head(0.3)).SerializeToString())

    latent = session.run(["latent"], {"features": data.X})[0]

    assert np.array_equal(latent, predict_latent(growing.booster, data.X))


def test_two_classes_come_out_as_two_probabilities(two_classes: TrainingData) -> None:
    growing = refit(two_classes, {"max_depth": 1}, 30, seed=0)
    head = growing.head(1.2)
    session = session_of(export(TreeModel.of(growing.booster), head).SerializeToString())

    assert session.run(["probabilities"], {"features": two_classes.X})[0].shape[1] == 2
    assert parity(TreeModel.of(growing.booster), head, session, two_classes.X) <= TOLERANCE


@pytest.mark.parametrize("kind", ["score", "ordinal", "softmax"])
def test_trees_that_never_split_are_exported_too(students: Make, kind: str) -> None:
    data = students(kind=kind)
    growing = refit(data, {"max_depth": 3, "gamma": 10.0}, 60, seed=0)
    head = growing.head(0.5)
    session = session_of(export(TreeModel.of(growing.booster), head).SerializeToString())

    assert any(dump.count("\n") == 1 for dump in growing.booster.get_dump())
    assert parity(TreeModel.of(growing.booster), head, session, data.X) <= TOLERANCE


def test_the_parity_check_sees_a_wrong_head(fitted: Fitted, students: Make) -> None:
    wrong = type(fitted.head)(fitted.head.kind, fitted.head.cuts, fitted.head.sigma * 2)
    session = session_of(export(fitted.model, wrong).SerializeToString())

    assert parity(fitted.model, fitted.head, session, students().X) > TOLERANCE
