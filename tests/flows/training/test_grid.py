from pathlib import Path

import pytest

from data.errors import BadInput
from flows.training.grid import load_grid

FAMILY = "families:\n- {max_depth: [1, 2], learning_rate: 0.1, n_estimators: [50, 100]}\n"


def test_the_wide_grid_holds_every_combination_beside_the_shallow_ones() -> None:
    wide, default = load_grid("wide"), load_grid("default")

    assert wide.size() == 432 + default.size()
    assert all(fit in wide.fits() for fit in default.fits())


def test_rounds_are_checkpoints_of_one_fit(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FAMILY)

    fits = load_grid(path).fits()

    assert [fit.checkpoints for fit in fits] == [(50, 100), (50, 100)]
    assert [fit.params["max_depth"] for fit in fits] == [1, 2]


def test_an_unknown_grid_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(BadInput, match=r"no grid 'huge'.*default, families, wide"):
        load_grid("huge")


def test_a_name_that_no_file_can_have_is_that_of_no_grid() -> None:
    with pytest.raises(BadInput, match=r"there is no grid 'a{60}…'\. Name one of: default"):
        load_grid(5000 * "a")


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
    ],
)
def test_a_wrong_grid_names_its_file_and_field(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)

    with pytest.raises(BadInput, match=f"mine.yaml: .*{complaint}"):
        load_grid(path)
