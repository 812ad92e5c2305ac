"""A student who comes again in a later chunk is the duplicate; the first one stays."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.rows.ids import PUBLIC_KEY
from flows.processing.chunks import SeenIds, counted, examine_chunk, examine_rows, with_repeats


def names_of(numbers: list[int]) -> pa.ChunkedArray:
    """Pseudonyms for numbers, and none for 0."""
    return pa.chunked_array([[f"{n * 2**61 + n:032x}" if n else "" for n in numbers]], pa.string())


@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=12))
def test_who_was_met_before_is_found_in_any_order_of_calls(calls: list[list[int]]) -> None:
    seen, before = SeenIds(), set()
    for numbers in calls:
        assert seen.repeated(names_of(numbers)).tolist() == [n in before for n in numbers]
        before |= {n for n in numbers if n}


def test_pseudonyms_with_one_half_in_common_are_two_students() -> None:
    seen = SeenIds()
    seen.repeated(pa.chunked_array([["a" * 32]]))
    others = pa.chunked_array([["a" * 16 + "b" * 16, "b" * 16 + "a" * 16, "a" * 32]])
    assert seen.repeated(others).tolist() == [False, False, True]


@pytest.fixture(scope="module")
def doubled(grade_class: Contract) -> pd.DataFrame:
    """Sixty rows: of students who come again in their chunk, in a later one, and with other faults."""
    frame = cohort.generate(60, seed=4).astype({"Absences": object})
    for row, first in ((5, 4), (25, 3), (45, 3), (46, 25), (59, 20)):
        frame["StudentID"] = frame["StudentID"].where(frame.index != row, frame["StudentID"][first])
    frame.loc[45, "Absences"] = 99
    frame.loc[[7, 33], "StudentID"] = np.nan
    return frame


@pytest.mark.parametrize("rows", [1, 10, 25, 60])
def test_chunks_find_the_faults_that_the_whole_has(
    doubled: pd.DataFrame, grade_class: Contract, rows: int
) -> None:
    options = grade_class, "a file", PUBLIC_KEY, 0.2
    chunks = [doubled.iloc[at : at + rows].reset_index(drop=True) for at in range(0, 60, rows)]
    seen = SeenIds()
    frames = counted(chunks)
    pieces = [
        with_repeats(examine_chunk(frame, first, *options), seen, "StudentID") for first, frame in frames
    ]
    whole, faults = examine_rows(doubled, 0, *options)
    found = pd.concat([piece.faults for piece in pieces], ignore_index=True)
    expected = faults.assign(value=faults["value"].astype(str))
    pd.testing.assert_frame_equal(found.astype(object), expected.astype(object), check_dtype=False)
    marks = [mark for piece in pieces for mark in piece.table["quarantine"].to_pylist()]
    assert marks == whole["quarantine"].tolist()
    assert (faults["reason"] == "duplicate id").sum() == 5


def test_rows_without_ids_are_no_duplicates_however_alike(
    grade_class: Contract, doubled: pd.DataFrame
) -> None:
    piece = examine_chunk(doubled, 0, grade_class, "a file", PUBLIC_KEY, 0.2)
    seen = SeenIds()
    assert with_repeats(piece, seen, None) is piece
    assert with_repeats(piece, seen, None) is piece
