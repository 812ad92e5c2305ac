"""A student is in one split for ever: by the keyed hash of the id alone, however it is written."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.contract.contract import Contract
from data.rows.frames import parse, pseudonyms, splits, student_ids
from data.rows.ids import canonical_id, canonical_text, pseudonym, split_position
from tests.contract.tiny import YAML, contract_of, rows_of, students

KEY = "the key of a school"
ANONYMOUS = contract_of(YAML.replace("  Student: {title: Student, role: id, kind: integer, min: 1}\n", ""))


def split_of(raw: pd.DataFrame, contract: Contract, key: str = KEY, share: float = 0.2) -> dict[str, str]:
    """Return each student's split by id."""
    frame = parse(raw, contract)
    return dict(
        zip(student_ids(frame, contract), splits(pseudonyms(frame, contract, key), share), strict=True)
    )


@pytest.mark.parametrize(
    "values",
    [
        [1001, 1002],
        [1001.0, 1002.0],
        ["1001", "1002"],
        ["1001.0", " 1002 "],
        ["01001", "0001002"],
        pd.array([1001, 1002], dtype="Int64"),
        pd.Categorical(["1001", "1002"]),
        pd.Series([1001, "1002.0"], dtype=object),
    ],
)
def test_an_id_is_one_student_however_it_is_written(tiny: Contract, values: list[object]) -> None:
    frame = parse(students(2, Student=values), tiny)
    assert student_ids(frame, tiny) == ["1001", "1002"]


@pytest.mark.parametrize(
    ("value", "whole", "text"),
    [
        ("S-7", False, "S-7"),
        (" S-7 ", False, "S-7"),
        ("007", False, "007"),
        ("007", True, "7"),
        ("0", True, "0"),
        ("000", True, "0"),
        ("-07", True, "-7"),
        (7.0, False, "7"),
        ("7.50", True, "7.50"),
        ("A1.0", False, "A1.0"),
        ("1.0.0", False, "1.0.0"),
        ("", False, ""),
        ("NA", False, ""),
        (float("nan"), True, ""),
    ],
)
def test_an_id_has_one_canonical_text(value: object, whole: bool, text: str) -> None:
    assert canonical_id(value, whole=whole) == text
    assert canonical_id(text, whole=whole) == text


@settings(deadline=None)
@given(value=st.one_of(st.text(), st.integers(), st.floats()), whole=st.booleans())
def test_the_canonical_text_of_an_id_is_its_own(value: object, whole: bool) -> None:
    once = canonical_id(value, whole=whole)
    assert canonical_id(once, whole=whole) == once


def test_students_stay_where_they_are_when_rows_are_added_reordered_or_written_otherwise(
    tiny: Contract,
) -> None:
    first = students(200, Student=range(1001, 1201))
    before = split_of(first, tiny)
    more = pd.concat([students(300, Student=range(5001, 5301)), first]).sample(frac=1, random_state=1)
    after = split_of(more.assign(Student=more["Student"].astype(float)), tiny)
    assert {name: after[name] for name in before} == before
    assert set(before.values()) == {"train", "test"}


def test_nothing_but_the_id_decides_the_split(tiny: Contract) -> None:
    first = students(100)
    other = first.assign(Hours=19.0, Group=0, Grade=2, Points=0.5, Job="farm")
    assert split_of(first, tiny) == split_of(other, tiny)


def test_another_key_splits_anew_and_hides_who_is_who(tiny: Contract) -> None:
    raw = students(300)
    assert split_of(raw, tiny) != split_of(raw, tiny, key="another key")
    frame = parse(raw, tiny)
    assert not set(pseudonyms(frame, tiny, KEY)) & set(pseudonyms(frame, tiny, "another key"))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_of_the_test_split_is_close_to_its_setting(tiny: Contract, share: float) -> None:
    found = list(split_of(students(4000), tiny, share=share).values()).count("test") / 4000
    assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / 4000)


def test_a_larger_test_split_holds_the_smaller_one(tiny: Contract) -> None:
    raw = students(300)
    small, large = split_of(raw, tiny, share=0.1), split_of(raw, tiny, share=0.3)
    assert "test" in small.values()
    assert all(large[name] == "test" for name, split in small.items() if split == "test")


def test_a_row_whose_id_is_missing_has_no_pseudonym(tiny: Contract) -> None:
    frame = parse(students(3, Student=[7, None, " "]), tiny)
    found = pseudonyms(frame, tiny, KEY)
    assert found.tolist() == [pseudonym("7", KEY), "", ""]
    assert len(splits(found, 0.2)) == 3


def test_a_pseudonym_is_32_hex_digits_and_the_same_for_ever() -> None:
    assert pseudonym("1001") == "55e98da3fbffd43f63e3c5ddaf588e8c"
    assert 0 <= split_position("0" * 32) < split_position("f" * 32) < 1


def test_without_an_id_the_row_itself_is_the_id(tiny: Contract) -> None:
    raw = students(2, Hours=[1.0, 2.0])
    ids = student_ids(parse(raw, ANONYMOUS), ANONYMOUS)
    assert len(set(ids)) == 2
    written = raw.assign(Hours=["1", " 2.0"], Job="Shop", Days="3", Club="yes", Group="South")
    assert student_ids(parse(written, ANONYMOUS), ANONYMOUS) == ids
    assert student_ids(parse(raw.assign(Points=0.5, Grade=2, Early=9), ANONYMOUS), ANONYMOUS) == ids


@settings(max_examples=20, deadline=None)
@given(rows=rows_of(ANONYMOUS))
def test_a_row_has_the_same_id_from_json_as_from_a_frame(rows: list[dict[str, object]]) -> None:
    raw = pd.DataFrame(rows, dtype=object)
    again = pd.DataFrame(json.loads(json.dumps(rows)), dtype=object)
    ids = [student_ids(parse(frame, ANONYMOUS), ANONYMOUS) for frame in (raw, again, raw[::-1])]
    assert ids[0] == ids[1] == ids[2][::-1]


@pytest.mark.parametrize("values", [(3, 3.0, np.int64(3), np.float32(3)), (0.0, -0.0, 0), (None, np.nan)])
def test_equal_values_have_one_canonical_text(values: tuple[object, ...]) -> None:
    assert len({canonical_text(value) for value in values}) == 1


def test_the_real_courses_have_no_id_and_almost_every_student_a_row_of_ones_own(
    pass_fail: Contract, real_courses: object
) -> None:
    frame = parse(pd.read_csv(str(real_courses), sep=";"), pass_fail)
    found = pd.Series(pseudonyms(frame, pass_fail, KEY))
    assert found.nunique() > 0.98 * len(frame)


def test_a_student_without_id_and_without_audit_columns_is_one_whose_audit_cells_are_empty() -> None:
    frame = parse(students(3, Group=[None, None, None]), ANONYMOUS)
    assert student_ids(frame.drop(columns="Group"), ANONYMOUS) == student_ids(frame, ANONYMOUS)
