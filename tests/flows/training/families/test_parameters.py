"""A grid file names its families, and a wrong one says which field and what is allowed."""

from pathlib import Path

import pytest

from data.errors import BadInput
from flows.training.grid import Grid, load_grid

ONE_OF_EACH = """
families:
- {max_depth: 1, learning_rate: 0.1, n_estimators: [50, 100]}
- {family: catboost, depth: [1, 2], learning_rate: 0.1, iterations: 80}
- {family: logistic, C: [0.1, 1, 10]}
- {family: neural, hidden_units: 8, epochs: [20, 40], patience: 10}
"""


def test_a_family_that_is_not_named_is_xgboost(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ONE_OF_EACH)

    fits = load_grid(tmp_path / "mine.yaml").fits()

    assert [fit.family for fit in fits] == [*["xgboost"], *["catboost"] * 2, *["logistic"] * 3, "neural"]
    assert [fit.rounds for fit in fits[::3]] == ["n_estimators", None, "epochs"]
    assert all("family" not in fit.params for fit in fits)


def test_each_family_counts_its_own_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ONE_OF_EACH)
    grid = load_grid(tmp_path / "mine.yaml")

    assert grid.size() == 2 + 2 + 3 + 2
    assert grid.without_patience().size() == grid.size()


def test_a_grid_read_back_from_its_own_words_is_the_same() -> None:
    grid = load_grid("families")

    assert Grid.model_validate(grid.model_dump(mode="json")) == grid
    assert {one.family for one in grid.families} == {"xgboost", "catboost", "logistic", "neural"}


def test_the_default_grid_is_xgboost_alone() -> None:
    assert {one.family for one in load_grid("default").families} == {"xgboost"}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{family: forest, C: 1}", "families 1: family must be xgboost .*catboost, logistic or neural"),
        ("{family: [logistic], C: 1}", "families 1: family must be xgboost"),
        ("{family: logistic, C: 0}", "families 1, C 1: .*greater than or equal to 0"),
        ("{family: logistic, C: 1, max_depth: 2}", "families 1, max_depth: Extra inputs"),
        ("{family: logistic, C: 1, patience: 5}", "families 1, patience: "),
        ("{family: catboost, learning_rate: 0.1, iterations: 9}", "families 1, depth: Field required"),
        (
            "{family: catboost, depth: 9, learning_rate: 0.1, iterations: 9}",
            "families 1, depth 1: .*less than or equal to 8",
        ),
        ("{family: neural, hidden_units: 1000, epochs: 9}", "families 1, hidden_units 1: .*equal to 256"),
    ],
)
def test_a_wrong_family_names_its_field_and_what_is_allowed(
    tmp_path: Path, line: str, complaint: str
) -> None:
    (tmp_path / "mine.yaml").write_text(f"families:\n- {line}\n")

    with pytest.raises(BadInput, match=f"mine.yaml: .*{complaint}"):
        load_grid(tmp_path / "mine.yaml")
