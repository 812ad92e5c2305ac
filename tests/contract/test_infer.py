"""`python -m data.contract infer` drafts a contract that holds, and marks each guess as one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohorts import after_school as cohort_after_school
from data.cohorts import exams as cohort_exam
from data.cohorts import grades as cohort
from data.contract.__main__ import main
from data.contract.columns import Kind, Role
from data.contract.contract import Contract
from data.errors import BadInput
from data.intake.draft import draft_contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from tests.contract.files import read_records
from tests.contract.tiny import contract_of


def roles(contract: Contract, role: Role) -> set[str]:
    return {column.name for column in contract.columns.values() if column.role is role}


def drafted(frame: pd.DataFrame, target: str, tmp_path: Path) -> tuple[Contract, str]:
    path = tmp_path / "school year.csv"
    frame.to_csv(path, index=False)
    text = draft_contract(path, target).text
    return contract_of(text), text


def keeps(path: Path, contract: Contract) -> bool:
    frame = parse(read_records(str(path), contract).frame, contract)
    return len(quarantine(frame, contract)[1]) == 0


def test_the_real_grades_are_drafted_much_as_their_contract_has_them(
    real_grades: Path, grade_class: Contract
) -> None:
    contract = contract_of(draft_contract(real_grades, "GradeClass").text)
    for name, column in grade_class.columns.items():
        drafted_column = contract.columns[name]
        if column.role is not Role.AUDIT:
            assert (drafted_column.kind, drafted_column.role) == (column.kind, column.role), name
    assert contract.columns["Ethnicity"].role is Role.AUDIT
    assert contract.target.bounds == grade_class.target.bounds
    assert contract.target.at_risk == ("4",)
    assert contract.rule_of_thumb == "Absences"


def test_earlier_marks_of_the_real_courses_are_guessed_to_be_leaks_with_their_evidence(
    real_courses: Path,
) -> None:
    text = draft_contract(real_courses, "G3").text
    contract = contract_of(text)
    assert roles(contract, Role.LEAK) == {"G1", "G2"}
    assert roles(contract, Role.SCORE) == {"G3"}
    assert roles(contract, Role.AUDIT) == {"sex"}
    assert "# guess: leak: named like the target, and alone it tells the class of" in text
    assert "put the bound that your school uses" in text
    assert keeps(real_courses, contract)


def test_text_levels_missing_cells_and_names_with_spaces_are_drafted(tmp_path: Path) -> None:
    contract, _ = drafted(cohort_exam.generate(400), "math score", tmp_path)
    assert contract.name == "school_year"
    assert contract.target.derive == "at_least"
    assert roles(contract, Role.AUDIT) == {"gender", "race/ethnicity"}
    assert contract.columns["lunch"].kind is Kind.NOMINAL
    assert keeps(tmp_path / "school year.csv", contract)
    contract, _ = drafted(cohort_after_school.generate(400), "next_step", tmp_path)
    assert not contract.target.ordered
    assert contract.columns["student_code"].role is Role.ID
    assert {c.name for c in contract.features if c.nullable} == {"maths_mark", "interest"}
    assert keeps(tmp_path / "school year.csv", contract)


def test_every_guess_is_marked(tmp_path: Path) -> None:
    contract, text = drafted(cohort.generate(300), "GradeClass", tmp_path)
    lines = text.splitlines()
    for name in contract.columns:
        place = next(n for n, line in enumerate(lines) if line.startswith(f"  {name}:"))
        assert lines[place - 1].startswith("  # guess: "), name


def test_classes_written_the_other_way_round_are_turned_to_best_first(tmp_path: Path) -> None:
    frame = cohort.generate(500)
    frame["GradeClass"] = 4 - frame["GradeClass"]
    contract, _ = drafted(frame, "GradeClass", tmp_path)
    assert list(contract.target.classes) == [4, 3, 2, 1, 0]
    assert contract.target.at_risk == ("0",)


def test_columns_that_cannot_be_used_are_left_out_and_say_why(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = cohort.generate(200).assign(
        school="North",
        note=[f"note {n % 90}" for n in range(200)],
        Row=range(200),
        quarantine="x",
        town=rng.choice(["Oslo", "oslo", "Bergen"], 200),
    )
    contract, text = drafted(frame, "GradeClass", tmp_path)
    assert {"school", "note", "Row", "quarantine", "town"}.isdisjoint(contract.columns)
    assert "# school, left out: 1 value in 200 rows" in text
    assert "# note, left out: 90 different texts" in text
    assert "# Row, left out: it names each student as well as the id does" in text
    assert "# town, left out: some of its texts differ in capitals alone" in text


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["x"] * 60, "fewer than two values"),
        ([f"text {n}" for n in range(60)], "60 different texts are too many classes"),
    ],
)
def test_a_target_without_classes_is_refused(values: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=says):
        drafted(cohort.generate(60).assign(GradeClass=values), "GradeClass", tmp_path)


def test_a_file_in_which_nothing_can_be_a_feature_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no column of it can be a feature"):
        drafted(pd.DataFrame({"student": range(60), "grade": ["A", "B"] * 30}), "grade", tmp_path)


def test_the_command_writes_a_draft_once_and_names_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, draft = tmp_path / "a.csv", tmp_path / "a.yaml"
    cohort.generate(100).to_csv(file, index=False)
    asked = ["infer", str(file), "--target", "GradeClass", "--name", "ours", "--output", str(draft)]
    assert main(asked) == 0
    assert "guesses" in capsys.readouterr().out
    assert contract_of(draft.read_text()).name == "ours"
    assert main(asked) == 2
    assert "there is a file already" in capsys.readouterr().err
    assert main(["infer", str(file), "--target", "Grade"]) == 2
    assert "there is no column 'Grade'. There are: StudentID," in capsys.readouterr().err


def several_rows_a_student(text: bool) -> pd.DataFrame:
    """Four hundred students of whom half have two more rows, one a month, with other absences."""
    frame = cohort.generate(400, seed=5)
    first = frame.iloc[:200]
    later = [first.assign(Absences=(first["Absences"] + months) % 30) for months in (1, 2)]
    frame = pd.concat([frame, *later], ignore_index=True).drop(columns="GPA")
    return frame.assign(StudentID="s" + frame["StudentID"].astype(str)) if text else frame


@pytest.mark.parametrize("text", [True, False], ids=["text", "number"])
def test_an_id_that_students_share_between_their_rows_is_still_the_id_and_it_is_said(
    text: bool, tmp_path: Path
) -> None:
    frame = several_rows_a_student(text)
    frame.insert(0, "row_id", [f"r{n}" for n in range(len(frame))])
    contract, draft = drafted(frame, "GradeClass", tmp_path)
    assert contract.id is not None
    assert contract.id.name == "StudentID"
    assert contract.id.several
    assert "# guess: id, by its name: 400 of 800 rows are of a student who has an earlier row; those" in draft
    assert "# row_id, left out: it names each row, where StudentID names the student" in draft


def test_a_column_that_only_sounds_like_an_id_is_none_where_it_repeats(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    schools, students = rng.integers(1, 40, 800), rng.choice(["Yes", "No"], 800)
    frame = cohort.generate(800).assign(school_id=schools, student=students)
    contract, _ = drafted(frame, "GradeClass", tmp_path)
    assert contract.id is not None
    assert contract.id.name == "StudentID"
    assert contract.columns["school_id"].kind is Kind.INTEGER
    assert contract.columns["student"].kind is Kind.BOOLEAN


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The draft of two hundred students whose cells make sense."""
    return drafted(cohort.generate(200), "GradeClass", tmp_path_factory.mktemp("usual"))[0]


NUMBERS = ("Absences", "GPA", "ParentalSupport", "Music")


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        *((column, cell) for column in NUMBERS for cell in ("1e308", "1e20")),
        *zip(NUMBERS, ("-1e308", "1e39", "inf", "1e400"), strict=True),
    ],
)
def test_a_cell_beyond_any_sense_leaves_the_draft_of_its_column_as_it_is(
    column: str, cell: str, usual: Contract, tmp_path: Path
) -> None:
    frame = cohort.generate(200).astype({column: object})
    frame.loc[7, column] = cell
    contract, draft = drafted(frame, "GradeClass", tmp_path)
    if cell == "1e20":  # which a number can be
        assert contract.columns[column].limits[1] >= 1e20
    else:
        assert contract == usual
        assert "1 cells are beyond what a model reads: those rows will be set aside" in draft


@pytest.mark.parametrize("codes", [[0, 1], [1, 2], ["f", "m"], [True, False]], ids=str)
def test_gender_is_audited_by_its_name_however_it_is_written(codes: list[object], tmp_path: Path) -> None:
    frame = cohort.generate(400)
    frame["Gender"] = np.array(codes, dtype=object)[frame["Gender"].to_numpy()]
    contract, draft = drafted(frame.rename(columns={"Gender": "sex"}), "GradeClass", tmp_path)
    assert contract.columns["sex"].role is Role.AUDIT
    assert "audit, by its name: recorded for fairness, not seen by the model" in draft


def test_what_sounds_added_up_accumulates_and_says_that_it_is_a_guess(tmp_path: Path) -> None:
    frame = cohort.generate(300).drop(columns=["GPA", "StudentID"]).assign(Sessions=7)
    frame["Sessions"] = np.arange(300) % 23 + 1
    contract, text = drafted(frame, "GradeClass", tmp_path)
    assert [column.name for column in contract.accumulating] == ["Absences", "Sessions"]
    assert contract.columns["Sessions"].min == 0
    assert "# guess: accumulates, by its name" in text
    assert drafted(frame.assign(elapsed=np.arange(300) / 300), "GradeClass", tmp_path)[0].accumulating == ()
