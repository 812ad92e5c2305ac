"""A chunk of a roster as parsed, and what is wrong with each of its rows."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.cells import to_numbers
from data.columns import Role
from data.contract import Contract
from data.frames import FIRST_ROW, parse
from flows.scoring.plain import frame_of, is_text, read_plainly, values_of

NOT_A_NUMBER = "not a number"


def examine(chunk: pa.Table, contract: Contract) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a chunk as parsed, and each row's errors as one text, empty where the row is sound.

    Rows whose every cell is plainly written are read column by column; the others are looked at closely.
    """
    asked = {column.name: column for column in (*contract.asked, *([contract.id] if contract.id else []))}
    columns = {name: column for name, column in asked.items() if name in chunk.column_names}
    read = {name: read_plainly(chunk[name], column) for name, column in columns.items()}
    odd = np.flatnonzero(~np.logical_and.reduce([plain.sound for plain in read.values()]))
    values = {name: plain.cells for name, plain in read.items()}
    errors = np.full(len(chunk), "", dtype=object)
    if len(odd):
        frame, texts = examine_closely(chunk.take(pa.array(odd)), contract)
        errors[odd] = texts
        for name, column in columns.items():
            values[name][odd] = values_of(frame[name], column)
    return frame_of(values, columns), errors


def examine_closely(chunk: pa.Table, contract: Contract) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the same by way of the contract's own parser and schema, which know every way to write."""
    from data.quarantine import frame_schema, reasons_by_row, schema_faults  # pandera takes a second

    declared = [name for name in chunk.column_names if name in contract.readable]
    raw = pd.DataFrame({name: _cells(chunk[name]) for name in declared})
    wrong = {}
    for column in contract.asked:
        if not column.coded and column.name in raw:
            raw[column.name], wrong[column.name] = to_numbers(raw[column.name])
    frame = parse(raw, contract, labelled=False)
    faults = schema_faults(frame, frame_schema(contract, labelled=False))
    for name, cells in wrong.items():
        at = faults["row"].to_numpy() - FIRST_ROW
        faults.loc[(faults["column"] == name) & cells[at], "reason"] = NOT_A_NUMBER
    faults = pd.concat([faults, _audit_that_is_no_number(wrong, faults)], ignore_index=True)
    texts = reasons_by_row(faults.drop_duplicates(["row", "column"]))
    return frame, texts.reindex(frame.index + FIRST_ROW, fill_value="").to_numpy(dtype=object)


def present(contract: Contract, rows: pd.DataFrame) -> Contract:
    """Return a contract without the audit columns that the rows do not have."""
    kept = {n: c for n, c in contract.columns.items() if n in rows or c.role is Role.FEATURE}
    return contract.model_copy(update={"columns": kept})


def _audit_that_is_no_number(wrong: dict[str, np.ndarray], faults: pd.DataFrame) -> pd.DataFrame:
    """Return the faults of cells that are no number where a missing one would have been allowed."""
    rows: list[dict[str, Any]] = [
        {"row": int(place) + FIRST_ROW, "column": name, "value": None, "reason": NOT_A_NUMBER}
        for name, cells in wrong.items()
        for place in np.flatnonzero(cells)
    ]
    return pd.DataFrame(rows, columns=list(faults.columns)).astype(faults.dtypes.to_dict())


def _cells(column: pa.ChunkedArray) -> pd.Series:
    """Return a column for pandas; text as categories, whose few values are understood once each."""
    if is_text(column.type):
        column = column.dictionary_encode().unify_dictionaries()
    return column.to_pandas(integer_object_nulls=True)
