"""`check` holds tables against a contract with dated records, and finds a column that is known too early."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from data.cohorts.school_year import tables
from data.contract.contract import Contract, find_contract, load_contract, parse_contract
from data.errors import Stopped
from data.intake.check import check
from data.rows.frames import parse_cells
from flows.training.rows import check_leakage
from tests.contract.dated_world import YAML, Tables, snapshots, some_tables, written


@pytest.fixture(scope="session")
def year() -> Tables:
    return tables(400, seed=3)


def contract_file(folder: Path, text: str = YAML) -> str:
    path = folder / "contract.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_tables_of_a_school_year_keep_their_contract_and_every_day_is_counted(
    year: Tables, tmp_path: Path
) -> None:
    report = check(written(year, tmp_path), "school_year")
    assert report.problems == []
    assert any(note.startswith("students on each day: ") for note in report.notes)
    assert not any("doubt" in note for note in report.notes)


def test_everything_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    some = some_tables()
    some["work"] = some["work"].drop(columns=["mark", "done"])
    some["students"] = some["students"].drop(columns="hours")
    del some["tasks"]
    problems = check(written(some, tmp_path), contract_file(tmp_path)).problems
    assert [line.partition(";")[0] for line in problems if "there is no" not in line] == [
        "table students: it has no column hours",
        "table work: it has no column done",
        "table work: it has no column mark",
        "table work: it has no column due",
        "table work: it has no column type",
    ]
    assert sum("there is no tasks." in line for line in problems) == 2


def test_records_that_cannot_be_used_are_counted_with_the_first_of_them(tmp_path: Path) -> None:
    some = some_tables()
    some["work"] = some["work"].astype(object)
    some["work"].loc[1, "known"] = "soon"
    some["work"].loc[2, "student"] = 77
    report = check(written(some, tmp_path), contract_file(tmp_path))
    said = "table work, column known: not a day, 1 of 4 records (25.0 %), the first is row 3 ('soon'); more"
    assert any(line.startswith(said) for line in report.problems)
    assert any("no such student, 1 of 4 records" in line and "'x/77'" in line for line in report.problems)


def test_a_checkpoint_without_students_and_a_column_that_is_always_missing_are_said(tmp_path: Path) -> None:
    uri = written(some_tables(), tmp_path)
    text = YAML.replace("[0, 10, 20]", "[-3, 0, 10]")
    assert "no student is there on day -3" in check(uri, contract_file(tmp_path, text)).problems[0]
    notes = check(uri, contract_file(tmp_path, YAML.replace("done > due", "done > due and type = 'x'"))).notes
    assert "column idle: missing for everybody on every day" not in notes
    notes = check(uri, contract_file(tmp_path, YAML.replace("{stat: mean, of: work.mark}",
                  "{stat: mean, of: work.mark, where: type = 'nothing'}"))).notes  # fmt: skip
    assert "column mean: missing for everybody on every day; is its condition right?" in notes
    assert any(note.startswith("day 0: 2 students, too few") for note in notes)


def with_column(name: str, keys: dict[str, object], **tables_: object) -> Contract:
    """Return the school year with one more column, and more tables."""
    raw = yaml.safe_load(find_contract("school_year").read_text(encoding="utf-8"))
    raw["columns"][name] = keys
    raw["dated"]["tables"] |= tables_
    return parse_contract(yaml.safe_dump(raw, sort_keys=False), Contract, file="planted.yaml")


def rows_to_learn(uri: str, contract: Contract) -> pd.DataFrame:
    frame, _ = parse_cells(snapshots(uri, contract, threads=2), contract, labelled=True)
    return frame


def test_the_school_year_has_no_leak(year: Tables, tmp_path: Path) -> None:
    contract = load_contract("school_year")
    assert check_leakage(rows_to_learn(written(year, tmp_path), contract), contract) == ()


def test_a_column_of_the_student_table_that_was_filled_from_the_outcome_is_caught(
    year: Tables, tmp_path: Path
) -> None:
    worse = year["students"]["final_grade"].map({"A": 1, "B": 2, "C": 3, "D": 4, "F": 5})
    planted = {**year, "students": year["students"].assign(talks=worse)}
    contract = with_column("talks", {"title": "Talks", "kind": "integer", "min": 0})
    with pytest.raises(Stopped, match=r"talks: on day \d+ alone it tells the class of 100"):
        check_leakage(rows_to_learn(written(planted, tmp_path), contract), contract)


def test_records_entered_at_the_end_and_dated_back_are_caught_on_the_day_that_they_claim(
    year: Tables, tmp_path: Path
) -> None:
    level = year["students"]["final_grade"].map({"A": 1, "B": 2, "C": 3, "D": 4, "F": 5})
    remarks = year["students"][["student_no"]].assign(known=100, level=level)
    contract = with_column(
        "level",
        {
            "title": "Level",
            "kind": "number",
            "nullable": True,
            "taken": {"stat": "last", "of": "remarks.level"},
        },
        remarks={"from": "remarks.csv", "known": "known"},
    )
    rows = rows_to_learn(written({**year, "remarks": remarks}, tmp_path), contract)
    assert rows.loc[rows["as_of"] < 100, "level"].isna().all()
    with pytest.raises(Stopped, match=r"level: on day (120|150|180|210|240) alone"):
        check_leakage(rows, contract)
