"""What a contract can say of a file: other headings, what is taken instead, who waits, who comes again."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from data.contract.contract import Contract
from data.errors import BadInput
from data.intake.check import check
from data.rows.frames import matrix, parse, to_records
from data.rows.kinds import Reason, class_places
from data.rows.notation import read_alone
from data.rows.outcomes import outcome_reader
from data.rows.quarantine import quarantine
from data.rows.records import record_adapter, taken_instead
from flows.processing.chunks import examine_rows
from flows.scoring.forecasts import examine
from flows.scoring.rosters import open_roster
from flows.training.rows import training_data
from serving.cells import RowReader
from serving.problems import Problem
from serving.sheet import Sheet, check_header
from tests.contract.files import read_records
from tests.contract.tiny import STUDENT, YAML, contract_of, students


def changed(*pairs: tuple[str, str]) -> Contract:
    text = YAML
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return contract_of(text)


ALIASES = ("{title: Days,", "{title: Days, aliases: [Fehltage, absences],")
FALLBACKS = (
    ("{title: Hours,", "{title: Hours, fallback: 5,"),
    ("{title: Help,", "{title: Help, fallback: 0,"),
    ("{title: Born,", "{title: Born, fallback: 2010-01-31,"),
)
LOW = ("  at_least: {A: 3.0, B: 2.0}", "  at_most: {A: 1.5, B: 3.0}")
WAITS = ("  at_risk: [C]", "  at_risk: [C]\n  waiting: [pending]")
AGAIN = ("{title: Student,", "{title: Student, several: true,")


def in_file(frame: pd.DataFrame, tmp_path: Path, suffix: str = "csv") -> str:
    path = tmp_path / f"students.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    return str(path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("heading", ["Fehltage", "absences", "Days"])
def test_a_file_may_head_a_column_by_an_alias(heading: str, suffix: str, tmp_path: Path) -> None:
    contract = changed(ALIASES)
    path = in_file(students(3, Days=[1, 2, 3]).rename(columns={"Days": heading}), tmp_path, suffix)
    assert parse(read_records(path, contract).frame, contract)["Days"].tolist() == [1.0, 2.0, 3.0]
    assert not [
        problem for problem in check(path, str(written(tmp_path, ALIASES))).problems if "Days" in problem
    ]
    roster = open_roster(path, contract)
    frame, errors = examine(next(iter(roster.chunks())), contract)
    assert frame["Days"].tolist() == [1.0, 2.0, 3.0]
    assert not errors.any()
    assert heading in roster.columns  # which come back as they were


def written(folder: Path, *pairs: tuple[str, str]) -> Path:
    path = folder / "tiny.yaml"
    text = YAML
    for old, new in pairs:
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_column_under_two_of_its_names_is_there_twice(tmp_path: Path) -> None:
    contract = changed(ALIASES)
    with pytest.raises(BadInput, match="'Days' is there twice"):
        read_records(in_file(students(3, Fehltage=1, absences=2).drop(columns="Days"), tmp_path), contract)
    assert contract.named(["Days", "Fehltage"]) == ["Days", "Fehltage"]  # its own name wins
    with pytest.raises(Problem):
        check_header(["Fehltage", "absences"], contract, ())


def test_an_alias_may_not_be_another_column() -> None:
    with pytest.raises(BadInput, match=r"columns\.Days\.aliases: 'Hours' is a column or an alias already"):
        changed(("{title: Days,", "{title: Days, aliases: [Hours],"))


def batch(contract: Contract, frame: pd.DataFrame) -> tuple[list[dict[str, Any]], list[str], Sheet]:
    sheet = Sheet(io.BytesIO(frame.to_csv(index=False).encode()))
    check_header(sheet.header, contract, ())
    (rows,) = sheet.chunks(100)
    settled = sheet.settled(contract)
    records, errors = RowReader(sheet.header, contract, settled.notations).read(rows)
    return records, [*errors, *settled.notes], sheet


def test_the_predictor_reads_a_file_by_aliases_too() -> None:
    records, errors, sheet = batch(changed(ALIASES), students(2, Fehltage=[4, 5]).drop(columns="Days"))
    assert [record["Days"] for record in records] == [4, 5]
    assert errors == ["", ""]
    assert "Fehltage" in sheet.header


def test_what_is_missing_is_taken_from_the_fallback_at_every_door() -> None:
    contract = changed(*FALLBACKS)
    lacking = students(3, Hours=[None, 4.5, None]).drop(columns=["Help", "Born"])
    records, says, _ = batch(contract, lacking)
    assert [record["Hours"] for record in records] == [5, 4.5, 5]
    assert {(record["Help"], record["Born"]) for record in records} == {(0, "2010-01-31")}
    assert "column Help: it is not in the file, and 0 is taken for it" in says
    assert "column Hours: 5 is taken where a cell is empty" in says
    frame = parse(lacking, contract)
    again = parse(pd.DataFrame(to_records(frame, contract)), contract, labelled=False)
    np.testing.assert_array_equal(matrix(again, contract), matrix(frame, contract))
    assert [record["Hours"] for record in to_records(frame, contract)] == [5, 4.5, 5]
    assert not len(quarantine(frame, contract)[1])
    assert read_alone(contract.columns["Born"], "") == "2010-01-31"


def test_a_record_may_lack_what_has_a_fallback_and_it_can_be_told_what_was_taken() -> None:
    contract = changed(*FALLBACKS)
    raw = {name: value for name, value in STUDENT.items() if name != "Help"} | {"Hours": None}
    adapter = record_adapter(contract)
    assert adapter.validate_python(raw) == {**STUDENT, "Hours": 5, "Help": 0}
    assert taken_instead(raw, contract) == {"Hours": 5, "Help": 0}
    assert "Help" not in adapter.json_schema()["required"]
    with pytest.raises(ValidationError):
        adapter.validate_python({**raw, "Hours": 99})


def test_a_cell_that_is_no_number_is_not_taken_from_the_fallback() -> None:
    contract = changed(*FALLBACKS)
    with pytest.raises(BadInput, match="'many' is not a number"):
        parse(students(1, Hours=["many"]), contract)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("{title: Hours,", "{title: Hours, fallback: 99,"), "99 is not what the column can be"),
        (("{title: Days,", "{title: Days, fallback: 1.5,"), "1.5 is not what the column can be"),
        (("{title: Help,", "{title: Help, fallback: 7,"), "7 is none of the codes"),
        (("{title: Sleep,", "{title: Sleep, fallback: 7,"), "for a feature that is not nullable"),
        (("{title: Born,", "{title: Born, fallback: 7,"), "write a day for a date"),
        (("{title: Hours,", "{title: Hours, fallback: yes,"), "a fallback is a number, a code or a day"),
        (("{title: Hours,", "{title: Hours, several: true,"), "the id of students with several rows"),
        (("  at_least: {A: 3.0, B: 2.0}", "  at_most: {A: 3.0, B: 2.0}"), "the bounds must rise"),
        (("  at_risk: [C]", "  at_risk: [C]\n  at_most: {A: 1, B: 2}"), "give one of the two"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_with_its_reason(change: tuple[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        changed(change)


def test_a_score_may_be_better_when_low() -> None:
    contract = changed(LOW)
    marks = [1.0, 1.5, 1.6, 3.0, 3.1, np.nan]
    assert class_places(marks, contract.target).tolist() == [0, 0, 1, 1, 2, -1]
    frame = parse(students(3, Points=[1.0, 2.0, 4.0], Grade=["A", "B", "A"]), contract)
    assert quarantine(frame, contract)[1][["row", "reason"]].to_numpy().tolist() == [
        [4, Reason.CONTRADICTION]
    ]
    data = training_data(frame, contract)
    assert data.score is not None
    assert data.bounds is not None
    np.testing.assert_array_equal((data.score[:, None] < np.array(data.bounds)).sum(axis=1), [0, 1, 2])
    outcome, faults, _ = outcome_reader(contract)({"Student": 1, "Points": 3.5})
    assert (outcome["outcome"], outcome["score"], faults) == ("C", 3.5, [])


def test_a_pass_may_be_derived_from_a_low_mark() -> None:
    old = "  classes: {0: A, 1: B, 2: C}\n  at_risk: [C]\n  at_least: {A: 3.0, B: 2.0}"
    contract = changed((old, "  classes: {1: Pass, 0: Fail}\n  at_risk: [Fail]\n  derive: Points <= 2.5"))
    frame = parse(students(3, Points=[2.5, 2.6, 1.0]).drop(columns="Grade"), contract)
    assert frame["Grade"].tolist() == [1, 0, 1]


def test_rows_whose_outcome_is_not_yet_known_wait_and_are_not_bad(tmp_path: Path) -> None:
    contract = changed(WAITS)
    raw = students(40, Grade=["A", None, "Pending", *[2] * 37], Points=[4.0, np.nan, np.nan, *[1.0] * 37])
    clean, faults = quarantine(parse(raw.assign(Days=[3, np.nan, *[3] * 38]), contract), contract)
    assert len(clean) == 38
    assert faults[["row", "reason"]].to_numpy().tolist() == [[3, Reason.WAITING], [4, Reason.WAITING]]
    report = check(in_file(raw, tmp_path), str(written(tmp_path, WAITS)))
    assert "2 of 40 rows wait for their outcome: they are not learned from, and not bad" in report.notes
    assert not [problem for problem in report.problems if "Grade" in problem or "Points" in problem]


def test_a_student_with_several_rows_is_kept_together_and_no_duplicate() -> None:
    contract = changed(AGAIN)
    raw = students(60, Student=[n // 3 for n in range(3, 63)])
    frame, faults = examine_rows(raw, 0, contract, "x", "key", 0.3)
    assert not len(faults)
    assert frame.groupby("person")["split"].nunique().max() == 1
    assert training_data(frame, contract).students is not None
    assert len(set(training_data(frame, contract).students.tolist())) == 20
    plain, doubles = examine_rows(raw, 0, contract_of(), "x", "key", 0.3)
    assert len(doubles) == 40
    assert "person" not in plain
