"""Rows to score are understood alike as texts and as typed cells, and logged as the record that was asked."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.contract.columns import Column
from data.contract.contract import Contract, load_contract
from data.rows.frames import matrix, to_records
from flows.scoring.forecasts import examine, present, records_as_json

CONTRACTS = ("grade_class", "pass_fail", "exam_scores", "after_school")


def students(contract: Contract, rows: int = 100) -> pd.DataFrame:
    """Return students of any contract, drawn from what it allows."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({column.name: _drawn(column, rows, rng) for column in contract.asked})
    return frame if contract.id is None else frame.assign(**{contract.id.name: range(1001, 1001 + rows)})


def _drawn(column: Column, rows: int, rng: np.random.Generator) -> pd.Series:
    low, high = column.limits
    if column.coded:
        cells = pd.Series(rng.choice(np.array([*column.codes], dtype=object), rows))
    else:
        cells = pd.Series(
            rng.integers(int(low), int(high) + 1, rows) if column.whole else rng.uniform(low, high, rows)
        )
    return cells.mask(rng.random(rows) < 0.1) if column.nullable else cells


def roster(contract: Contract) -> pa.Table:
    """Return the students as a CSV has them: every cell as text."""
    frame = students(contract).astype(object)
    texts = {name: ["" if pd.isna(value) else str(value) for value in frame[name]] for name in frame}
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in texts.items()})


@pytest.mark.parametrize("name", CONTRACTS)
def test_cells_of_a_parquet_file_are_understood_as_their_texts_are(name: str) -> None:
    contract = load_contract(name)
    typed = pa.Table.from_pandas(students(contract), preserve_index=False)
    (of_types, wrong), (of_texts, wrong_too) = examine(typed, contract), examine(roster(contract), contract)
    assert set(wrong) == set(wrong_too) == {""}
    np.testing.assert_array_equal(matrix(of_types, contract), matrix(of_texts, contract))


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_log_keeps_the_record_that_asks_for_the_same_forecast(name: str) -> None:
    contract = load_contract(name)
    rows, _ = examine(roster(contract), contract)
    seen = present(contract, rows)
    texts = records_as_json(rows, seen).to_pylist()
    assert [json.loads(text) for text in texts] == to_records(rows, seen)
