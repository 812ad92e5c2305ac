"""POST /predict: what is answered."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from data.bundle.bundle import Bundle
from data.rows.records import matrix_maker

Student = dict[str, Any]


def test_one_record_is_answered_under_the_fixed_names(client: FlaskClient, student: Student) -> None:
    answer = client.post("/predict", json=student).get_json()
    assert list(answer) == [
        "grade_class",
        "grade_class_index",
        "probabilities",
        "at_risk",
        "grade_set",
        "model_version",
        "prediction_id",
    ]
    assert list(answer["probabilities"]) == ["A", "B", "C", "D", "F"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["at_risk"] == pytest.approx(
        answer["probabilities"]["D"] + answer["probabilities"]["F"], abs=1e-6
    )
    assert answer["grade_class"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert answer["grade_class"] in answer["grade_set"]
    assert answer["model_version"] == "local"


def test_the_answer_is_the_bundles_own(client: FlaskClient, student: Student, bundle_folder: Path) -> None:
    bundle = Bundle.load(bundle_folder)
    expected = bundle.probabilities(matrix_maker(bundle.contract)([student]))[0]
    answer = client.post("/predict", json=student).get_json()
    assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist())


def test_a_list_is_answered_in_its_order(client: FlaskClient, student: Student) -> None:
    often_away, never_away = {**student, "Absences": 29}, {**student, "Absences": 0}
    answers = client.post("/predict", json=[often_away, never_away]).get_json()
    alone = [client.post("/predict", json=one).get_json() for one in (often_away, never_away)]
    assert [a["probabilities"] for a in answers] == [a["probabilities"] for a in alone]
    assert answers[0]["at_risk"] > answers[1]["at_risk"]
    assert answers[0]["prediction_id"] != answers[1]["prediction_id"]


def test_an_empty_list_has_no_answers(client: FlaskClient) -> None:
    assert client.post("/predict", json=[]).get_json() == []


@pytest.mark.parametrize(
    "otherwise",
    [
        {"ParentalSupport": "Moderate"},
        {"StudentID": 1001, "Gender": 1, "Ethnicity": "Asian"},
    ],
    ids=["a label for its code", "id and audit columns"],
)
def test_what_means_the_same_or_is_no_feature_changes_nothing(
    client: FlaskClient, student: Student, otherwise: Student
) -> None:
    answers = client.post("/predict", json=[student, {**student, **otherwise}]).get_json()
    assert answers[0]["probabilities"] == answers[1]["probabilities"]


def test_reasons_are_every_features_effect_largest_first(client: FlaskClient, student: Student) -> None:
    reasons = client.post("/predict?explain=true", json=student).get_json()["reasons"]
    assert {reason["feature"] for reason in reasons} == set(student)
    assert all(reason["value"] == student[reason["feature"]] for reason in reasons)
    assert {reason["unit"] for reason in reasons} == {"grade points"}
    sizes = [abs(reason["effect"]) for reason in reasons]
    assert sizes == sorted(sizes, reverse=True)
    effects = {reason["feature"]: reason["effect"] for reason in reasons}
    assert effects["Absences"] < 0, "21 absences cost grade points"
    assert "reasons" not in client.post("/predict?explain=false", json=student).get_json()


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_health_names_the_model_and_its_version(client: FlaskClient, path: str) -> None:
    assert client.get(path).get_json() == {"status": "ok", "model": "grade-class", "model_version": "local"}


def test_a_predictor_without_a_model_says_what_to_do(
    client_without_model: FlaskClient, student: Student
) -> None:
    for answer in (
        client_without_model.post("/predict", json=student),
        client_without_model.get("/health/ready"),
    ):
        assert answer.status_code == 503
        assert answer.mimetype == "application/problem+json"
        assert "make pipeline" in answer.get_json()["detail"]
    assert client_without_model.get("/health/live").status_code == 200
