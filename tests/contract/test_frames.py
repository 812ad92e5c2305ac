"""Raw columns are parsed to their kinds: what was written, not yet judged."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.frames import parse, target_index, to_records
from data.rows.kinds import class_places
from data.rows.records import record_adapter
from tests.contract.tiny import STUDENT, YAML, contract_of, students


def parsed(tiny: Contract, column: str, values: Any) -> list[Any]:
    """Return what a column's raw values are parsed to."""
    raw = students(len(values)).assign(**{column: values})
    found = parse(raw, tiny)[column].astype(object)
    return [None if pd.isna(value) else value for value in found]


@pytest.mark.parametrize(
    "values",
    [
        [3, None, 5],
        ["3", "", "5.0"],
        [" 3 ", "NA", "5"],
        [3.0, np.nan, 5.0],
        pd.array([3, None, 5], dtype="Int64"),
        pd.array([3, None, 5], dtype="Float64"),
        pd.array(["3", None, "5"], dtype="string"),
        pd.Categorical(["3", None, "5"]),
        pd.Categorical([3, None, 5]),
        pd.Series([Decimal(3), None, 5], dtype=object),
        np.array([3, np.nan, 5], dtype=np.float32),
    ],
)
def test_numbers_are_read_from_whatever_holds_them(tiny: Contract, values: Any) -> None:
    assert parsed(tiny, "Days", values) == [3.0, None, 5.0]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["1", "many", "3"], "many"),
        (["1", "3,5", "3"], "3,5"),
        (["1", "1_0", "3"], "1_0"),
        (["1", "0x1F", "3"], "0x1F"),
        (["1", "٣", "3"], "٣"),
        ([1, True, 3], "True"),
        ([1, "nothing", 3], "nothing"),
        ([1, [2], 3], "[2]"),
        ([1, 2 + 1j, 3], "(2+1j)"),
        (pd.Categorical(["1", "x", "3"]), "x"),
        (pd.to_datetime(["NaT", "2026-11-20", "2026-11-21"]), "2026-11-20 00:00:00"),
    ],
)
def test_what_is_no_number_is_named_with_file_row_and_column(tiny: Contract, values: Any, text: str) -> None:
    raw = students(3).assign(Days=pd.Series(values, dtype=None if hasattr(values, "dtype") else object))
    with pytest.raises(BadInput) as refusal:
        parse(raw, tiny, file="roster.csv")
    assert str(refusal.value).startswith(f"roster.csv, row 3, column Days: {text!r} is not a number. ")


def test_booleans_are_no_numbers(tiny: Contract) -> None:
    with pytest.raises(BadInput, match="row 2, column Days: 'True' is not a number"):
        parse(students(2, Days=[True, False]), tiny)


def test_a_decimal_comma_is_told_to_be_a_point(tiny: Contract) -> None:
    with pytest.raises(BadInput, match="Write decimals with a point"):
        parse(students(1, Hours=["4,5"]), tiny)


def test_infinite_numbers_and_those_beyond_floats_are_left_to_quarantine(tiny: Contract) -> None:
    values = pd.Series(["inf", "-Infinity", "1e400", 10**400], dtype=object)
    assert parsed(tiny, "Hours", values) == [np.inf, -np.inf, np.inf, np.inf]


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, None],
        ["0", "1", ""],
        ["North", "south", "NA"],
        [0.0, 1.0, np.nan],
        pd.array([0, 1, None], dtype="Int64"),
        pd.Series([0, "1.0", None], dtype=object),
        pd.Categorical(["North", "South", None]),
    ],
)
def test_codes_are_read_from_codes_texts_and_labels(tiny: Contract, values: Any) -> None:
    assert parsed(tiny, "Group", values) == [0, 1, None]


def test_a_boolean_column_is_read_from_booleans(tiny: Contract) -> None:
    for values in (
        [True, False, None],
        pd.array([True, False, None], dtype="boolean"),
        ["TRUE", "false", ""],
    ):
        assert parsed(tiny, "Club", values) == [1, 0, None]


def test_categories_begin_with_the_codes_and_end_with_what_is_unknown(tiny: Contract) -> None:
    column = parse(students(4, Job=["zoo", "shop", "army", " zoo "]), tiny)["Job"]
    assert column.cat.categories.tolist() == ["farm", "shop", "other", "army", "zoo"]
    assert column.cat.codes.tolist() == [4, 1, 3, 4]


def test_lists_in_a_coded_column_are_unknown_text(tiny: Contract) -> None:
    raw = students(2).assign(Job=pd.Series([["shop"], None], dtype=object))
    assert parse(raw, tiny)["Job"].cat.categories.tolist()[-1] == "['shop']"


def test_a_column_that_is_null_throughout_is_missing_throughout(tiny: Contract) -> None:
    raw = pd.DataFrame(None, index=range(2), columns=[*STUDENT, "Student", "Points", "Grade"])
    frame = parse(raw, tiny)
    assert frame.isna().all(axis=None)
    assert frame["Hours"].dtype == np.float64
    assert target_index(frame, tiny).tolist() == [-1, -1]


def test_a_frame_without_rows_is_parsed_to_one_without_rows(tiny: Contract) -> None:
    frame = parse(students(1).iloc[:0], tiny)
    assert frame.shape == (0, 15)
    assert frame["Hours"].dtype == np.float64


def test_parsing_changes_nothing_of_what_it_was_given(tiny: Contract) -> None:
    raw = students(3, Job=["zoo", "Shop", None], Student=["001", " 2", "3.0"])
    before = raw.copy(deep=True)
    parse(raw, tiny)
    pd.testing.assert_frame_equal(raw, before)


def test_the_rows_index_counts_from_zero_whatever_it_was(tiny: Contract) -> None:
    frame = parse(students(3).set_index(pd.Index([7, 7, 9])), tiny)
    assert frame.index.tolist() == [0, 1, 2]
    assert frame["Student"].tolist() == ["1", "2", "3"]


def test_missing_columns_are_all_named_beside_what_was_found(tiny: Contract) -> None:
    with pytest.raises(BadInput) as refusal:
        parse(students(1).drop(columns=["Days", "Points"]), tiny, file="roster.csv")
    assert str(refusal.value).startswith(
        "roster.csv: missing columns Days, Points. The contract tiny asks for them; found: Group, Hours,"
    )


def test_a_column_that_is_there_twice_is_refused(tiny: Contract) -> None:
    raw = students(1)
    with pytest.raises(BadInput, match="the column 'Days' is there twice"):
        parse(pd.concat([raw, raw[["Days"]]], axis=1), tiny)


def test_a_frame_to_score_needs_its_features_alone_and_loses_score_and_target(tiny: Contract) -> None:
    frame = parse(students(2), tiny, labelled=False)
    assert not {"Points", "Grade", "Early"} & set(frame.columns)
    few = students(2).drop(columns=["Student", "Group", "Points", "Grade", "Early"])
    assert list(parse(few, tiny, labelled=False).columns) == [column.name for column in tiny.features]


def test_a_derived_target_comes_from_its_score() -> None:
    contract = contract_of(YAML.replace("  at_least", "  derive: at_least\n  at_least"))
    frame = parse(students(5, Points=[3.0, 2.999, 2.0, None, 0]).drop(columns="Grade"), contract)
    assert target_index(frame, contract).tolist() == [0, 1, 1, -1, 2]


@pytest.mark.parametrize(
    ("score", "place"), [(4, 0), (3, 0), (2.99, 1), (2, 1), (1.99, 2), (-9, 2), (np.nan, -1)]
)
def test_a_score_on_a_bound_has_reached_it(tiny: Contract, score: float, place: int) -> None:
    assert class_places([score], tiny.target).tolist() == [place]


def test_the_target_may_be_given_as_codes_or_labels(tiny: Contract) -> None:
    frame = parse(students(5, Grade=pd.Series(["a", 1.0, "2", "E", None], dtype=object)), tiny)
    assert target_index(frame, tiny).tolist() == [0, 1, 2, -1, -1]


def test_clean_rows_become_records_that_the_contract_accepts(tiny: Contract) -> None:
    raw = students(2, Sleep=[None, 7.5], Trips=[2, None], Lunch=["Home", None])
    records = to_records(parse(raw, tiny), tiny)
    adapter = record_adapter(tiny)
    assert [adapter.validate_python(record) for record in records] == records
    assert records[0] == {**STUDENT, "Sleep": None}
    assert isinstance(records[0]["Days"], int)
