from typing import Any

import numpy as np
import pytest

from data.bundle.models import TreeModel
from data.errors import BadInput
from flows.training.boosters import Growing, refit
from flows.training.data import TrainingData
from flows.training.fit import Fitted, fit
from flows.training.grid import Grid
from flows.training.metrics import evaluate
from flows.training.search import OURS
from tests.flows.training.students import NOISE, Make


def test_each_kind_of_model_tells_the_classes_apart(fitted: Fitted, students: Make) -> None:
    new = students(n=1_000, seed=8)
    figures = evaluate(fitted.probabilities(new.X), new.y)

    assert figures["accuracy"] > 0.75
    assert figures["log_loss"] < 0.6


def test_the_noise_of_the_score_is_found(students: Make, small_grid: Grid) -> None:
    model = fit(students(n=1_500), small_grid, seed=0, folds=3, baselines=False)

    assert model.head.sigma == pytest.approx(NOISE, rel=0.15)


def test_the_same_seed_gives_the_same_model_in_one_process_or_two(students: Make, small_grid: Grid) -> None:
    one, two = (fit(students(), small_grid, seed=3, folds=3, jobs=jobs, baselines=False) for jobs in (1, 2))

    assert one.model.to_bytes() == two.model.to_bytes()
    assert one.head == two.head
    assert one.leaderboard.drop(columns="seconds").equals(two.leaderboard.drop(columns="seconds"))


def test_the_leaderboard_holds_every_candidate_and_every_baseline(students: Make, small_grid: Grid) -> None:
    board = (model := fit(students(missing=0.05), small_grid, seed=0, folds=3)).leaderboard

    assert (board["model"] == OURS).sum() == small_grid.size() == 4
    assert set(board["model"]) - {OURS} == set(model.baselines)
    assert {"majority", "absences alone", "logistic regression"} < set(model.baselines)
    assert board["cv_log_loss"].is_monotonic_increasing
    assert board.iloc[-1]["model"] == "majority"
    assert np.isfinite(board[["cv_log_loss", "cv_accuracy", "cv_f1_macro"]].to_numpy()).all()


def test_progress_counts_every_piece_of_work_and_knows_the_lowest_log_loss(
    students: Make, small_grid: Grid
) -> None:
    seen: list[tuple[int, int, float | None]] = []
    model = fit(students(), small_grid, seed=0, folds=3, on_progress=lambda *told: seen.append(told))

    assert [told[:2] for told in seen] == [(done, 7) for done in range(1, 8)]
    assert seen[-1][2] == model.leaderboard.loc[model.leaderboard["model"] == OURS, "cv_log_loss"].min()


def test_the_chosen_candidate_is_the_one_of_the_lowest_log_loss(students: Make, small_grid: Grid) -> None:
    model = fit(students(), small_grid, seed=0, folds=3, baselines=False)
    best = model.leaderboard.iloc[0]

    assert model.params["max_depth"] == best["max_depth"]
    assert model.rounds == best["rounds"]
    assert isinstance(model.model, TreeModel)
    assert model.model.booster.num_boosted_rounds() == model.rounds
    pooled = evaluate(model.oof_probabilities, students().y)
    assert pooled["log_loss"] == pytest.approx(best["cv_log_loss"])


def test_a_checkpoint_takes_the_best_rounds_up_to_it_and_with_patience_growing_ends(students: Make) -> None:
    family = {"max_depth": 6, "learning_rate": 0.3, "n_estimators": [20, 300], "patience": 20}
    grid = Grid.model_validate({"families": [family]})

    stopped = fit(students(), grid, seed=0, folds=3, baselines=False).leaderboard
    whole = fit(students(), grid.without_patience(), seed=0, folds=3, baselines=False).leaderboard

    assert stopped["rounds"].max() < 100
    assert sorted(whole["rounds"]) == [20, 300]
    assert stopped["cv_log_loss"].min() <= whole["cv_log_loss"].min()


def test_a_model_without_a_score_or_an_order_says_so(fitted: Fitted) -> None:
    said = {"score": "trained on the score", "ordinal": "No score to train on", "softmax": "have no order"}

    assert said[fitted.kind] in fitted.notes[0]


def test_a_simpler_model_that_is_better_is_named_in_the_notes(students: Make) -> None:
    poor = Grid.model_validate({"families": [{"max_depth": 1, "learning_rate": 0.01, "n_estimators": 10}]})
    notes = fit(students(), poor, seed=0, folds=3).notes

    assert any(
        "logistic regression is better: its log loss less the chosen model's is -" in note for note in notes
    )


def test_a_large_set_is_tuned_on_a_sample_and_refitted_on_all(students: Make, small_grid: Grid) -> None:
    data = students(n=2_000)
    model = fit(data, small_grid, seed=0, folds=3, baselines=False, limit=600)

    assert len(model.tuned_on) == len(model.oof_probabilities) == pytest.approx(600, abs=2)
    assert "sample of 600 rows, refitted on all 2,000" in model.notes[1]
    assert evaluate(model.oof_probabilities, data.y[model.tuned_on])["accuracy"] > 0.75


def test_two_ordered_classes_without_a_score_are_learned(two_classes: TrainingData, small_grid: Grid) -> None:
    model = fit(two_classes, small_grid, seed=0, folds=3, baselines=False)

    assert evaluate(model.oof_probabilities, two_classes.y)["accuracy"] > 0.85


def test_a_class_too_small_for_the_folds_is_refused_before_anything_is_fitted(
    students: Make, small_grid: Grid
) -> None:
    data = students(n=60)

    with pytest.raises(BadInput, match="2 a fold"):
        fit(data, small_grid, seed=0, folds=20)


def test_xgboost_is_refitted_by_whoever_is_asked_to(students: Make, small_grid: Grid) -> None:
    asked: list[int] = []

    def elsewhere(data: TrainingData, params: Any, rounds: int, seed: int, threads: int = 1) -> Growing:
        asked.append(rounds)
        return refit(data, params, rounds, seed, threads)

    here = fit(students(), small_grid, seed=3, folds=3, baselines=False)
    there = fit(students(), small_grid, seed=3, folds=3, baselines=False, grow=elsewhere)

    assert asked == [here.rounds]
    assert there.model.to_bytes() == here.model.to_bytes()
