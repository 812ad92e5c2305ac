"""Answered students for the prediction log, without a model."""

import uuid
from datetime import datetime
from typing import Any

from data.contract.contract import load_contract
from data.log.entries import outcome_entries, prediction_entries
from data.rows.ids import PUBLIC_KEY

CONTRACT = load_contract("grade_class")
STUDENT = {
    "Age": 17,
    "ParentalEducation": 2,
    "StudyTimeWeekly": 9.5,
    "Absences": 21,
    "Tutoring": 1,
    "ParentalSupport": 2,
    "Extracurricular": 0,
    "Sports": 1,
    "Music": 0,
    "Volunteering": 0,
}
"""What is asked of every student."""
RECORD = {**STUDENT, "Gender": 1}
ANSWER = {
    "grade_class": "B",
    "grade_class_index": 1,
    "probabilities": {"A": 0.2, "B": 0.5, "C": 0.1, "D": 0.1, "F": 0.1},
    "at_risk": 0.2,
    "grade_set": ["A", "B"],
    "model_version": "3",
}


def asked(student: str | None = "1001", at: datetime | None = None, **changes: Any) -> dict[str, Any]:
    """The entry of an answered forecast."""
    record = RECORD if student is None else {"StudentID": student, **RECORD}
    answer = {**ANSWER, "prediction_id": uuid.uuid4().hex}
    entry = prediction_entries([record], [answer], CONTRACT, PUBLIC_KEY)[0]
    return {**entry, **({"at": at} if at else {}), **changes}


def came(
    outcome: str, student: str | None = None, prediction: str | None = None, at: datetime | None = None
) -> dict[str, Any]:
    """The entry of an outcome that was reported."""
    read = {"prediction_id": prediction, "student": student, "outcome": outcome, "score": None}
    (entry,) = outcome_entries([read], CONTRACT, PUBLIC_KEY)
    return {**entry, **({"at": at} if at else {})}
