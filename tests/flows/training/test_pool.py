"""Several families pooled: whose share is how large, and one model of them all."""

from dataclasses import replace

import numpy as np
import pytest

from data.bundle.bundle import open_session
from data.bundle.manifest import FamilyName
from data.bundle.models import PoolModel, open_model
from data.bundle.reasons import _of_forecast
from data.errors import BadInput
from flows.reports.evidence import chosen_and_baselines, lines_of
from flows.training.data import TrainingData, stratified_folds
from flows.training.fit import Fitted, candidates_for, fit, search
from flows.training.grid import Grid
from flows.training.metrics import evaluate
from flows.training.onnx_export import TOLERANCE, export, parity
from flows.training.ordinal import Head
from flows.training.pool import OutOfFold, weights_of
from flows.training.pool import pooled as pooled_candidates
from tests.flows.training.conftest import grid_of
from tests.flows.training.students import Make

N = 900


def forecasts(sharp: tuple[float, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return what forecasts that know so much of the truth gave what came (N, M), and what came (N,)."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet([0.6, 0.6, 0.6], N)
    y = (rng.random((N, 1)) > truth.cumsum(axis=1)[:, :2]).sum(axis=1)
    given = [know * truth[np.arange(N), y] + (1 - know) / 3 for know in sharp]
    return np.column_stack(given), y


def test_the_better_forecast_has_the_larger_share_and_the_shares_add_up() -> None:
    own, _ = forecasts((0.95, 0.3, 0.1))
    weights = weights_of(own, N)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0.6 > 0.3 > weights[1:].max()
    assert weights[2] >= 100 / 3 / (N + 100) - 1e-9


def test_of_few_students_the_shares_stay_near_equal_and_alike_ones_are_equal() -> None:
    own, _ = forecasts((0.9, 0.5))
    assert np.ptp(weights_of(own[:20], 20)) < np.ptp(weights_of(own, N))
    assert weights_of(own[:, [0, 0, 0]], N) == pytest.approx(1 / 3)


def test_several_rows_of_a_student_are_one_student() -> None:
    own, _ = forecasts((0.9, 0.5))
    assert weights_of(np.repeat(own, 5, axis=0), N) == pytest.approx(weights_of(own, N), abs=1e-6)


def candidate(family: FamilyName, margins: np.ndarray, losses: float) -> tuple[dict[str, str], OutOfFold]:
    head = Head(1.0, np.empty(0), 0.0, np.full(3, 1e-4))
    return {"name": family}, OutOfFold(family, 1, head, losses, margins, np.empty((len(margins), 0)))


@pytest.mark.parametrize(
    ("sharp", "names"),
    [
        ({"xgboost": 1.0, "logistic": 0.0}, ["xgboost"]),
        ({"logistic": 1.0, "xgboost": 0.0}, ["xgboost", "logistic"]),
        ({"catboost": 1.0, "xgboost": 1.0, "logistic": -1.0}, ["xgboost", "catboost"]),
    ],
    ids=["alone", "xgboost stays", "who says nothing leaves"],
)
def test_xgboost_is_always_in_it_and_first_and_alone_where_it_has_nearly_all(
    students: Make, sharp: dict[FamilyName, float], names: list[str]
) -> None:
    data = students(n=3_000)
    truth = np.eye(3)[data.y]
    given = [candidate(name, 4 * know * truth, 1 - know) for name, know in sharp.items()]
    members = pooled_candidates(given, data)
    assert [one.out_of_fold.family for one in members] == names
    assert sum(one.weight for one in members) == pytest.approx(1)


def test_a_pool_is_one_graph_that_answers_as_its_members_do_together(pooled: Fitted, students: Make) -> None:
    X = students(n=400, seed=9, missing=0.2).X
    X[0] = np.nan
    session = open_session(export(pooled.model, pooled.link).SerializeToString())
    assert isinstance(pooled.model, PoolModel)
    assert pooled.model.members[0].family == "xgboost"
    assert parity(pooled.model, pooled.link, session, X) <= TOLERANCE
    again = open_model("pool.json", pooled.model.to_bytes())
    assert np.array_equal(again.latent(X), pooled.model.latent(X))


def test_a_pool_loses_to_none_of_its_members_and_is_the_leaderboards_first_line(
    pooled: Fitted, students: Make
) -> None:
    board = pooled.leaderboard
    own = board.loc[board["family"] == "pool", "cv_log_loss"].item()
    assert own <= board["cv_log_loss"].min() + 0.003
    assert evaluate(pooled.oof_probabilities, students().y)["log_loss"] == pytest.approx(own, abs=0.05)
    (line,) = [line for line in lines_of(chosen_and_baselines(board)) if line.chosen]
    assert line.log_loss == own
    assert pooled.params["pool"].startswith("XGBoost ")
    assert pooled.notes[0].startswith("Pooled, each by its share of the forecast: XGBoost ")


def test_the_same_seed_gives_the_same_pool(students: Make) -> None:
    grid = grid_of("xgboost", "logistic").model_copy(update={"pool": True})
    one, two = (fit(students(), grid, seed=0, folds=3, jobs=jobs, baselines=False) for jobs in (1, 2))
    assert one.model.to_bytes() == two.model.to_bytes()
    assert one.link == two.link


def test_reasons_of_a_pool_lead_from_the_average_students_forecast_to_this_ones(
    pooled: Fitted, students: Make
) -> None:
    X = students(n=60, seed=3).X
    levels = np.array([0.0, 0.0, 100.0])
    head = {"base": pooled.link.base}
    effects = _of_forecast(pooled.model, X, head, levels)
    risk = 100 * pooled.probabilities(X)[:, 2]
    start = risk - effects.sum(axis=1)
    assert np.ptp(risk) > 50
    assert np.ptp(start) < 0.05, "all start from one average student"


def test_heads_that_come_to_the_same_are_tried_once_and_a_score_is_needed_for_a_linear_one(
    students: Make,
) -> None:
    shallow = {"max_depth": 1, "learning_rate": 0.1, "n_estimators": 5, "head": ["own", "ordinal", "softmax"]}
    linear = {"family": "linear", "alpha": 1}
    grid = Grid.model_validate({"families": [shallow, linear]})
    tried = {kind: candidates_for(grid, students(kind=kind)) for kind in ("score", "ordinal", "softmax")}
    assert {kind: len(fits) for kind, fits in tried.items()} == {"score": 4, "ordinal": 2, "softmax": 1}
    with pytest.raises(BadInput, match="there is no score"):
        candidates_for(Grid.model_validate({"families": [linear]}), students(kind="ordinal"))


def test_when_the_budget_is_over_each_family_has_been_tried_once_and_it_is_said(students: Make) -> None:
    data = students()
    grid = Grid.model_validate(
        {
            "families": [
                {"max_depth": 1, "learning_rate": [0.1, 0.2, 0.3], "n_estimators": 20},
                {"family": "logistic", "C": [0.1, 1]},
            ]
        }
    )
    found = search(data, grid, stratified_folds(data, 3, 0), seed=0, jobs=1, baselines=False, budget=0.0)
    assert found.leaderboard["family"].value_counts().to_dict() == {"xgboost": 1, "logistic": 1}
    (note,) = found.notes
    assert note.startswith("The search's budget of 0 s was over: 3 of 5 settings of the grid were not tried")


def test_where_a_linear_rule_made_the_score_the_pool_is_as_good_as_the_linear_model(students: Make) -> None:
    def without_bends(data: TrainingData) -> TrainingData:
        score = data.X[:, 0] / 20 - data.X[:, 1] / 30 + np.random.default_rng(1).normal(0, 0.2, len(data.y))
        return replace(data, score=score, y=(score[:, None] < [0.3, -0.2]).sum(axis=1), bounds=(0.3, -0.2))

    train, new = without_bends(students(n=400)), without_bends(students(n=3_000, seed=5))
    grids = [grid_of("linear"), grid_of("xgboost"), grid_of("xgboost", "linear")]
    grids[2] = grids[2].model_copy(update={"pool": True})
    models = [fit(train, grid, seed=0, folds=3, baselines=False) for grid in grids]
    linear, boosted, pool = (evaluate(one.probabilities(new.X), new.y)["log_loss"] for one in models)
    assert linear < boosted
    assert pool < linear + 0.3 * (boosted - linear)
