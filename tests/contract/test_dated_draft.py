"""`infer` recognises dated tables, and what it proposes loads and runs as it stands."""

import re
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from data.cohorts.school_year import tables
from data.contract.__main__ import main
from data.contract.contract import Contract, load_contract
from data.errors import BadInput
from data.intake.check import check
from data.intake.dated_draft import draft_tables
from tests.contract.dated_world import Tables, as_dates, snapshots, some_tables, written
from tests.contract.test_snapshots import STARTS


@pytest.fixture(scope="module")
def year() -> Tables:
    return tables(300, seed=4)


@pytest.fixture(scope="module")
def folder(year: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(written(year, tmp_path_factory.mktemp("year")))


@pytest.fixture(scope="module")
def drafted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("draft") / "mine.yaml"
    assert main(["infer", str(folder), "--target", "final_grade", "--output", str(file)]) == 0
    return file


def test_the_student_table_keys_days_and_joins_of_a_school_year_are_found(drafted: Path) -> None:
    dated = load_contract(drafted).dated
    assert dated is not None
    assert (dated.students, dated.key) == ("students", ("student_no",))
    assert (dated.present.since, dated.present.until) == ("enrolled", "left")
    assert dated.cohort is not None
    assert dated.cohort.column == "school_year"
    known = {name: table.known for name, table in dated.tables.items() if table.known}
    assert known == {"attendance": "known", "marks": "known", "work": "handed_in", "tasks_dated": "due"}
    assert dated.tables["work"].join == {"tasks": ("task",)}
    assert dated.tables["tasks_dated"].key == ("course",)


def test_what_was_due_and_never_handed_in_is_proposed_and_no_outcome_is_a_feature(drafted: Path) -> None:
    contract = load_contract(drafted)
    assert contract.taken["work_open"].formula == "tasks_dated_so_far - work_so_far"
    features = {column.name for column in contract.features}
    assert {"attendance_sum_days", "marks_mean_mark", "course"} <= features
    assert not {"left", "final_score", "school_year", "student_no"} & features


def test_the_draft_takes_snapshots_and_keeps_itself(drafted: Path, folder: Path) -> None:
    found = snapshots(str(folder), load_contract(drafted))
    assert found.groupby("as_of").size().min() > 100
    assert [line for line in check(str(folder), str(drafted)).problems if "class " not in line] == []


def test_each_guess_is_marked_and_says_what_it_rests_on(drafted: Path) -> None:
    text = drafted.read_text(encoding="utf-8")
    assert "# guess: a row is known from handed_in on: is that when it was entered?" in text
    assert text.count("# guess") > 15


def test_a_zip_is_drafted_as_its_folder_is(folder: Path, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "year"), "zip", folder))
    assert zipfile.is_zipfile(packed)
    both = [draft_tables(one, "final_grade", "mine").text for one in (packed, folder)]
    assert both[0].replace(str(packed), str(folder)) == both[1]
    assert f"# Then: .venv/bin/python -m data.contract check {folder} --contract THIS_FILE" in both[1]


def test_dates_are_counted_from_the_start_that_a_table_says(tmp_path: Path) -> None:
    one = some_tables()
    many = {name: pd.concat([table.assign(course=table["course"] + str(n)) for n in range(30)])
            for name, table in one.items()}  # fmt: skip
    starts = [STARTS[n % 2] for n in range(60)]
    draft = draft_tables(Path(written(as_dates(many, starts), tmp_path)), "grade")
    assert "start: began" in draft.text


def contract_in(text: str, folder: Path) -> Contract:
    file = folder / "draft.yaml"
    file.write_text(text, encoding="utf-8")
    return load_contract(file)


def test_the_tables_of_oulad_are_drafted_whole(tmp_path: Path) -> None:
    oulad = Path(__file__).parents[3] / "shared" / "data" / "oulad"
    if not oulad.is_dir():
        pytest.skip("the OULAD tables are not beside the project")
    dated = contract_in(draft_tables(oulad, "final_result").text, tmp_path).dated
    assert dated is not None
    assert dated.key == ("code_module", "code_presentation", "id_student")
    assert dated.person == "id_student"
    assert dated.present.until == "date_unregistration"
    assert dated.tables["studentAssessment"].known == "date_submitted"
    assert dated.tables["assessments_dated"].key == ("code_module", "code_presentation")


def test_what_cannot_be_drafted_is_said_with_what_is_there(year: Tables, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no table has the column 'result'. There are: attendance.csv"):
        draft_tables(Path(written(year, tmp_path)), "result")
    twice = {**year, "students": pd.concat([year["students"], year["students"].head(1)])}
    with pytest.raises(BadInput, match=r"students.csv: nothing names each student once. Columns that other"):
        draft_tables(Path(written(twice, tmp_path)), "final_grade")
    day = re.compile("known|written|week_from|handed_in|due")
    undated = {
        name: table.rename(columns=lambda column: day.sub(lambda found: f"x{len(found[0])}", column))
        for name, table in year.items()
    }
    with pytest.raises(BadInput, match="no table has days and says whose its rows are"):
        draft_tables(Path(written(undated, tmp_path / "undated")), "final_grade")
