"""What the monitor reads of the log."""

import numpy as np
import pandas as pd

from data.contract.contract import Contract
from data.rows.frames import matrix, parse
from data.rows.ids import pseudonym
from flows.monitoring.retraining import usable_forecasts
from flows.monitoring.window import Window, realised
from tests.flows.monitoring.school import NOW, School, month, students


def test_records_answers_and_grades_are_read_as_they_were(school: School, grade_class: Contract) -> None:
    raw = students(40, 1)
    names = [pseudonym(str(student)) for student in raw["StudentID"]]
    school.ask(raw, NOW)
    log = school.log()  # asked at one moment, so in any order
    raw = raw.set_index(pd.Index(names)).loc[log.frame["pseudonym"]]
    asked = parse(raw, grade_class)
    assert (matrix(log.frame, grade_class) == matrix(asked, grade_class)).all()
    assert np.allclose(log.probabilities, school.bundle.probabilities(matrix(asked, grade_class)))
    assert (log.classes(grade_class) == raw["GradeClass"]).all()
    assert np.allclose(log.frame["GPA"], raw["GPA"])


def test_canaries_and_answers_of_other_classes_are_left_out_and_students_without_an_id_kept(
    school: School,
) -> None:
    school.ask(students(5, 1), NOW, via="canary")
    school.ask(students(5, 3), NOW, probabilities={"Pass": 0.5, "Fail": 0.5})
    school.ask(students(3, 2), NOW, student=None, graded=False)
    assert len(school.log()) == len(school.log().newest()) == 3


def test_a_student_who_was_asked_about_again_counts_once_with_the_newest_record(school: School) -> None:
    raw = students(4, 1)
    school.ask(raw, month(0), graded=False)
    school.ask(raw.assign(Absences=29), month(0) + (month(1) - month(0)) / 2, graded=False)
    newest = school.log().newest()
    assert (len(newest), set(newest.frame["Absences"])) == (4, {29})


def test_a_grade_that_came_after_the_window_is_not_known_in_it(school: School, grade_class: Contract) -> None:
    raw = students(4, 1)
    school.ask(raw, month(0), graded=False)
    school.grade(raw, month(2))
    assert (school.log(month(1)).classes(grade_class) == -1).all()
    assert (school.log(month(3)).classes(grade_class) >= 0).all()
    log, first, third = school.log(), Window(month(0), month(1)), Window(month(2), month(3))
    assert [len(log.asked(window)) for window in (first, third)] == [4, 0]
    assert [len(log.settled(window)) for window in (first, third)] == [0, 4]


def test_audit_columns_that_were_not_asked_are_missing(school: School, grade_class: Contract) -> None:
    school.ask(students(4, 1).assign(Gender=np.nan), NOW)
    log = school.log()
    assert log.frame["Gender"].isna().all()
    assert log.frame["Ethnicity"].notna().all()


def test_an_empty_log_is_an_empty_window(school: School, grade_class: Contract) -> None:
    log = school.log()
    assert len(log) == len(log.newest()) == len(log.settled(Window(month(0), month(1)))) == 0
    assert log.probabilities.shape == (0, 5)
    assert isinstance(log.frame["Absences"], pd.Series)


def test_counts_so_far_are_no_drift_and_nothing_to_learn_from(school: School, grade_class: Contract) -> None:
    raw = students(300, 1)
    so_far = raw.assign(Absences=np.random.default_rng(0).binomial(raw["Absences"], 0.25))
    school.ask(so_far, NOW, elapsed=0.25)
    log = school.log()
    assert set(log.about["elapsed"]) == {0.25}
    assert len(log.whole()) == 0
    assert usable_forecasts(log, Window(month(0), month(1)), school.champion)[0].frame.empty
    shares = {one.name: one for one in realised(log, grade_class, 500)}
    assert shares["realised_accuracy"].rows == 300, "what was answered is measured all the same"
    school.ask(raw, NOW)
    assert len(school.log().whole()) == 300
