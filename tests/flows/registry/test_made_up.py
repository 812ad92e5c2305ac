"""The students that are shown to people: nobody, and like no student that a model learned from."""

import json
from pathlib import Path

import pandas as pd
import pytest

from data.bundle.manifest import EXAMPLES
from data.contract.contract import Contract
from data.rows.frames import parse, to_records
from data.rows.records import record_adapter
from flows.registry.bundling import Submission, made_up
from tests.contract.tiny import YAML, contract_of, students

FEW = """\
name: few
title: A contract with four possible records
target: {column: Grade, title: Grade, classes: {0: A, 1: B}, at_risk: [B]}
rule_of_thumb: Club
columns:
  Club: {title: Club, kind: boolean}
  Help: {title: Help, kind: boolean}
"""


def drawn(contract: Contract, raw: pd.DataFrame, count: int = 20) -> pd.DataFrame:
    frame = parse(raw, contract)
    return made_up(frame, [frame], contract, count)


def test_no_student_of_any_split_is_like_a_bundles_examples(
    submission: Submission, bundle_folder: Path
) -> None:
    examples = [item["record"] for item in json.loads((bundle_folder / EXAMPLES).read_bytes())]
    everyone = submission.processed.parsed(submission.contract)
    exact = [c.name for c in submission.contract.features if c.name != "StudyTimeWeekly"]
    texts = everyone[exact].astype(float).astype(int)
    assert len(examples) == 20
    for record in examples:
        like = (texts == pd.Series({name: record[name] for name in exact})).all(axis=1)
        assert record["StudyTimeWeekly"] == round(record["StudyTimeWeekly"], 1)
        near = (everyone["StudyTimeWeekly"] - record["StudyTimeWeekly"]).abs() <= 0.05
        assert not (like & near).any()
        assert not {"Gender", "Ethnicity", "StudentID"} & record.keys()


def test_they_keep_the_contract_and_say_what_students_say() -> None:
    contract = contract_of()
    raw = students(
        60, Hours=[0.3 + n / 7 for n in range(60)], Days=[n % 5 for n in range(60)], Sleep=[None, 8.25] * 30
    )
    frame = drawn(contract, raw)
    adapter = record_adapter(contract)
    records = [
        {name: value for name, value in record.items() if name in adapter.validate_python(record)}
        for record in to_records(frame.assign(Group=parse(raw, contract)["Group"].iloc[0]), contract)
    ]
    assert {record["Sleep"] for record in records} == {None, 8.25}
    assert {record["Days"] for record in records} <= set(range(5))
    assert {record["Job"] for record in records} == {"shop"}
    assert all(0.3 <= record["Hours"] <= 8.8 for record in records)


def test_they_are_the_same_for_the_same_students() -> None:
    contract, raw = contract_of(YAML), students(40, Hours=[n / 3 for n in range(40)])
    pd.testing.assert_frame_equal(drawn(contract, raw), drawn(contract, raw))


@pytest.mark.parametrize(("held_by_one", "shown"), [([], (1, 1)), ([(1, 1)], (0, 0))])
def test_a_record_that_is_one_students_gives_way_to_nobodys_else_to_everybodys(
    held_by_one: list[tuple[int, int]], shown: tuple[int, int]
) -> None:
    contract = contract_of(FEW)
    held = [(0, 0)] * 9 + [(1, 0)] * 5 + [(0, 1)] * 4 + held_by_one
    raw = pd.DataFrame(held, columns=["Club", "Help"]).assign(Grade=0)
    records = to_records(drawn(contract, raw), contract)
    assert {(record["Club"], record["Help"]) for record in records} == {shown}
