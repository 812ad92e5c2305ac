"""Processing: what becomes of records on disk, whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.errors import BadInput, Stopped
from flows.process import REPORT, check_bad_share, process_records
from flows.processing.chunks import examine_rows
from flows.processing.processed import QUARANTINE, Processed
from flows.settings import Settings
from flows.up import MAKE_REGISTRY
from tests.contract.files import read_records

pytestmark = pytest.mark.usefixtures("reports")


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A school's file of three hundred students, three of whom break the contract."""
    frame = cohort.generate(300, seed=3).astype({"Absences": object})
    frame.loc[4, "Absences"] = 99
    frame.loc[9, "Ethnicity"] = 7
    frame.loc[9, "Sports"] = np.nan
    frame.loc[20, "GradeClass"] = (frame.loc[20, "GradeClass"] + 1) % 5
    path = tmp_path_factory.mktemp("school") / "students.csv"
    frame.assign(Nickname="x").to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def of_school(reports: None, school: Path, settings: Settings, grade_class: Contract) -> Processed:
    """That file, processed."""
    return process_records(str(school), grade_class, settings)


def test_rows_that_break_the_contract_are_set_aside_and_counted_by_reason(of_school: Processed) -> None:
    counts = {"out of range": 1, "unknown code": 1, "missing": 1, "label contradicts score": 1}
    assert of_school.quarantined == counts
    assert (of_school.rows, of_school.clean) == (300, 297)
    assert of_school.train_rows + of_school.test_rows == 297
    assert of_school.undeclared == ("Nickname",)


def test_the_quarantine_names_each_row_as_a_spreadsheet_counts_with_its_reasons(of_school: Processed) -> None:
    table = pd.read_csv(of_school.folder / QUARANTINE)
    assert dict(zip(table["row"], table["quarantine"], strict=True)) == {
        6: "Absences: out of range",
        11: "Ethnicity: unknown code; Sports: missing",
        22: "GradeClass: label contradicts score",
    }
    assert table.loc[table["row"] == 6, "StudentID"].item() == 1005


def test_there_is_a_report_to_look_at_before_anything_is_trained(of_school: Processed) -> None:
    assert "<html" in (of_school.folder / REPORT).read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("cells", [["1e308", "1e308"], ["1e308", "-1e308"], ["3e38", "-3e38"]], ids=str)
def test_cells_beyond_any_sense_are_set_aside_and_do_not_end_the_report(
    cells: list[str], tmp_path: Path, settings: Settings, grade_class: Contract
) -> None:
    path = tmp_path / "huge.csv"
    frame = cohort.generate(100, seed=3).astype({"StudyTimeWeekly": object})
    frame.loc[[5, 6], "StudyTimeWeekly"] = cells
    frame.to_csv(path, index=False)
    processed = process_records(str(path), grade_class, settings)
    assert (processed.clean, processed.quarantined) == (98, {"out of range": 2})
    assert (processed.folder / REPORT).stat().st_size > 0


def test_later_rows_of_one_student_are_set_aside_and_the_stop_says_what_to_do(
    tmp_path: Path, settings: Settings, grade_class: Contract
) -> None:
    path = tmp_path / "months.csv"
    frame = cohort.generate(100, seed=3)
    pd.concat([frame, frame.assign(Absences=0)]).to_csv(path, index=False)
    processed = process_records(str(path), grade_class, settings)
    assert (processed.rows, processed.clean, processed.quarantined) == (200, 100, {"duplicate id": 100})
    with pytest.raises(Stopped, match=r"For duplicate id: rows of one student .*: keep one row of each"):
        check_bad_share(processed, settings.bad_row_limit)


def test_equal_records_are_processed_once_and_it_is_said(
    of_school: Processed, school: Path, tmp_path: Path, settings: Settings, grade_class: Contract
) -> None:
    assert not of_school.reused
    renamed = tmp_path / "renamed.csv"
    renamed.write_bytes(school.read_bytes())
    again = process_records(str(renamed), grade_class, settings)
    assert again.reused
    assert again.folder == of_school.folder
    assert again.source == str(renamed)


def test_a_student_stays_in_a_split_when_others_are_added(settings: Settings, grade_class: Contract) -> None:
    full = cohort.generate(400, seed=5).sample(frac=1, random_state=1)
    terms = grade_class, "a file", settings.id_key, settings.test_share
    parts = (part.reset_index(drop=True) for part in (full.head(100), full))
    some, all_ = (examine_rows(part, 0, *terms)[0] for part in parts)
    before, after = (frame.set_index("StudentID")["split"] for frame in (some, all_))
    assert set(before) == {"train", "test"}
    assert before.equals(after.loc[before.index])


def test_examining_leaves_the_records_as_they_were(settings: Settings, grade_class: Contract) -> None:
    records = read_records("cohort://50", grade_class)
    before = records.frame.copy()
    examine_rows(records.frame, 0, grade_class, records.uri, settings.id_key, settings.test_share)
    pd.testing.assert_frame_equal(records.frame, before)


def test_the_gate_on_bad_rows_names_share_reasons_and_remedy(of_school: Processed) -> None:
    check_bad_share(of_school, 0.01)
    with pytest.raises(Stopped, match=r"1\.0% of the rows are bad, more .* 0% allowed: .*Sports missing .*"):
        check_bad_share(of_school, 0.004)


def test_a_source_that_cannot_be_read_leaves_nothing_behind(
    school: Path, tmp_path: Path, settings: Settings, grade_class: Contract
) -> None:
    cut = tmp_path / "cut.csv"
    pd.read_csv(school).drop(columns="Sports").to_csv(cut, index=False)
    empty = settings.model_copy(update={"home": tmp_path / "home"})
    with pytest.raises(BadInput, match="missing column Sports"):
        process_records(str(cut), grade_class, empty)
    assert not empty.home.exists()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("index < 2", "2 usable rows are fewer than 3 folds"),
        ("GradeClass == 4", "of the class F: there is nothing"),
    ],
)
def test_records_with_nothing_to_learn_are_refused_before_anything_is_written(
    tmp_path: Path, settings: Settings, grade_class: Contract, query: str, says: str
) -> None:
    path = tmp_path / "students.csv"
    cohort.generate(60).query(query).to_csv(path, index=False)
    empty = settings.model_copy(update={"home": tmp_path / "home"})
    with pytest.raises(BadInput, match=f"students.csv: .*{says}"):
        process_records(str(path), grade_class, empty)
    assert not [path for path in empty.home.rglob("*") if path.is_file() and path.name != ".lock"]


def test_too_many_bad_rows_stop_with_their_quarantine_though_too_few_are_left(
    tmp_path: Path, settings: Settings, grade_class: Contract
) -> None:
    path = tmp_path / "bad.csv"
    cohort.generate(50).assign(Absences=99).to_csv(path, index=False)
    processed = process_records(str(path), grade_class, settings)
    assert len(pd.read_csv(processed.folder / QUARANTINE)) == 50
    with pytest.raises(Stopped, match=r"100\.0% of the rows are bad.*Absences out of range \(50 rows\)"):
        check_bad_share(processed, settings.bad_row_limit)


def test_all_168_contradicting_labels_of_the_real_set_are_set_aside_and_no_other_row(
    real_grades: Path, settings: Settings, grade_class: Contract
) -> None:
    processed = process_records(str(real_grades), grade_class, settings)
    frame = processed.parsed(grade_class)
    assert set(processed.faults()["reason"]) == {"label contradicts score"}
    assert (frame["quarantine"] != "").sum() == 168
    assert frame.loc[frame["quarantine"] != "", "StudentID"].astype(int).min() >= 3177


def test_real_students_are_not_named_elsewhere_by_a_hash_that_anyone_can_repeat(
    school: Path, tmp_path: Path, grade_class: Contract
) -> None:
    remote, here = (f"postgresql+psycopg://gradecast@{host}/x" for host in ("db.school.example", "127.0.0.1"))
    with pytest.raises(BadInput, match=r"GRADECAST_ID_KEY .* db\.school\.example .*openssl rand"):
        process_records(str(school), grade_class, Settings(home=tmp_path, log_url=remote))
    assert not (tmp_path / "processed").exists()
    Settings(home=tmp_path, log_url=here).refuse_public_key()
    Settings(home=tmp_path, log_url=remote, id_key="the school's own").refuse_public_key()


def test_what_the_commands_write_is_nobody_elses_to_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-c", MAKE_REGISTRY]
    subprocess.run(command, env={**os.environ, "GRADECAST_HOME": str(home)}, check=True, umask=0o022)
    found = [home, *home.rglob("*")]
    assert home / "mlflow.db" in found
    assert [path for path in found if path.stat().st_mode & 0o077] == []
