"""What would help: every suggestion keeps the contract and does what it says when predicted again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.bundle.bundle import Bundle
from data.cohorts.grades import generate
from data.contract.columns import Column
from data.contract.contract import Contract
from serving.suggestions import (
    LEAST_GAIN,
    Aim,
    Suggestion,
    actionable,
    answer_with,
    changes_of,
    combined,
    from_now_on,
    helpful,
    suggest,
)
from tests.contract.tiny import YAML, contract_of

Student = dict[str, Any]
STUDENTS = 150


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.load(bundle_folder)


@pytest.fixture(scope="module")
def students(bundle: Bundle) -> list[Student]:
    names = [column.name for column in bundle.contract.features]
    rows = generate(STUDENTS, seed=17)[names].to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


@pytest.fixture(scope="module")
def suggested(bundle: Bundle, students: list[Student]) -> list[tuple[Student, Suggestion]]:
    found = [(student, found) for student in students for found in suggest(bundle, student)]
    assert {one.aim for _, one in found} == {*Aim} - {Aim.NOTHING}
    assert len(found) > STUDENTS
    return found


def forecast(bundle: Bundle, record: Student) -> dict[str, Any]:
    return bundle.answers(bundle.probabilities(bundle.matrix([record])))[0]


def test_every_suggestion_changes_actionable_columns_alone(
    bundle: Bundle, suggested: list[tuple[Student, Suggestion]]
) -> None:
    allowed = {column.name for column in actionable(bundle)}
    assert all(set(found.changes) <= allowed for _, found in suggested)


def test_every_suggestion_keeps_the_contract(
    bundle: Bundle, suggested: list[tuple[Student, Suggestion]]
) -> None:
    for student, found in suggested:
        bundle.record.validate_python({**student, **found.changes})


def test_every_suggestion_lowers_the_risk_by_what_can_be_seen(
    bundle: Bundle, suggested: list[tuple[Student, Suggestion]]
) -> None:
    for student, found in suggested:
        assert forecast(bundle, student)["at_risk"] - found.answer["at_risk"] >= LEAST_GAIN - 1e-6


def test_once_the_period_is_over_no_count_is_part_of_a_suggestion(
    suggested: list[tuple[Student, Suggestion]],
) -> None:
    assert not any("Absences" in found.changes for _, found in suggested)


def test_nobody_is_sent_beyond_what_most_students_do(
    bundle: Bundle, suggested: list[tuple[Student, Suggestion]]
) -> None:
    _, high = bundle.population.ranges["StudyTimeWeekly"]
    hours = [found.changes["StudyTimeWeekly"] for _, found in suggested if "StudyTimeWeekly" in found.changes]
    assert hours
    assert max(hours) <= high


@pytest.mark.parametrize("elapsed", [0.1, 0.25, 0.5, 0.75, 0.95])
def test_a_count_is_changed_from_now_on_alone_within_what_similar_students_come_to(
    bundle: Bundle, students: list[Student], elapsed: float
) -> None:
    from_now = 0
    for student in students[:60]:
        record = {**student, "Absences": int(student["Absences"] * elapsed), "elapsed": elapsed}
        passed, row = np.array([elapsed]), bundle.matrix([record])
        now = bundle.answers(bundle.probabilities(row, passed), passed)[0]
        mean, low, _ = bundle.accumulation.expected(row, passed)[0, 0]
        for found in suggest(bundle, record):
            assert now["at_risk"] - found.answer["at_risk"] >= LEAST_GAIN - 1e-6
            assert answer_with(bundle, record, found.changes) == found.answer
            further = found.changes.get("Absences")
            if further is not None:
                from_now += 1
                assert further >= 0
                assert low <= record["Absences"] + further < mean
    assert from_now > 0


def test_where_more_is_better_a_step_is_at_least_so_many_more_and_in_reach() -> None:
    sessions = column(kind="integer", min=0, max=40, effect="raises", accumulates=True)
    found = from_now_on(sessions, 5, np.array([15.2, 9.0, 22.0]))
    assert [change.after for change in found] == sorted(change.after for change in found)
    assert found[0].after >= 11
    assert found[-1].after == 17
    assert from_now_on(sessions, None, np.array([1.0, 0, 2])) == []
    unknown = column(kind="integer", min=0, max=40, accumulates=True)
    assert from_now_on(unknown, 5, np.array([15.2, 9.0, 22.0])) == []


def test_every_suggestion_goes_in_the_direction_that_helps(
    grade_class: Contract, suggested: list[tuple[Student, Suggestion]]
) -> None:
    for student, found in suggested:
        for name, after in found.changes.items():
            assert after != student[name]
            effect = grade_class.columns[name].effect
            assert effect is not None
            assert (after > student[name]) == (effect == "raises")


def test_every_suggestion_does_what_it_says_when_predicted_again(
    bundle: Bundle, suggested: list[tuple[Student, Suggestion]]
) -> None:
    for student, found in suggested:
        now, then = forecast(bundle, student), forecast(bundle, {**student, **found.changes})
        assert then["grade_class"] == found.answer["grade_class"]
        assert then["at_risk"] == pytest.approx(found.answer["at_risk"], abs=1e-5)
        assert then["at_risk"] <= now["at_risk"]
        if found.aim is Aim.OUT_OF_RISK:
            assert then["at_risk"] < 0.5 <= now["at_risk"]
        if found.aim is Aim.BETTER_CLASS:
            assert then["grade_class_index"] < now["grade_class_index"]


def test_what_helps_is_not_guessed_where_the_contract_knows_it_of_other_columns(pass_fail: Contract) -> None:
    known = helpful(pass_fail)
    assert known
    assert all(column.effect for column in known)
    assert len(known) < sum(column.actionable for column in pass_fail.features)


def test_where_the_contract_knows_no_direction_every_actionable_column_is_tried() -> None:
    text = YAML.replace("Club, kind: boolean", "Club, kind: boolean, actionable: true")
    assert [column.name for column in helpful(contract_of(text))] == ["Club"]


def test_there_are_at_most_three_and_none_holds_another(bundle: Bundle, students: list[Student]) -> None:
    sizes = set()
    for student in students:
        columns = [set(found.changes) for found in suggest(bundle, student)]
        sizes.add(len(columns))
        assert not any(a < b or b < a for a in columns for b in columns)
    assert max(sizes) == 3


def test_the_smallest_changes_of_an_aim_come_first(bundle: Bundle, students: list[Student]) -> None:
    several = 0
    for student in students:
        found = suggest(bundle, student)
        assert [one.aim for one in found] == sorted((one.aim for one in found), reverse=True)
        singles = [one.changes for one in found if len(one.changes) == 1 and one.aim is found[0].aim]
        sizes = [
            _size(bundle, bundle.contract.columns[name], student, changes)
            for changes in singles
            for name in changes
        ]
        assert sizes == sorted(sizes)
        several += len(sizes) > 1
    assert several > 0


def _size(bundle: Bundle, column: Column, student: Student, changes: Student) -> float:
    value = student[column.name]
    usual = bundle.population.ranges.get(column.name)
    return next(one.size for one in changes_of(column, value, usual) if one.after == changes[column.name])


def test_a_student_for_whom_nothing_can_be_better_gets_none(bundle: Bundle, students: list[Student]) -> None:
    best = {column.name: _best(column, students[0][column.name]) for column in actionable(bundle)}
    assert suggest(bundle, {**students[0], **best}) == []


def _best(column: Column, value: Any) -> Any:
    if column.effect is None:
        return value
    ends = list(column.codes) if column.coded else column.limits
    return ends[-1] if column.effect == "raises" else ends[0]


def test_text_codes_are_changed_by_their_order(pass_fail: Contract) -> None:
    column = next(column for column in pass_fail.features if column.actionable and column.effect == "raises")
    first, second, *rest = column.codes
    found = changes_of(column, second)
    assert [change.after for change in found] == rest
    assert [change.size for change in found] == sorted(change.size for change in found)
    assert first not in {change.after for change in found}


def column(**about: Any) -> Column:
    return Column.model_validate({"name": "x", "title": "X", "actionable": True, **about})


def test_a_number_is_moved_in_round_steps_as_far_as_its_range() -> None:
    found = changes_of(column(kind="number", min=0, max=20, effect="raises"), 9.37)
    assert found[0].after > 9.37
    assert found[-1].after == 20
    assert all(change.after % 0.5 == 0 for change in found)


def test_a_number_without_a_limit_on_the_side_that_helps_is_left_alone() -> None:
    assert changes_of(column(kind="number", min=0, effect="raises"), 3.0) == []
    assert changes_of(column(kind="integer", min=0, effect="lowers"), 3)[-1].after == 0


def test_a_number_of_unknown_direction_is_tried_both_ways() -> None:
    tried = {change.after for change in changes_of(column(kind="integer", min=0, max=10), 5)}
    assert min(tried) == 0
    assert max(tried) == 10


def test_rounding_never_leaves_a_range_with_many_decimals() -> None:
    low, high = 0.33333349, 0.33334441
    found = changes_of(column(kind="number", min=low, max=high), (low + high) / 2)
    assert len(found) > 0
    assert all(low <= change.after <= high for change in found)


def test_a_nominal_column_may_become_any_other_code_and_a_missing_value_stays() -> None:
    nominal = column(kind="nominal", codes={"a": "A", "b": "B", "c": "C"}, nullable=True)
    assert [change.after for change in changes_of(nominal, "b")] == ["a", "c"]
    assert changes_of(nominal, None) == []


def test_combinations_change_each_column_once() -> None:
    options = {name: changes_of(column(kind="integer", min=0, max=9), 4) for name in "abc"}
    widths = [len({id(change) for change in changes}) for changes in combined(options)]
    assert set(widths) == {1, 2, 3}
