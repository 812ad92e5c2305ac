"""A bundle shows nobody that a model learned from, and counts only when it answers in a clean process."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from data.bundle.manifest import BOOSTER, CARD, EXAMPLES, MODEL, BundleError
from data.contract.contract import Contract
from data.rows.frames import parse, to_records
from data.rows.records import record_adapter
from flows.registry import bundling
from flows.registry.bundling import Submission, made_up, make_bundle, verify_bundle
from flows.settings import Settings
from tests.contract.tampering import seal
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


@pytest.fixture
def bundle(tmp_path: Path, bundle_folder: Path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))


def spoil_the_card(folder: Path) -> None:
    (folder / CARD).write_text("a better card")


def name_a_pickle(folder: Path) -> None:
    (folder / "head.pkl").write_bytes(b"")


def hide_a_pickle(folder: Path) -> None:
    (folder / CARD).write_bytes(pickle.dumps({"cuts": [1, 2]}))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_the_card, "the bytes are not those that were registered"),
        (name_a_pickle, "head.pkl: a pickle may not be in a bundle"),
        (hide_a_pickle, "card.md: a pickle may not be in a bundle"),
    ],
)
def test_a_bundle_that_is_not_what_was_registered_is_refused(
    bundle: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(bundle)
    with pytest.raises(BundleError, match=says):
        verify_bundle(bundle)


def promise_other_answers(path: Path) -> None:
    examples = json.loads(path.read_text())
    examples[3]["probabilities"].reverse()
    path.write_text(json.dumps(examples))


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "spoil"), [(EXAMPLES, promise_other_answers), (MODEL, halve), (BOOSTER, halve)]
)
def test_a_bundle_that_cannot_answer_or_crashes_is_refused_though_its_digests_agree(
    bundle: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    spoil(bundle / name)
    seal(bundle, name)
    with pytest.raises(BundleError, match="refused in a clean process"):
        verify_bundle(bundle)


def test_a_bundle_that_needs_what_serving_lacks_is_refused_and_leaves_nothing_under_its_final_name(
    submission: Submission, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "BARRED", (*bundling.BARRED, "onnxruntime"))
    elsewhere = replace(submission, settings=settings.model_copy(update={"home": tmp_path}))
    with pytest.raises(BundleError, match="serving has no onnxruntime"):
        make_bundle(elsewhere)
    assert not elsewhere.place.exists()
