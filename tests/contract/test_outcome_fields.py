"""What a grade that came later must look like."""

from typing import Any

import pytest

from data.contract.contract import Contract
from data.rows.outcomes import outcome_fields, outcome_reader

PREDICTION = "0123456789abcdef" * 2


def fields(contract: Contract, raw: Any) -> list[str]:
    """The fields that are wrong."""
    return [str(fault["field"]) for fault in outcome_reader(contract)(raw)[1]]


@pytest.mark.parametrize("said", [{"GradeClass": 2}, {"GradeClass": "C"}, {"grade_class": "C"}, {"GPA": 2.7}])
def test_a_class_is_said_by_code_label_or_score(grade_class: Contract, said: dict[str, Any]) -> None:
    outcome, faults, _ = outcome_reader(grade_class)({"StudentID": "01001", **said})
    assert faults == []
    score = said.get("GPA")
    assert outcome == {"prediction_id": None, "student": "1001", "outcome": "C", "score": score}


def test_a_derived_target_is_said_by_its_score(pass_fail: Contract) -> None:
    read = outcome_reader(pass_fail)
    assert read({"prediction_id": PREDICTION, "G3": 9})[0]["outcome"] == "Fail"
    assert read({"prediction_id": PREDICTION, "G3": 10})[0]["outcome"] == "Pass"
    assert read({"prediction_id": PREDICTION, "grade_class": "Pass"})[1] == []


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        ({}, ["prediction_id", "GradeClass"]),
        ({"StudentID": 1001}, ["GradeClass"]),
        ({"GradeClass": "A"}, ["prediction_id"]),
        ({"StudentID": None, "GradeClass": "A"}, ["prediction_id"]),
        ({"StudentID": "x", "GradeClass": 9, "GPA": 7}, ["GradeClass", "StudentID", "GPA"]),
        ({"StudentID": True, "grade_class": "E"}, ["grade_class", "StudentID"]),
        ({"StudentID": 1001, "grade_class": "A", "GradeClass": "A"}, ["grade_class"]),
        ({"StudentID": 1001, "grade_class": "A", "GPA": 1.0}, ["GPA"]),
        ({"StudentID": 1001, "GPA": float("nan")}, ["GPA"]),
        ({"StudentID": 1001, "grade_class": "A", "Absences": 3}, ["Absences"]),
        ({"prediction_id": "7", "grade_class": "A"}, ["prediction_id"]),
        ({"prediction_id": ["7"], "grade_class": "A"}, ["prediction_id"]),
        ({"prediction_id": PREDICTION.upper(), "grade_class": {}}, ["prediction_id", "grade_class"]),
        ("A", [""]),
        ([], [""]),
    ],
)
def test_every_wrong_field_is_named(grade_class: Contract, raw: Any, wrong: list[str]) -> None:
    assert sorted(fields(grade_class, raw)) == sorted(wrong)


def test_a_contract_without_ids_knows_forecasts_alone(pass_fail: Contract) -> None:
    assert set(outcome_fields(pass_fail)) == {"prediction_id", "grade_class", "Result", "G3"}
    assert fields(pass_fail, {"grade_class": "Pass"}) == ["prediction_id"]
