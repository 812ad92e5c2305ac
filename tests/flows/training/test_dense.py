"""Logistic regression and the neural network: as scikit-learn answers, in plain numbers."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from data.bundle.bundle import open_session
from data.bundle.manifest import FamilyName
from data.bundle.models import DenseModel, Layer, read_model
from flows.training.data import TrainingData
from flows.training.families import DenseLearner
from flows.training.onnx_export import TOLERANCE, export, parity
from flows.training.ordinal import OrdinalLink, row_losses
from tests.flows.training.students import Make, make_students

PARAMS: dict[FamilyName, dict[str, float]] = {
    "logistic": {"C": 1.0},
    "neural": {"hidden_units": 6, "learning_rate_init": 0.01, "alpha": 0.001},
}
TINY = DenseModel(
    fills=(1.0, 2.0),
    marked=(1,),
    means=(3.0, 2.0, 0.5),
    scales=(2.0, 1.0, 0.5),
    layers=(Layer(weights=((1.0, -1.0), (0.5, 0.0), (0.25, 0.0)), biases=(0.0, 0.0)),),
)
NO_XGBOOST = """
import sys, pathlib, numpy
from data.bundle.models import read_model
print(read_model(pathlib.Path(sys.argv[1])).contributions(numpy.zeros((1, 2))).shape)
assert "xgboost" not in sys.modules and "sklearn" not in sys.modules
"""


def learned(data: TrainingData, family: FamilyName, held: np.ndarray | None = None) -> DenseLearner:
    """Return a learner at its end."""
    held = data.X[:0] if held is None else held
    learner = DenseLearner(data, held, family, PARAMS[family], 0)
    learner.fit(1 if family == "logistic" else 30)
    return learner


@pytest.fixture(scope="module", params=["logistic", "neural"])
def family(request: pytest.FixtureRequest) -> FamilyName:
    """One of the two."""
    found: FamilyName = request.param
    return found


@pytest.fixture(scope="module")
def model(students: Make, family: FamilyName) -> DenseModel:
    """What one of the two learned of students with missing cells."""
    return learned(students(missing=0.1), family).model()


@pytest.mark.parametrize("kind", ["ordinal", "softmax", "pair"])
def test_the_numbers_kept_answer_as_scikit_learn_does(
    students: Make, two_classes: TrainingData, kind: str, family: FamilyName
) -> None:
    data = two_classes if kind == "pair" else students(kind=kind, missing=0.1)
    learner = learned(data, family)
    rows = learner._scaler.transform(learner._imputer.transform(data.X.astype(float)))
    margins = learner.model().latent(data.X)
    shares = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    assert shares == pytest.approx(learner._estimator.predict_proba(rows), abs=1e-6)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_onnx_agrees_with_them_missing_cells_included(
    students: Make, model: DenseModel, family: FamilyName, missing: float
) -> None:
    asked, link = model if missing else learned(students(), family).model(), OrdinalLink("softmax", (), 0.8)
    rows = students(n=300, seed=4, missing=0.3).X
    rows[0] = np.nan
    session = open_session(export(asked, link).SerializeToString())
    assert parity(asked, link, session, rows) <= TOLERANCE / 10


def test_without_missing_cells_there_are_no_marks_and_a_missing_one_is_the_mean(
    students: Make, family: FamilyName
) -> None:
    data = students()
    model = learned(data, family).model()
    missing, mean = data.X[:5].copy(), data.X[:5].copy()
    missing[:, 1], mean[:, 1] = np.nan, data.X[:, 1].mean(dtype=float)
    assert model.marked == ()
    assert model.latent(missing) == pytest.approx(model.latent(mean), abs=1e-5)


def test_fills_and_scales_are_of_the_rows_learned_from_and_never_of_those_held_out(students: Make) -> None:
    data = students(missing=0.1)
    far = data.X + 1_000
    one, other = learned(data, "logistic", data.X), learned(data, "logistic", far)
    assert one.model() == other.model()
    assert not np.allclose(one.held_out(), other.held_out())


def test_a_reason_is_the_coefficient_times_the_distance_from_the_mean() -> None:
    rows = np.array([[5.0, 4.0], [3.0, np.nan]])
    parts = TINY.contributions(rows)
    ordered, alone = (parts[:, 0] - parts[:, 1])[:, :-1], parts[:, 0, :-1]
    # (5 - 3) / 2 * (1 - -1); (4 - 2) * 0.5 and no mark: -1 * 0.25. Missing: no distance, and +1 * 0.25.
    assert ordered == pytest.approx(np.array([[2.0, 0.75], [0.0, 0.25]]))
    assert alone == pytest.approx(np.array([[1.0, 0.75], [0.0, 0.25]]))


def test_reasons_and_the_average_row_add_up_to_the_margins(students: Make, model: DenseModel) -> None:
    rows = students(missing=0.1).X
    parts = model.contributions(rows)
    assert parts.sum(axis=2) == pytest.approx(model.latent(rows), abs=1e-9)
    assert np.ptp(parts[..., -1], axis=0).max() == 0, "of all rows the same average one"


def test_what_helps_has_a_positive_effect_and_what_hurts_a_negative_one(
    students: Make, family: FamilyName
) -> None:
    data = students(n=800)
    model = learned(data, family).model()
    rows = np.repeat(data.X.mean(axis=0, keepdims=True), 2, axis=0).astype(np.float32)
    rows[:, 0], rows[:, 1] = (20, 0), (0, 29)  # many hours and no absences, then the other way round
    parts = model.contributions(rows)
    effects = parts[:, 0] - parts[:, -1]
    assert (effects[0, :2] > 0).all()
    assert (effects[1, :2] < 0).all()


def test_its_file_is_read_and_explained_without_xgboost_or_scikit_learn(tmp_path: Path) -> None:
    (tmp_path / "dense.json").write_bytes(TINY.to_bytes())
    done = subprocess.run([sys.executable, "-c", NO_XGBOOST, tmp_path], capture_output=True, text=True)
    assert read_model(tmp_path) == TINY
    assert done.stdout.strip() == "(1, 2, 3)", done.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"fills": (1.0,)},
        {"marked": (7,)},
        {"means": (3.0, float("nan"), 0.5)},
        {"scales": (2.0, 0.0, 0.5)},
        {"layers": ()},
        {"layers": TINY.layers * 2},
        {"layers": ({"weights": ((1.0,), (1.0, 2.0), (1.0,)), "biases": (0.0,)},)},
        {"secret": 1},
    ],
)
def test_numbers_that_do_not_fit_together_are_no_model(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DenseModel.model_validate({**TINY.model_dump(), **change})


def by_days(n: int, seed: int) -> tuple[TrainingData, np.ndarray]:
    """Make rows of many days on which absences come to matter and hours cease to; and the true shares."""
    data = make_students(n, seed, kind="softmax", missing=0.05)
    days = np.random.default_rng(seed).choice([0.0, 30.0, 90.0, 200.0], n).astype(np.float32)
    late = days / 200
    rows = np.nan_to_num(data.X, nan=10.0).astype(float)
    worth = (rows[:, 0] - 10) / 5 * (1 - late) - (rows[:, 1] - 15) / 5 * late**2
    shares = np.exp(np.column_stack([worth, 0 * worth, -worth]))
    shares /= shares.sum(axis=1, keepdims=True)
    y = (shares.cumsum(axis=1) > np.random.default_rng(seed + 1).random((n, 1))).argmax(axis=1)
    named = {"X": np.column_stack([days, data.X]), "y": y, "names": ("as_of", *data.names)}
    return replace(data, **named, monotone=(0, *data.monotone), groups=tuple((k,) for k in range(5))), shares


def loss_of(model: DenseModel, data: TrainingData) -> float:
    shares = OrdinalLink("softmax", (), 1.0).probabilities(model.latent(data.X))
    return float(row_losses(shares, data.y).mean())


def logistic(data: TrainingData, *, by_day: bool) -> DenseModel:
    learner = DenseLearner(data, data.X[:0], "logistic", {"C": 1.0, "by_day": by_day}, 0)
    learner.fit(1)
    return learner.model()


def test_what_a_column_says_may_change_from_day_to_day() -> None:
    (data, _), (new, truth) = by_days(8_000, 1), by_days(8_000, 5)
    plain, daily = (logistic(data, by_day=on) for on in (False, True))
    best = float(row_losses(truth, new.y).mean())
    assert loss_of(daily, new) < best + 0.02
    assert loss_of(plain, new) > best + 0.1

    model, link = daily, OrdinalLink("softmax", (), 0.8)
    session = open_session(export(model, link).SerializeToString())
    assert parity(model, link, session, new.X[:300]) <= TOLERANCE / 10
    effects = model.contributions(new.X[:300])
    assert effects.shape == (300, 3, 6)
    assert effects.sum(axis=2) == pytest.approx(model.latent(new.X[:300]), abs=1e-9)


def test_without_days_nothing_can_change_from_day_to_day(students: Make) -> None:
    data = students()
    plain, daily = (logistic(data, by_day=on) for on in (False, True))
    assert plain == daily
