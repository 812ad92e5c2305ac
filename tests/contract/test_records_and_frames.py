"""A record keeps its schema, and gives the model what the same row of a frame gives it."""

import json

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.contract.contract import FOLDER, Contract, load_contract
from data.rows.frames import matrix, parse
from data.rows.records import MANY, matrix_maker, record_adapter
from tests.contract.tiny import contract_of, records_of

CONTRACTS = [*(load_contract(path) for path in sorted(FOLDER.glob("*.yaml"))), contract_of()]
each_contract = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)


@each_contract
def test_the_json_schema_is_valid_and_names_what_may_be_asked(contract: Contract) -> None:
    schema = json.loads(json.dumps(record_adapter(contract).json_schema(), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema)
    ids = [contract.id.name] if contract.id else []
    assert set(schema["properties"]) == {*ids, *(column.name for column in contract.asked)}
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
    assert matrix_maker(tiny)([]).shape == (0, 13)
