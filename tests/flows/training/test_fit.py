"""The search and the refit: which model is chosen, on what, where; and what is said of it."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.bundle.models import TreeModel
from data.errors import BadInput
from flows.reports.evidence import chosen_and_baselines, compared_sentence, lines_of
from flows.training.data import TrainingData
from flows.training.families import Refitted, refit_booster
from flows.training.fit import Fitted, fit
from flows.training.grid import Grid
from flows.training.metrics import OURS, evaluate
from flows.training.ordinal import floor_of
from flows.training.telling import describe_leaderboard
from flows.training.work import run
from tests.flows.training.conftest import FAMILIES, Watched, grid_of
from tests.flows.training.students import NOISE, Make


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        (kind, family)
        for kind in ("score", "ordinal", "softmax")
        for family in FAMILIES
        if kind == "score" or family != "linear"
    ],
)
def test_each_family_tells_the_classes_apart_and_the_same_seed_gives_the_same_model(
    students: Make, kind: str, family: str
) -> None:
    data, new = students(n=500, kind=kind, missing=0.03), students(n=1_000, seed=8)
    model, again = (fit(data, grid_of(family), seed=0, folds=2, baselines=False) for _ in range(2))
    figures = evaluate(model.probabilities(new.X), new.y)
    assert model.family == family
    assert model.model.to_bytes() == again.model.to_bytes()
    assert figures["accuracy"] > 0.75
    assert figures["log_loss"] < 0.6


def test_the_noise_of_the_score_is_found(students: Make, small_grid: Grid) -> None:
    model = fit(students(n=1_500), small_grid, seed=0, folds=3, baselines=False)
    assert model.link.sigma == pytest.approx(NOISE, rel=0.15)


def test_the_same_seed_gives_the_same_model_in_one_process_or_two(mixed: Watched, students: Make) -> None:
    one = mixed.fitted
    two = fit(students(missing=0.05), grid_of(*FAMILIES), seed=0, folds=3, jobs=2)
    assert one.model.to_bytes() == two.model.to_bytes()
    assert one.link == two.link
    pd.testing.assert_frame_equal(
        one.leaderboard.drop(columns="seconds"), two.leaderboard.drop(columns="seconds"), check_exact=True
    )


def test_the_leaderboard_holds_every_candidate_and_every_baseline(mixed: Watched) -> None:
    board = mixed.fitted.leaderboard
    candidates = board[board["model"] == OURS]
    sizes = {"xgboost": 1, "catboost": 2, "logistic": 2, "linear": 1, "neural": 1}
    assert candidates["family"].value_counts().to_dict() == sizes
    assert board.loc[board["model"] != OURS, "family"].isna().all()
    assert {"majority", "absences alone", "logistic regression"} < set(board["model"])
    assert board["cv_log_loss"].is_monotonic_increasing
    assert board.iloc[-1]["model"] == "majority"
    assert np.isfinite(board[["cv_log_loss", "cv_accuracy", "cv_f1_macro"]].to_numpy()).all()


def test_progress_counts_every_piece_of_work_and_knows_the_lowest_log_loss(mixed: Watched) -> None:
    board = mixed.fitted.leaderboard
    assert [told[:2] for told in mixed.progress] == [(done, 11) for done in range(1, 12)]
    assert mixed.progress[-1][2] == board.loc[board["model"] == OURS, "cv_log_loss"].min()


def test_the_chosen_candidate_is_the_one_of_the_lowest_log_loss(fitted: Fitted, students: Make) -> None:
    said = {"score": "trained on the score", "ordinal": "No score to train on", "softmax": "have no order"}
    best = fitted.leaderboard.iloc[0]
    assert said[fitted.kind] in fitted.notes[0]
    assert fitted.params["max_depth"] == best["max_depth"]
    assert fitted.rounds == best["rounds"]
    assert isinstance(fitted.model, TreeModel)
    assert fitted.model.booster.num_boosted_rounds() == fitted.rounds
    pooled = evaluate(fitted.oof_probabilities, students().y)
    assert pooled["log_loss"] == pytest.approx(best["cv_log_loss"])


def test_a_checkpoint_takes_the_best_rounds_up_to_it_and_with_patience_growing_ends(students: Make) -> None:
    family = {"max_depth": 6, "learning_rate": 0.3, "n_estimators": [20, 300]}
    grids = [Grid.model_validate({"families": [family | more]}) for more in ({"patience": 20}, {})]
    stopped, whole = (
        fit(students(n=200), grid, seed=0, folds=3, baselines=False).leaderboard for grid in grids
    )
    assert stopped["rounds"].max() < 100
    assert sorted(whole["rounds"]) == [20, 300]
    assert stopped["cv_log_loss"].min() < whole["cv_log_loss"].min() + 1e-6


def test_a_large_set_is_tuned_on_a_sample_and_refitted_on_all(students: Make, small_grid: Grid) -> None:
    data = students(n=2_000)
    model = fit(data, small_grid, seed=0, folds=3, baselines=False, limit=600)
    assert len(model.tuned_on) == len(model.oof_probabilities) == pytest.approx(600, abs=2)
    assert "sample of 600 rows, refitted on all 2,000" in model.notes[1]
    assert evaluate(model.oof_probabilities, data.y[model.tuned_on])["accuracy"] > 0.75


def test_a_class_too_small_for_the_folds_is_refused_before_anything_is_fitted(
    students: Make, small_grid: Grid
) -> None:
    with pytest.raises(BadInput, match="2 a fold"):
        fit(students(n=60), small_grid, seed=0, folds=20)


def test_xgboost_is_refitted_by_whoever_is_asked_to(students: Make) -> None:
    asked: list[int] = []

    def elsewhere(data: TrainingData, params: Any, rounds: int, seed: int, threads: int = 1) -> Refitted:
        asked.append(rounds)
        return refit_booster(data, params, rounds, seed, threads)

    here, there = (
        fit(students(n=200), grid_of("xgboost"), seed=3, folds=2, baselines=False, refit=refit)
        for refit in (refit_booster, elsewhere)
    )
    assert asked == [here.rounds]
    assert there.model.to_bytes() == here.model.to_bytes()


def board_of(*rows: tuple[str, str | None, float, float | None, float | None]) -> pd.DataFrame:
    """Return a leaderboard of model, family, log loss and the interval beside the chosen one."""
    board = pd.DataFrame(rows, columns=["model", "family", "cv_log_loss", "low", "high"])
    return board.assign(difference=board[["low", "high"]].mean(axis=1))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(OURS, "xgboost", 0.5, None, None), ("majority", None, 0.9, 0.3, 0.5)], []),
        (
            [("logistic regression", None, 0.4, -0.2, -0.1), (OURS, "xgboost", 0.5, None, None)],
            ["logistic regression is better: its log loss less the chosen model's is -0.1500 "],
        ),
        (
            [(OURS, "logistic", 0.5, None, None), (OURS, "neural", 0.51, -0.01, 0.03)],
            ["The best candidate of the family neural network cannot be told apart: its log loss less the "],
        ),
        (
            [(OURS, "catboost", 0.4, None, None), (OURS, "xgboost", 0.5, 0.1, 0.2)],
            ["The best candidate of the family CatBoost has a cross-validated log loss of 0.4000, 0.10"],
        ),
    ],
)
def test_what_is_not_worse_is_named_and_each_family_is_compared_with_xgboost(
    rows: list[tuple[str, str | None, float, float | None, float | None]], said: list[str]
) -> None:
    sentences = describe_leaderboard(board_of(*rows))
    assert len(sentences) == len(said)
    assert all(found.startswith(start) for found, start in zip(sentences, said, strict=True))


def test_the_shown_leaderboard_has_a_line_for_the_best_of_each_family(mixed: Watched) -> None:
    shown = chosen_and_baselines(mixed.fitted.leaderboard)
    names = [line.name for line in lines_of(shown)]
    assert sum("XGBoost's best" in note for note in mixed.fitted.notes) == 4
    assert names.count("Gradecast") == 1
    assert sum(name.endswith(", tuned") for name in names) == 4
    assert list(shown["log_loss"]) == sorted(shown["log_loss"])
    good = [line.name for line in lines_of(shown) if line.as_good]
    assert all(name in compared_sentence(lines_of(shown)) for name in good)


def test_a_model_with_margins_says_so_of_itself(students: Make, two_classes: TrainingData) -> None:
    logistic = fit(students(), grid_of("logistic"), seed=0, folds=3, baselines=False)
    pair = fit(two_classes, grid_of("catboost"), seed=0, folds=3, baselines=False)
    unordered = fit(replace(two_classes, ordered=False), grid_of("xgboost"), seed=0, folds=3, baselines=False)
    assert (logistic.kind, logistic.link.kind) == ("softmax", "softmax")
    assert "no use of the order of the classes" in logistic.notes[0]
    assert (pair.kind, pair.link.kind) == ("ordinal", "probit")
    assert "log odds" in pair.notes[0]
    assert unordered.link.kind == "probit"
    assert evaluate(unordered.oof_probabilities, two_classes.y)["accuracy"] > 0.85


WORK_FOR_EVER = """
import os, sys, time
from functools import partial
from pathlib import Path
from flows.training.work import run

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)

list(run([partial(work, sys.argv[1])] * 2, jobs=2))
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_piece_of_work_is_answered_under_its_number(jobs: int) -> None:
    answers = dict(run([partial(mul, n, n) for n in range(5)], jobs))
    assert answers == {n: n * n for n in range(5)}


def test_workers_end_in_the_middle_of_their_work_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", WORK_FOR_EVER, tmp_path], stderr=subprocess.DEVNULL)
    while len(workers := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        assert parent.poll() is None
        time.sleep(0.1)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(is_running(pid) for pid in workers):  # the suite's time limit ends this if they stay
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_what_no_forecast_goes_beyond_and_a_class_that_is_never_named_are_said(students: Make) -> None:
    data = students(n=600)
    rare = np.where(data.y == 1, np.random.default_rng(0).choice([0, 2], len(data.y)), data.y)
    rare[::50] = 1  # whoever they are
    model = fit(replace(data, y=rare, score=None), grid_of("xgboost"), seed=0, folds=3, baselines=False)
    shares, floor = model.probabilities(students(n=500, seed=4).X), floor_of(600, 3)
    assert shares.min() >= floor
    assert any(f"less than {floor:.3%}: 600 students" in note for note in model.notes)
    assert any("Never the likeliest class of a student: fair." in note for note in model.notes)


def test_whole_points_with_outliers_are_forecast_as_well_as_by_their_own_rule(students: Make) -> None:
    def points(data: TrainingData, seed: int) -> TrainingData:
        rng, score = np.random.default_rng(seed), np.floor(10 * np.asarray(data.score) + 0.5)
        score = np.where(rng.random(len(score)) < 0.02, rng.integers(0, 41, len(score)), score)
        return replace(data, score=score, y=(score[:, None] < [32, 26]).sum(axis=1), bounds=(32.0, 26.0))

    train, new = points(students(n=1_500), 1), points(students(n=4_000, seed=8), 2)
    model = fit(train, grid_of("xgboost"), seed=0, folds=3, baselines=False)
    plain = replace(model.link, cuts=(32.0, 26.0), base=())
    loss = evaluate(model.probabilities(new.X), new.y)["log_loss"]
    assert loss < evaluate(plain.probabilities(model.model.latent(new.X)), new.y)["log_loss"] - 0.02
    assert any("whatever their record says" in note for note in model.notes)


@pytest.mark.parametrize(("head", "kind"), [("own", "score"), ("ordinal", "ordinal"), ("softmax", "softmax")])
def test_a_head_can_be_asked_for(students: Make, head: str, kind: str) -> None:
    family = {"max_depth": 1, "learning_rate": 0.2, "n_estimators": 40, "head": head}
    model = fit(students(), Grid.model_validate({"families": [family]}), seed=0, folds=2, baselines=False)
    assert (model.kind, model.params["head"]) == (kind, head)
