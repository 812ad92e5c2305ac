"""The verdict on a month, and whether the estimate can be trusted."""

import numpy as np
import pytest

from flows.drift_gate import Finding
from flows.drift_gate.verdict import DriftVerdict
from flows.monitoring.watch import conclude, is_clear, judge, trusted
from flows.processing.processed import Processed
from flows.registry.bundling import Submission
from tests.flows.monitoring.school import School, month, students

QUIET = DriftVerdict(overall="pass", rows=300, reference_rows=500)


def found(verdict: str, score: float | None = None, *, distance: bool = False) -> Finding:
    return Finding(
        name="x", score=score, threshold=0.001, verdict=verdict, words="changed", distance=distance
    )


def test_a_quiet_month_passes_and_its_estimate_can_be_trusted(school: School) -> None:
    school.ask(students(300, 120), month(0))
    judgement = school.judge()
    assert (judgement.verdict, judgement.clear, judgement.reasons) == ("pass", False, ())
    assert trusted(judgement, None) == "pass"


def test_more_absences_are_drift_in_what_was_asked_and_answered(school: School) -> None:
    school.ask(students(300, 121, "absences", 4.0), month(0), graded=False)
    judgement = school.judge()
    assert (judgement.verdict, judgement.clear) == ("drift", True)
    drifted = {finding.name for finding in judgement.findings if finding.verdict == "drift"}
    assert {"Absences", "answers: class mix", "answers: at-risk probability"} <= drifted
    assert trusted(judgement, None) == "no labels"


def test_grades_that_do_not_follow_as_before_are_a_loss_and_the_estimate_is_not_to_be_trusted(
    school: School,
) -> None:
    school.ask(students(400, 122, "tutoring-void", 2.0), month(0))
    judgement = school.judge()
    assert (judgement.verdict, judgement.clear) == ("loss", True)
    assert any("Tutoring = Yes" in reason for reason in judgement.reasons)
    assert trusted(judgement, None) == "loss"


def test_what_a_grade_showed_once_holds_until_grades_show_otherwise(school: School) -> None:
    school.ask(students(300, 120), month(0), graded=False)
    ungraded = school.judge()
    assert [trusted(ungraded, earlier) for earlier in ("loss", "pass", None)] == ["loss", "pass", "no labels"]


def test_grades_of_few_students_asked_about_long_ago_are_judged_all_the_same(school: School) -> None:
    raw = students(400, 122, "tutoring-void", 2.0)
    school.ask(raw, month(-5), graded=False)
    school.grade(raw, month(0))
    judgement = school.judge()
    assert (judgement.verdict, judgement.columns.overall) == ("loss", "too few rows")


def test_too_few_students_are_said_to_be_too_few(school: School) -> None:
    school.ask(students(29, 120), month(0), graded=False)
    judgement = school.judge()
    assert judgement.verdict == "too few rows"
    assert judgement.reasons == ("29 students asked about; 30 are needed to compare.",)
    assert judgement.answers == ()


def test_without_a_champion_there_is_no_reference(school: School) -> None:
    school.ask(students(40, 120), month(0))
    log = school.log()
    assert judge(log, log, None, school.contract).verdict == "no reference"


def test_students_that_the_champion_learned_from_prove_nothing(
    school: School, submission: Submission, processed: Processed
) -> None:
    known = processed.split(school.contract, "train")
    raw = known.assign(GradeClass=known["GradeClass"].to_numpy()[::-1], GPA=np.nan)
    school.ask(raw, month(0))
    verdicts = {finding.verdict for finding in school.judge().relation}
    assert verdicts == {"no labels"}


def test_audit_columns_that_nobody_gave_are_not_tested(school: School) -> None:
    school.ask(students(300, 120).assign(Gender=np.nan), month(0))
    judgement = school.judge()
    assert judgement.verdict == "pass"
    by_name = {finding.name: finding.verdict for finding in judgement.findings}
    assert (by_name["Gender"], by_name["Ethnicity"]) == ("not tested", "pass")


def test_a_grade_that_contradicts_its_score_counts_as_a_fault_and_judges_nothing(school: School) -> None:
    raw = students(300, 120)
    school.ask(raw.assign(GPA=raw["GPA"].to_numpy()[::-1]), month(0))
    by_name = {finding.name: finding for finding in school.judge().findings}
    assert by_name["quarantined: label contradicts score"].verdict == "drift"


@pytest.mark.parametrize(
    ("finding", "clear"),
    [
        (found("drift", 0.0009), False),
        (found("drift", 0.0001), True),
        (found("drift", 0.3, distance=True), True),
        (found("drift"), True),
    ],
    ids=["just below the limit", "a tenth of it", "a distance", "nothing left to test"],
)
def test_an_alarm_is_clear_when_luck_would_hardly_give_it(finding: Finding, *, clear: bool) -> None:
    assert is_clear(finding) is clear
    assert conclude(QUIET, (finding,), ()).clear is clear


def test_grades_outweigh_columns_in_the_verdict() -> None:
    assert conclude(QUIET, (found("drift", 0.0),), ()).verdict == "drift"
    assert conclude(QUIET, (found("drift", 0.0),), (found("drift", 0.0),)).verdict == "loss"
