"""Every family goes through the same search, and the leaderboard says by how much each differs."""

from dataclasses import replace
from typing import Any

import pytest

from flows.reports.screen import chosen_and_baselines, compared_sentence, lines_of
from flows.training.data import TrainingData
from flows.training.fit import Fitted, fit
from flows.training.grid import Grid
from flows.training.metrics import evaluate
from flows.training.search import OURS, compared
from tests.flows.training.students import Make

FAMILIES: dict[str, dict[str, Any]] = {
    "xgboost": {"max_depth": 1, "learning_rate": 0.2, "n_estimators": 60},
    "catboost": {"family": "catboost", "depth": 2, "learning_rate": 0.2, "iterations": [30, 60]},
    "logistic": {"family": "logistic", "C": [0.1, 10]},
    "neural": {"family": "neural", "hidden_units": 6, "epochs": 60, "patience": 20},
}


def grid_of(*names: str) -> Grid:
    """Return a grid of these families."""
    return Grid.model_validate({"families": [FAMILIES[name] for name in names]})


@pytest.fixture(scope="module")
def mixed(students: Make) -> Fitted:
    """A model chosen from all families, its data with missing cells."""
    return fit(students(missing=0.05), grid_of(*FAMILIES), seed=0, folds=3)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", ["score", "ordinal", "softmax"])
def test_each_family_tells_the_classes_apart_with_shares_that_are_calibrated(
    students: Make, kind: str, name: str
) -> None:
    data, new = students(n=800, kind=kind, missing=0.03), students(n=1_000, seed=8)

    model = fit(data, grid_of(name), seed=0, folds=3, baselines=False)
    figures = evaluate(model.probabilities(new.X), new.y)

    assert model.family == name
    assert figures["accuracy"] > 0.75
    assert figures["log_loss"] < 0.6
    assert len(model.thresholds.least) == 3


@pytest.mark.parametrize("name", ["catboost", "logistic", "neural"])
def test_one_process_or_two_give_the_same_model(students: Make, name: str) -> None:
    one, two = (
        fit(students(), grid_of(name, "xgboost"), seed=3, folds=3, jobs=jobs, baselines=False)
        for jobs in (1, 2)
    )

    assert one.model.to_bytes() == two.model.to_bytes()
    assert one.leaderboard.drop(columns="seconds").equals(two.leaderboard.drop(columns="seconds"))


def test_the_leaderboard_holds_the_candidates_of_all_families(mixed: Fitted) -> None:
    board = mixed.leaderboard
    candidates = board[board["model"] == OURS]

    assert candidates["family"].value_counts().to_dict() == {
        "xgboost": 1,
        "catboost": 2,
        "logistic": 2,
        "neural": 1,
    }
    assert board.loc[board["model"] != OURS, "family"].isna().all()
    assert mixed.family == candidates.iloc[0]["family"]


def test_it_is_said_by_how_much_each_family_differs_from_xgboost(mixed: Fitted) -> None:
    said = [note for note in mixed.notes if "XGBoost's best" in note]
    best = mixed.leaderboard.groupby("family")["cv_log_loss"].min()

    assert len(said) == 3
    for name, title in (("catboost", "CatBoost"), ("logistic", "logistic regression")):
        away = best[name] - best["xgboost"]
        words = f"{abs(away):.4f} {'below' if away < 0 else 'above'} XGBoost's best"
        assert any(title in note and words in note for note in said)


def test_the_shown_leaderboard_has_a_line_for_the_best_of_each_family(mixed: Fitted) -> None:
    shown = chosen_and_baselines(mixed.leaderboard)
    names = [line.name for line in lines_of(shown)]

    assert names.count("Gradecast") == 1
    assert sum(name.endswith(", tuned") for name in names) == 3
    assert list(shown["log_loss"]) == sorted(shown["log_loss"])
    good = [line.name for line in lines_of(shown) if line.as_good]
    assert all(name in compared_sentence(shown) for name in good)


def test_a_family_as_good_as_the_chosen_one_is_named(students: Make) -> None:
    twins = [FAMILIES["logistic"], {**FAMILIES["neural"], "alpha": 0.5}]
    model = fit(students(n=150), Grid.model_validate({"families": twins}), seed=0, folds=3, baselines=False)

    board = model.leaderboard
    other = next(name for name in ("logistic", "neural") if name != model.family)
    (low,) = board.loc[board["family"] == other, "low"].dropna()

    assert (low <= 0) == any("the chosen model's is" in note for note in model.notes)
    assert not any("XGBoost's best" in note for note in model.notes)


def test_a_grid_of_one_family_compares_nothing(students: Make) -> None:
    board = fit(students(), grid_of("xgboost"), seed=0, folds=3, baselines=False).leaderboard

    assert compared(board) == []
    assert len(chosen_and_baselines(board)) == 1


def test_a_model_with_margins_says_so_of_itself(students: Make, two_classes: TrainingData) -> None:
    logistic = fit(students(), grid_of("logistic"), seed=0, folds=3, baselines=False)
    pair = fit(two_classes, grid_of("catboost"), seed=0, folds=3, baselines=False)
    unordered = replace(two_classes, ordered=False)

    assert (logistic.kind, logistic.head.kind) == ("softmax", "softmax")
    assert "no use of the order of the classes" in logistic.notes[0]
    assert (pair.kind, pair.head.kind) == ("ordinal", "probit")
    assert "log odds" in pair.notes[0]
    assert fit(unordered, grid_of("xgboost"), seed=0, folds=3, baselines=False).head.kind == "probit"
