"""How good the forecasts were: of figures that can be worked out by hand."""

import numpy as np
import pytest

from data.contract.contract import Contract
from data.log.reading import Measurement
from flows.monitoring.watch import override_shares
from flows.monitoring.window import Window, answered, by_group, estimated, realised
from flows.registry.store import Champion
from flows.training.metrics import evaluate
from tests.flows.monitoring.school import School, month, students

TRAINED = 480
Figures = dict[tuple[str, str], Measurement]


def named(*found: Measurement) -> Figures:
    return {(figure.name, figure.about): figure for figure in found}


def test_realised_figures_are_those_of_the_forecasts_as_they_were_answered(
    school: School, grade_class: Contract
) -> None:
    school.ask(students(200, 30), month(0))
    log = school.log()
    by_hand = evaluate(log.probabilities, log.classes(grade_class))
    found = named(*realised(log, grade_class, TRAINED))
    for name, key in (
        ("realised_accuracy", "accuracy"),
        ("realised_log_loss", "log_loss"),
        ("calibration_error", "ece"),
    ):
        figure = found[name, ""]
        assert figure.value == pytest.approx(by_hand[key])
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high
        assert figure.rows == 200
    assert found["expected_accuracy", ""].value == pytest.approx(log.probabilities.max(axis=1).mean())


def test_forecasts_without_a_grade_are_in_the_estimate_and_not_in_what_is_realised(
    school: School, grade_class: Contract
) -> None:
    school.ask(students(60, 30), month(0))
    school.ask(students(40, 31), month(0), graded=False)
    log = school.log()
    assert named(*estimated(log, TRAINED, "pass"))["estimated_accuracy", ""].rows == 100
    assert named(*realised(log, grade_class, TRAINED))["realised_accuracy", ""].rows == 60
    assert named(*answered(log, grade_class))["labelled_share", ""].value == pytest.approx(0.6)


def test_with_fewer_than_thirty_rows_nothing_is_claimed(school: School, grade_class: Contract) -> None:
    school.ask(students(29, 30), month(0))
    log = school.log()
    found = [
        *estimated(log, TRAINED, "pass"),
        *realised(log, grade_class, TRAINED),
        *by_group(log, grade_class),
    ]
    assert {(figure.value, figure.verdict) for figure in found} == {(None, "too few rows")}


def test_groups_of_audit_columns_have_their_share_of_wrong_classes(
    school: School, grade_class: Contract
) -> None:
    school.ask(students(300, 30).assign(Ethnicity=np.nan), month(0))
    log = school.log()
    wrong = log.probabilities.argmax(axis=1) != log.classes(grade_class)
    found = named(*by_group(log, grade_class))
    assert {about for _, about in found} == {"Gender=Male", "Gender=Female"}
    men = (log.frame["Gender"] == 0).to_numpy()
    assert found["group_error", "Gender=Male"].value == pytest.approx(wrong[men].mean())


def test_the_classes_answered_add_up_to_all_students(school: School, grade_class: Contract) -> None:
    school.ask(students(50, 30), month(0))
    found = named(*answered(school.log(), grade_class))
    shares = [figure.value for (name, _), figure in found.items() if name == "class_share"]
    assert sum(filter(None, shares)) == pytest.approx(1.0)
    assert len(shares) == 5


def test_nothing_is_said_of_nobodys_answers(school: School, grade_class: Contract) -> None:
    assert list(answered(school.log(), grade_class)) == []


def test_teachers_notes_of_the_window_are_counted(school: School, champion: Champion) -> None:
    ids = school.ask(students(4, 30), month(0))
    for prediction, verdict in zip(ids, ("agree", "disagree", "agree", "agree"), strict=True):
        school.note(prediction, verdict, month(1))
    contract, first, second = champion.bundle.contract, Window(month(0), month(1)), Window(month(1), month(2))
    found = named(*override_shares(school.engine, contract, second))
    assert found["override_share", "agree"].value == pytest.approx(0.75)
    assert found["override_share", "disagree"].rows == 4
    assert list(override_shares(school.engine, contract, first)) == []
