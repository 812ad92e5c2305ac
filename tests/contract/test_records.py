"""A record is accepted when it keeps the contract, else refused with every broken field named."""

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.contract.contract import FOLDER, Contract, load_contract
from data.rows.frames import matrix, parse
from data.rows.records import MANY, matrix_maker, record_adapter
from tests.contract.tiny import STUDENT, YAML, contract_of, records_of

CONTRACTS = [*(load_contract(path) for path in sorted(FOLDER.glob("*.yaml"))), contract_of()]
each_contract = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
ADAPTER = record_adapter(contract_of())


def fields(refusal: pytest.ExceptionInfo[ValidationError]) -> list[str]:
    """Return the broken fields that a refusal names."""
    return [str(error["loc"][0]) for error in refusal.value.errors()]


@pytest.mark.parametrize(
    ("column", "given", "meant"),
    [
        ("Help", 2, 2),
        ("Help", "2", 2),
        ("Help", "2.0", 2),
        ("Help", "Much", 2),
        ("Help", " much ", 2),
        ("Help", "None", 0),
        ("Job", "shop", "shop"),
        ("Job", "Shop", "shop"),
        ("Club", True, 1),
        ("Club", False, 0),
        ("Club", "yes", 1),
        ("Club", "true", 1),
        ("Club", 0, 0),
        ("Award", None, None),
        ("Lunch", None, None),
        ("Sleep", None, None),
        ("Trips", None, None),
        ("Hours", 0, 0.0),
        ("Hours", 20, 20.0),
        ("Hours", 1e-320, 1e-320),
        ("Days", 30, 30),
        ("Group", "North", 0),
        ("Student", 7, "7"),
        ("Student", " 007 ", "7"),
        ("Student", "7.0", "7"),
        ("Student", 10**30, str(10**30)),
    ],
)
def test_codes_labels_and_numbers_are_taken_for_what_they_mean(column: str, given: Any, meant: Any) -> None:
    accepted = ADAPTER.validate_python({**STUDENT, column: given})[column]
    assert accepted == meant
    assert type(accepted) is type(meant)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("Help", 3, "give one of 0 (None), 1 (Some), 2 (Much)"),
        ("Help", -1, "give one of 0 (None)"),
        ("Help", 2.0, "give one of 0 (None)"),
        ("Help", True, "give one of 0 (None)"),
        ("Help", "true", "give one of 0 (None)"),
        ("Help", None, "give one of 0 (None)"),
        ("Help", "", "give one of 0 (None)"),
        ("Help", "0_2", "give one of 0 (None)"),
        ("Help", "٢", "give one of 0 (None)"),
        ("Help", [2], "give one of 0 (None)"),
        ("Help", {"code": 2}, "give one of 0 (None)"),
        ("Help", float("nan"), "give one of 0 (None)"),
        ("Help", 10**400, "give one of 0 (None)"),
        ("Help", "\ud800", "give one of 0 (None)"),
        ("Job", "zoo", "give one of farm (Farm), shop (Shop), other (Other)"),
        ("Job", 0, "give one of farm (Farm)"),
        ("Club", 2, "give one of 0 (No), 1 (Yes)"),
        ("Club", "perhaps", "give one of 0 (No), 1 (Yes)"),
        ("Award", "", "give one of 0 (No), 1 (Yes)"),
        ("Group", None, "give one of 0 (North), 1 (South)"),
        ("Days", True, "valid integer"),
        ("Days", False, "valid integer"),
        ("Days", 3.0, "valid integer"),
        ("Days", "3", "valid integer"),
        ("Days", None, "valid integer"),
        ("Days", [3], "valid integer"),
        ("Days", float("nan"), "valid integer"),
        ("Days", float("inf"), "valid integer"),
        ("Days", 31, "less than or equal to 30"),
        ("Days", -1, "greater than or equal to 0"),
        ("Days", 10**400, "less than or equal to 30"),
        ("Trips", -1, "greater than or equal to 0"),
        ("Trips", 10**400, "less than or equal to"),
        ("Hours", True, "valid number"),
        ("Hours", "4.5", "valid number"),
        ("Hours", None, "valid number"),
        ("Hours", float("nan"), "finite number"),
        ("Hours", float("inf"), "finite number"),
        ("Hours", float("-inf"), "finite number"),
        ("Hours", 20.000001, "less than or equal to 20"),
        ("Hours", -1e-9, "greater than or equal to 0"),
        ("Hours", 10**400, "valid number"),
        ("Sleep", 1e39, "less than or equal to"),
        ("Sleep", float("nan"), "finite number"),
        ("Student", "S-7", "give the id as a whole number"),
        ("Student", 7.0, "give the id as a whole number"),
        ("Student", True, "give the id as a whole number"),
        ("Student", None, "give the id as a whole number"),
        ("Student", " ", "give the id as a whole number"),
        ("Student", "٧", "give the id as a whole number"),
        ("Student", 0, "this id is out of range"),
        ("Student", -5, "this id is out of range"),
    ],
)
def test_a_broken_field_is_refused_by_name_with_what_is_wanted(column: str, value: Any, says: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ADAPTER.validate_python({**STUDENT, column: value})
    assert fields(refusal) == [column]
    assert says in refusal.value.errors()[0]["msg"]


@pytest.mark.parametrize("column", [column.name for column in contract_of().features])
def test_a_missing_feature_is_refused_even_a_nullable_one(column: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ADAPTER.validate_python({key: value for key, value in STUDENT.items() if key != column})
    assert fields(refusal) == [column]


@pytest.mark.parametrize("name", ["Points", "Grade", "Early", "days", "Days ", "", "__proto__"])
def test_score_target_leaks_and_unknown_fields_are_refused(name: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ADAPTER.validate_python({**STUDENT, name: 1})
    assert fields(refusal) == [name]


def test_id_and_audit_columns_may_be_left_out(tiny: Contract) -> None:
    alone = {column.name: STUDENT[column.name] for column in tiny.features}
    assert ADAPTER.validate_python(alone) == alone


def test_every_broken_field_is_named_at_once() -> None:
    broken = {**STUDENT, "Days": "x", "Help": 9, "Group": 9, "Club": 5, "Hours": float("nan"), "Extra": 1}
    del broken["Job"]
    with pytest.raises(ValidationError) as refusal:
        ADAPTER.validate_python(broken)
    assert sorted(fields(refusal)) == ["Club", "Days", "Extra", "Group", "Help", "Hours", "Job"]


@pytest.mark.parametrize("value", [None, 1, "x", [], [STUDENT], True, 1.5])
def test_what_is_no_record_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="valid dictionary"):
        ADAPTER.validate_python(value)


def test_a_brace_in_a_label_is_no_trouble() -> None:
    adapter = record_adapter(contract_of(YAML.replace("0: None", "0: '{nothing}'")))
    with pytest.raises(ValidationError, match=r"give one of 0 \(\{nothing\}\)"):
        adapter.validate_python({**STUDENT, "Help": 7})


def test_validating_changes_nothing_of_the_record() -> None:
    record = {**STUDENT, "Help": "Much"}
    ADAPTER.validate_python(record)
    assert record == {**STUDENT, "Help": "Much"}


@each_contract
def test_the_json_schema_is_valid_and_names_what_may_be_asked(contract: Contract) -> None:
    schema = json.loads(json.dumps(record_adapter(contract).json_schema(), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema)
    ids = [contract.id.name] if contract.id else []
    passed = ["elapsed"] if contract.accumulating else []
    assert set(schema["properties"]) == {*ids, *(column.name for column in contract.asked), *passed}
    assert schema["required"] == [column.name for column in contract.features]
    assert schema["additionalProperties"] is False
    assert all(column.title in json.dumps(schema) for column in contract.features)


@each_contract
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_record_that_keeps_the_contract_keeps_its_schema_and_is_accepted_as_it_is(
    contract: Contract, data: st.DataObject
) -> None:
    adapter = record_adapter(contract)
    record = data.draw(records_of(contract))
    jsonschema.validate(record, adapter.json_schema())
    assert adapter.validate_python(record) == record
    assert adapter.validate_json(json.dumps(record)) == record


@each_contract
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_record_has_the_same_floats_alone_and_in_a_frame(contract: Contract, data: st.DataObject) -> None:
    records = data.draw(st.lists(records_of(contract), min_size=1, max_size=5))
    frame = parse(pd.DataFrame(records, dtype=object), contract, labelled=False)
    validated = [record_adapter(contract).validate_python(record) for record in records]
    expected, to_matrix = matrix(frame, contract), matrix_maker(contract)
    np.testing.assert_array_equal(to_matrix(validated), expected)
    np.testing.assert_array_equal(to_matrix(validated * MANY), np.tile(expected, (MANY, 1)))


def test_no_records_make_a_matrix_without_rows(tiny: Contract) -> None:
    assert matrix_maker(tiny)([]).shape == (0, 14)
