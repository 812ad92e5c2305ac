"""The quick look at whole columns says what the close look at each row says."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.contract.columns import Column, Kind
from data.contract.contract import Contract, load_contract
from data.rows.frames import matrix, to_records
from flows.scoring.forecasts import examine, examine_closely, present, records_as_json

WILD = (
    *("", " ", "NA", "nan", "nan(1)", "None", "null", "0", "1", " 1", "1 ", "01", "1.0", "1.5", "-1", "+2"),
    *("1e1", "1e400", "inf", "-Infinity", "1_0", "1,5", ".5", "5.", "0x1", "many", "=1", "true", "Yes", "ü"),
)
CONTRACTS = ("grade_class", "pass_fail", "exam_scores", "after_school")


def students(contract: Contract, rows: int = 400) -> pd.DataFrame:
    """Return students of any contract, drawn from what it allows."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({column.name: _drawn(column, rows, rng) for column in contract.asked})
    return frame if contract.id is None else frame.assign(**{contract.id.name: range(1001, 1001 + rows)})


def _drawn(column: Column, rows: int, rng: np.random.Generator) -> pd.Series:
    low, high = column.limits
    if column.coded:
        codes = list(column.codes)
        cells = pd.Series([codes[place] for place in rng.integers(len(codes), size=rows)])
    elif column.kind is Kind.INTEGER:
        cells = pd.Series(rng.integers(int(low), int(high) + 1, rows))
    else:
        cells = pd.Series(rng.uniform(low, high, rows))
    return cells.mask(rng.random(rows) < 0.1) if column.nullable else cells


def roster(contract: Contract) -> pa.Table:
    """Return the students as a CSV has them: every cell as text."""
    frame = students(contract)
    texts = {name: [_text(value) for value in frame[name].astype(object)] for name in frame}
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in texts.items()})


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)


def spoiled(table: pa.Table, seed: int) -> pa.Table:
    """Return a table with a wild cell in about every second row."""
    rng = np.random.default_rng(seed)
    frame = table.to_pandas().astype(object)
    for row in np.flatnonzero(rng.random(len(frame)) < 0.5):
        frame.iloc[int(row), int(rng.integers(frame.shape[1]))] = str(rng.choice(WILD))
    return pa.table({name: pa.array(frame[name], pa.string()) for name in frame})


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize("spoil", [False, True])
def test_whole_columns_and_single_rows_are_understood_alike(name: str, *, spoil: bool) -> None:
    contract = load_contract(name)
    table = spoiled(roster(contract), seed=1) if spoil else roster(contract)
    (quick, said), (close, wanted) = examine(table, contract), examine_closely(table, contract)
    assert said.tolist() == wanted.tolist()
    assert (wanted != "").any() == spoil
    sound = np.flatnonzero(wanted == "")
    quick, close = (frame.iloc[sound].reset_index(drop=True) for frame in (quick, close))
    np.testing.assert_array_equal(matrix(quick, contract), matrix(close, contract))
    for column in set(quick) & set(close):
        assert _cells(quick[column]) == _cells(close[column])


def _cells(series: pd.Series) -> list[str]:
    return [_text(value) for value in series.astype(object)]


@pytest.mark.parametrize("name", CONTRACTS)
def test_numbers_of_a_parquet_file_are_understood_as_their_texts_are(name: str) -> None:
    contract = load_contract(name)
    typed = pa.Table.from_pandas(students(contract), preserve_index=False)
    (of_types, wrong), (of_texts, wrong_too) = examine(typed, contract), examine(roster(contract), contract)
    assert wrong.tolist() == wrong_too.tolist()
    np.testing.assert_array_equal(matrix(of_types, contract), matrix(of_texts, contract))


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_log_keeps_the_record_that_asks_for_the_same_forecast(name: str) -> None:
    contract = load_contract(name)
    rows, _ = examine(roster(contract), contract)
    seen = present(contract, rows)
    texts = records_as_json(rows, seen).to_pylist()
    assert [json.loads(text) for text in texts] == to_records(rows, seen)
