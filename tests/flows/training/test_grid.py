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
FAMILY = "families:\n- {max_depth: [1, 2], learning_rate: 0.1, n_estimators: [50, 100]}\n"


def of(family: str) -> str:
    """Return a grid of one family."""
    return f"families:\n- {family}\n"


def test_the_wide_grid_holds_every_combination_beside_the_shallow_ones() -> None:
    wide, default = load_grid("wide"), load_grid("default")
    shallow = [fit for fit in default.fits() if fit.params.get("head") == "own" and "max_depth" in fit.params]
    assert wide.size() == 432 + len(shallow)
    assert all(fit in wide.fits() for fit in shallow)


def test_the_default_grid_pools_xgboost_and_the_families_that_beat_it_somewhere() -> None:
    default = load_grid("default")
    assert default.pool
    assert default.fits()[0].family == "xgboost"
    assert {fit.family for fit in default.fits()} == {"xgboost", "catboost", "logistic", "linear"}
    assert {fit.params["head"] for fit in default.fits() if fit.family == "xgboost"} == {
        *("own", "ordinal", "softmax")
    }


def test_rounds_are_checkpoints_of_one_fit_and_a_family_that_is_not_named_is_xgboost(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ONE_OF_EACH)
    grid = load_grid(tmp_path / "mine.yaml")
    fits = grid.fits()
    assert [fit.family for fit in fits] == ["xgboost", *["catboost"] * 2, *["logistic"] * 3, "neural"]
    assert [fit.rounds for fit in fits[::3]] == ["n_estimators", None, "epochs"]
    assert [fit.checkpoints for fit in fits[:2]] == [(50, 100), (80,)]
    assert [fit.params["depth"] for fit in fits[1:3]] == [1, 2]
    assert all("family" not in fit.params for fit in fits)
    assert grid.size() == 2 + 2 + 3 + 2


def test_a_grid_read_back_from_its_own_words_is_the_same() -> None:
    grid = load_grid("families")
    assert Grid.model_validate(grid.model_dump(mode="json")) == grid
    assert {one.family for one in grid.families} == {"xgboost", "catboost", "logistic", "neural"}


def test_an_unknown_grid_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(BadInput, match=r"no grid 'huge'.*dated, default, families, wide"):
        load_grid("huge")
    with pytest.raises(BadInput, match=r"there is no grid 'a{60}…'\. Name one of: dated"):
        load_grid(5000 * "a")  # a name that no file can have


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (FAMILY.replace("0.1", "1.5"), "families 1, learning_rate 1: .*less than or equal to 1"),
        (FAMILY.replace("0.1", "fast"), "families 1, learning_rate 1: .*valid number"),
        (FAMILY.replace("[1, 2]", "[]"), "families 1, max_depth: .*at least 1 item"),
        (FAMILY.replace("max_depth", "maxdepth"), "families 1, maxdepth: Extra inputs"),
        ("families: []", "families: .*at least 1 item"),
        (FAMILY.replace("0.1", "0"), "families 1, learning_rate 1: .*greater than or equal to 0.000000001"),
        (
            FAMILY.replace("0.1", "0.1, gamma: .inf"),
            "families 1, gamma 1: .*less than or equal to 10+",
        ),
        (
            FAMILY.replace("0.1", "0.1, gamma: 1.0e+308"),
            "families 1, gamma 1: .*less than or equal to 10+",
        ),
        (FAMILY.replace("[1, 2]", "010"), "line 2: '010' would be read as 8; write a plain decimal number"),
        (FAMILY.replace("[1, 2]", 5000 * "9"), "line 2: '9+…' cannot be read as a whole number"),
        (FAMILY.replace("[1, 2]", 900 * "[" + 900 * "]"), "line 2: nested more than 20 deep"),
        (FAMILY.replace("0.1", "0.1, max_depth: 3"), "line 2: 'max_depth' is there twice"),
        ("#" + 500_000 * "x", "it is larger than 500 kB"),
        ("families: [", "line 1: .*Mend the YAML there"),
        ("just words", "valid dictionary"),
        (
            of("{family: forest, C: 1}"),
            "families 1: family must be xgboost .*catboost, logistic, linear or neural",
        ),
        (of("{family: [logistic], C: 1}"), "families 1: family must be xgboost"),
        (of("{family: logistic, C: 0}"), "families 1, C 1: .*greater than or equal to 0"),
        (of("{family: logistic, C: 1, max_depth: 2}"), "families 1, max_depth: Extra inputs"),
        (of("{family: logistic, C: 1, patience: 5}"), "families 1, patience: "),
        (of("{family: catboost, learning_rate: 0.1, iterations: 9}"), "families 1, depth: Field required"),
        (
            of("{family: catboost, depth: 9, learning_rate: 0.1, iterations: 9}"),
            "families 1, depth 1: .*less than or equal to 8",
        ),
        (of("{family: neural, hidden_units: 1000, epochs: 9}"), "families 1, hidden_units 1: .*equal to 256"),
    ],
)
def test_a_wrong_grid_names_its_file_and_field(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=f"mine.yaml: .*{complaint}"):
        load_grid(path)
