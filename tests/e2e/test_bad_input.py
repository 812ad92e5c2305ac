"""Bad input: one readable message, exit 2, and nothing changed."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from data.cohorts import grades as cohort
from tests.e2e import state
from tests.e2e.conftest import Run

pytestmark = pytest.mark.e2e
CONTRACT = Path(__file__).parents[2] / "data" / "contract" / "grade_class.yaml"
Make = Callable[[Path], Path]


def students() -> pd.DataFrame:
    return cohort.generate(60, seed=1)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def no_such_file(place: Path) -> Path:
    return place / "nothing.csv"


def text_in_a_number(place: Path) -> Path:
    frame = students().astype({"Absences": object})
    frame.loc[12, "Absences"] = "many"
    return written(place / "text.csv", frame.to_csv(index=False))


def one_class_only(place: Path) -> Path:
    return written(place / "one.csv", cohort.generate(400).query("GradeClass == 4").to_csv(index=False))


FILES: dict[Make, str] = {
    no_such_file: "nothing.csv: there is no such file. Check the path",
    text_in_a_number: "text.csv, row 14, column Absences: 'many' is not a number. Put a number there",
    one_class_only: "one.csv: Every row is of the class F: there is nothing to tell apart. Give rows of",
}


@pytest.mark.parametrize("make", FILES)
def test_a_bad_file_is_named_with_a_remedy_and_nothing_is_changed(
    tmp_path: Path, run: Run, make: Make
) -> None:
    home, place = tmp_path / "home", tmp_path / "place"
    home.mkdir()
    place.mkdir()
    ended = run(home, data=make(place))
    assert_refused(ended.code, ended.told, FILES[make])
    assert state.listing(home) == {}


def assert_refused(code: int, told: str, says: str) -> None:
    assert code == 2, told
    assert "Traceback" not in told
    (message,) = [line for line in told.splitlines() if line.startswith("Bad input")]
    assert says in message


def a_wrong_contract(place: Path) -> Path:
    text = CONTRACT.read_text().replace(
        "title: Absences\n    kind: integer", "title: Absences\n    kind: whole"
    )
    return written(place / "school.yaml", text)


def an_unknown_contract(place: Path) -> Path:
    return Path("no_such_contract")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            an_unknown_contract,
            "no contract 'no_such_contract'. Name one of: after_school, exam_scores, grade_class",
        ),
        (
            a_wrong_contract,
            "line 42: columns.Absences.kind: give one of 'number', 'integer', 'boolean',",
        ),
    ],
)
def test_a_bad_contract_is_named_with_its_line_and_nothing_is_changed(
    tmp_path: Path, run: Run, make: Make, says: str
) -> None:
    home, place = tmp_path / "home", tmp_path / "place"
    place.mkdir()
    ended = run(home, "--contract", str(make(place)))
    assert_refused(ended.code, ended.told, says)
    assert not home.exists()


def test_a_bad_grid_is_named_and_nothing_is_changed(tmp_path: Path, run: Run) -> None:
    grid = written(tmp_path / "grid.yaml", "families: [{max_depth: 99, learning_rate: 0.1, n_estimators: 5}]")
    ended = run(tmp_path / "home", "--grid", str(grid))
    assert_refused(ended.code, ended.told, "families 1, max_depth")
    assert not (tmp_path / "home").exists()
