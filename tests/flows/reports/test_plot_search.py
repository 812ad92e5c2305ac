"""The plot of the candidates has a place for each family, and for each depth of its trees."""

from dataclasses import replace

import pandas as pd

from data.contract.contract import Contract
from flows.reports.plots import candidates
from tests.flows.reports.evidences import grade_evidence

BOARD = pd.DataFrame(
    {
        "family": ["neural", "xgboost", "xgboost", "catboost", "logistic"],
        "max_depth": [None, 2, 1, None, None],
        "depth": [None, None, None, 3, None],
        "rounds": [50, 200, 100, 300, 1],
        "cv_log_loss": [0.42, 0.39, 0.38, 0.4, 0.41],
        "cv_log_loss_std": 0.01,
    }
)


def places(board: pd.DataFrame, contract: Contract) -> list[str]:
    """Return what stands under the plot, from left to right."""
    drawn = candidates(replace(grade_evidence(contract, 100), candidates=board))
    return [label.get_text().replace("\n", " ") for label in drawn.axes[0].get_xticklabels()]


def test_each_family_and_each_depth_of_its_trees_has_its_place(grade_class: Contract) -> None:
    assert places(BOARD, grade_class) == [
        "XGBoost depth 1",
        "XGBoost depth 2",
        "CatBoost depth 3",
        "logistic regression",
        "neural network",
    ]


def test_a_leaderboard_of_before_there_were_families_is_xgboosts(grade_class: Contract) -> None:
    old = BOARD[1:3].drop(columns=["family", "depth"])

    assert places(old, grade_class) == ["XGBoost depth 1", "XGBoost depth 2"]
