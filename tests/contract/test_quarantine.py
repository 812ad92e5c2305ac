"""Rows that break the contract are set aside with every reason; the others are kept as they were."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.contract.contract import Contract
from data.rows.frames import parse
from data.rows.quarantine import REASONS, count_reasons, quarantine, reasons_by_row
from tests.contract.tiny import YAML, contract_of, students

# the column, what it holds in the second of three rows, and the reason
FAULTS: list[tuple[str, Any, str]] = [
    ("Student", None, "missing"),
    ("Student", "", "missing"),
    ("Student", "S-2", "not a whole number"),
    ("Student", 2.5, "not a whole number"),
    ("Student", 0, "out of range"),
    ("Student", -7, "out of range"),
    ("Student", 1, "duplicate id"),
    ("Student", "1.0", "duplicate id"),
    ("Student", " 001", "duplicate id"),
    ("Group", None, "missing"),
    ("Group", 2, "unknown code"),
    ("Group", "West", "unknown code"),
    ("Hours", None, "missing"),
    ("Hours", np.inf, "not finite"),
    ("Hours", -np.inf, "not finite"),
    ("Hours", 20.01, "out of range"),
    ("Hours", -0.01, "out of range"),
    ("Days", 3.5, "not a whole number"),
    ("Days", 31, "out of range"),
    ("Days", np.nan, "missing"),
    ("Days", np.inf, "not finite"),
    ("Club", 2, "unknown code"),
    ("Help", "True", "unknown code"),
    ("Help", None, "missing"),
    ("Job", "zoo", "unknown code"),
    ("Sleep", np.inf, "not finite"),
    ("Sleep", 1e39, "out of range"),
    ("Trips", 0.5, "not a whole number"),
    ("Trips", -1, "out of range"),
    ("Award", 7, "unknown code"),
    ("Level", 0, "unknown code"),
    ("Lunch", "x", "unknown code"),
    ("Points", 4.5, "out of range"),
    ("Points", np.inf, "not finite"),
    ("Grade", None, "missing"),
    ("Grade", 3, "unknown code"),
    ("Grade", "E", "unknown code"),
    ("Grade", 0, "label contradicts score"),
    ("Grade", "C", "label contradicts score"),
]


def spoiled(column: str, value: Any) -> pd.DataFrame:
    """Return three good rows, but for one cell of the second."""
    raw = students(3).astype({column: object})
    raw.loc[1, column] = value
    return raw


@pytest.mark.parametrize(("column", "value", "reason"), FAULTS)
def test_a_broken_cell_is_quarantined_with_its_row_column_and_reason(
    tiny: Contract, column: str, value: Any, reason: str
) -> None:
    clean, faults = quarantine(parse(spoiled(column, value), tiny), tiny)
    assert clean.index.tolist() == [0, 2]
    assert (3, column, reason) in faults[["row", "column", "reason"]].itertuples(index=False, name=None)
    assert set(faults["row"]) == {3}
    assert list(faults.columns) == ["row", "column", "value", "reason"]


def test_every_reason_has_its_case() -> None:
    assert {reason for *_, reason in FAULTS} == set(REASONS)


def test_good_rows_are_all_kept_as_they_were(tiny: Contract) -> None:
    frame = parse(students(5), tiny)
    clean, faults = quarantine(frame, tiny)
    pd.testing.assert_frame_equal(clean, frame)
    assert faults.empty
    assert count_reasons(faults) == {}
    assert reasons_by_row(faults).empty


@pytest.mark.parametrize("column", ["Sleep", "Trips", "Award", "Level", "Lunch"])
def test_a_missing_value_of_a_nullable_feature_is_no_fault(tiny: Contract, column: str) -> None:
    assert quarantine(parse(students(2, **{column: [None, None]}), tiny), tiny)[1].empty


def test_a_missing_score_is_no_fault_where_the_label_is_given(tiny: Contract) -> None:
    assert quarantine(parse(students(2, Points=[None, 1.5], Grade=[0, 2]), tiny), tiny)[1].empty


def test_a_missing_score_is_a_fault_where_the_label_comes_from_it() -> None:
    contract = contract_of(YAML.replace("  at_least", "  derive: at_least\n  at_least"))
    clean, faults = quarantine(parse(students(2, Points=[None, 1.5]), contract), contract)
    assert clean.index.tolist() == [1]
    assert set(zip(faults["column"], faults["reason"], strict=True)) == {
        ("Points", "missing"),
        ("Grade", "missing"),
    }


def test_several_faults_of_one_row_are_all_named(tiny: Contract) -> None:
    raw = students(3).astype(object)
    broken: dict[str, Any] = {"Hours": 99, "Days": 3.5, "Job": "zoo", "Grade": 0}
    for column, value in broken.items():
        raw.loc[2, column] = value
    _, faults = quarantine(parse(raw, tiny), tiny)
    assert reasons_by_row(faults).to_dict() == {
        4: "Days: not a whole number; Grade: label contradicts score; Hours: out of range; Job: unknown code"
    }


def test_of_several_faults_of_one_cell_the_first_is_told(tiny: Contract) -> None:
    _, faults = quarantine(parse(spoiled("Days", 99.5), tiny), tiny)
    assert faults["reason"].tolist() == ["not a whole number"]


def test_the_first_of_several_rows_with_one_id_stays(tiny: Contract) -> None:
    raw = students(5, Student=["7", "8", "7.0", "007", 8])
    clean, faults = quarantine(parse(raw, tiny), tiny)
    assert clean.index.tolist() == [0, 1]
    assert faults["row"].tolist() == [4, 5, 6]
    assert count_reasons(faults) == {"duplicate id": 3}


def test_rows_without_an_id_are_no_duplicates_of_each_other(tiny: Contract) -> None:
    _, faults = quarantine(parse(students(3, Student=[None, None, 3]), tiny), tiny)
    assert faults["reason"].tolist() == ["missing", "missing"]


def test_a_contract_without_an_id_knows_no_duplicates() -> None:
    contract = contract_of(YAML.replace("  Student: {title: Student, role: id, kind: integer, min: 1}\n", ""))
    raw = students(4, Points=1.0, Grade=2)
    assert quarantine(parse(raw, contract), contract)[1].empty


def test_ids_of_any_text_are_accepted_where_the_contract_says_so() -> None:
    contract = contract_of(YAML.replace("role: id, kind: integer, min: 1", "role: id, kind: nominal"))
    clean, faults = quarantine(parse(students(3, Student=["S-1", "ä", "S-1"]), contract), contract)
    assert clean["Student"].tolist() == ["S-1", "ä"]
    assert faults["reason"].tolist() == ["duplicate id"]


def test_a_column_that_is_null_throughout_leaves_no_row(tiny: Contract) -> None:
    clean, faults = quarantine(parse(students(3, Hours=[None] * 3, Job=[None] * 3), tiny), tiny)
    assert clean.empty
    assert count_reasons(faults) == {"missing": 3}


def test_a_frame_without_rows_has_no_faults(tiny: Contract) -> None:
    clean, faults = quarantine(parse(students(1).iloc[:0], tiny), tiny)
    assert clean.empty
    assert faults.empty


def test_quarantine_changes_nothing_of_what_it_was_given(tiny: Contract) -> None:
    frame = parse(students(4, Student=[1, 1, None, "x"], Job=["zoo", None, "shop", "farm"]), tiny)
    before = frame.copy(deep=True)
    quarantine(frame, tiny)
    pd.testing.assert_frame_equal(frame, before)


def test_reasons_are_counted_once_a_row_most_frequent_first(tiny: Contract) -> None:
    raw = students(3, Hours=[99, 99, 1], Sleep=[1e39, 8, 8], Group=[0, 1, 5])
    assert count_reasons(quarantine(parse(raw, tiny), tiny)[1]) == {"out of range": 2, "unknown code": 1}
