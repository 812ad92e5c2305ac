"""A OneRoster 1.2 bulk export, with its attendance beside it, is read as it is."""

import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from data.contract.contract import load_contract
from data.errors import BadInput
from data.intake.check import check
from data.snapshots.snapshots import open_snapshots
from tests.contract.dated_world import rows_of, snapshots
from tests.contract.oneroster import export


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("school"), rows=150)


@pytest.fixture(scope="module")
def found(school: Path) -> pd.DataFrame:
    return snapshots(str(school), load_contract("oneroster"))


def inside(school: Path, name: str) -> pd.DataFrame:
    with zipfile.ZipFile(school) as packed, packed.open(f"export/{name}.csv") as file:
        return pd.read_csv(file)


def test_the_final_grade_is_the_result_of_the_final_line_item_on_every_day(
    school: Path, found: pd.DataFrame
) -> None:
    results = inside(school, "results")
    final = results[results["lineItemSourcedId"].str.endswith("/final")].set_index("studentSourcedId")[
        "score"
    ]
    assert found["final_score"].tolist() == final.loc[found["person"]].tolist()


def test_no_feature_of_the_same_table_has_the_final_result_in_it(school: Path, found: pd.DataFrame) -> None:
    results = inside(school, "results")
    work = results[~results["lineItemSourcedId"].str.endswith("/final")].assign(
        day=lambda rows: pd.to_datetime(rows["scoreDate"])
    )
    began = inside(school, "academicSessions").set_index("schoolYear")["startDate"]
    for row in rows_of(found.sample(40, random_state=1)):
        start = pd.Timestamp(began[int(str(row.enrollment).rpartition("-")[2])])
        known = work[
            (work["studentSourcedId"] == row.person) & (work["day"] <= start + pd.Timedelta(days=row.as_of))
        ]
        assert row.results_so_far == len(known)
        assert row.late_results == known["late"].sum()
        assert row.mean_score == pytest.approx(known["score"].mean(), nan_ok=True)


def test_days_missed_come_from_the_file_beside_the_export_or_in_it(
    school: Path, found: pd.DataFrame, tmp_path: Path
) -> None:
    assert found["days_absent"].max() > 5
    inner = shutil.copy(school, tmp_path / "school.zip")
    with pytest.raises(BadInput, match=r"school.zip: there is no attendance.csv."):
        snapshots(str(inner), load_contract("oneroster"))
    with zipfile.ZipFile(inner, "a") as packed:
        packed.write(school.parent / "attendance.csv", "attendance.csv")
    pd.testing.assert_frame_equal(snapshots(str(inner), load_contract("oneroster")), found)


def test_the_newest_school_year_is_held_out_and_the_export_keeps_the_contract(
    school: Path, found: pd.DataFrame
) -> None:
    assert found.groupby("split")["enrollment"].agg(lambda ids: sorted({i[-4:] for i in ids})).to_dict() == {
        "test": ["2024"], "train": ["2022", "2023"]
    }  # fmt: skip
    assert [p for p in check(str(school), "oneroster").problems if "class " not in p] == []


def test_records_to_be_deleted_and_those_of_teachers_are_not_there(school: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    with zipfile.ZipFile(school) as packed:
        packed.extractall(tmp_path)
    shutil.copy(school.parent / "attendance.csv", folder)
    enrolled = pd.read_csv(folder / "enrollments.csv")
    enrolled.loc[0, "status"] = "tobedeleted"
    enrolled.loc[1, "role"] = "teacher"
    enrolled.to_csv(folder / "enrollments.csv", index=False)
    gone = set(enrolled["userSourcedId"].head(2))
    with open_snapshots(str(folder), load_contract("oneroster")) as records:
        assert not gone & set(pd.concat(records.read())["person"])
        assert records.set_aside is not None
        assert set(records.set_aside.faults["reason"]) == {"no such student"}


def test_two_files_of_one_name_in_an_export_are_refused(school: Path, tmp_path: Path) -> None:
    twice = shutil.copy(school, tmp_path / "school.zip")
    with zipfile.ZipFile(twice, "a") as packed:
        packed.writestr("other/users.csv", "sourcedId\n1\n")
    with pytest.raises(BadInput, match=r"there are two files named users.csv"):
        snapshots(str(twice), load_contract("oneroster"))
