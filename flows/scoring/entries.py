"""What the prediction log keeps of a chunk's forecasts, column by column: pseudonyms, never ids."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.columns import Column, Kind, Role
from data.contract import Contract
from data.ids import pseudonym_maker
from data.students import student_ids
from flows.scoring.examining import present
from flows.scoring.forecasts import Forecasts


def log_columns(found: Forecasts, key: str) -> dict[str, Any]:
    """Return the columns of the log's rows; one value stands for a whole column of it, JSON is text."""
    bundle = found.bundle
    kinds, which = found.sets()
    sets = pa.array([json.dumps(kind, ensure_ascii=False) for kind in kinds], pa.string()).take(which)
    return {
        "prediction_id": found.ids,
        "at": datetime.now(UTC),
        "contract": bundle.contract.name,
        "model_version": found.version,
        "student": _students(found, key),
        "record": records_as_json(found.rows, present(bundle.contract, found.rows)).to_pylist(),
        "grade_class": found.classes().to_pylist(),
        "grade_class_index": found.tops.tolist(),
        "at_risk": found.at_risk.tolist(),
        "probabilities": _shares(found).to_pylist(),
        "grade_set": sets.to_pylist(),
        "via": "score",
    }


def records_as_json(rows: pd.DataFrame, contract: Contract) -> pa.Array:
    """Return clean rows as the JSON of the records that ask for their forecast.

    The same as `to_records` says row by row; an audit column that is not known of a student is left out.
    """
    asked = sorted(contract.asked, key=lambda column: column.role is Role.AUDIT)
    pieces = [_piece(rows[column.name], column, first=n == 0) for n, column in enumerate(asked)]
    return _joined(["{", *pieces, "}"])


def _piece(values: pd.Series, column: Column, *, first: bool) -> pa.Array:
    """Return each row's `"name":value`, with the comma before it."""
    begin = f"{'' if first else ','}{json.dumps(column.name, ensure_ascii=False)}:"
    text = _coded(values, column) if column.coded else _number(values.to_numpy(), column)
    if column.role is Role.AUDIT:
        return pc.fill_null(_joined([begin, text]), "")
    return _joined([begin, pc.fill_null(text, "null")])


def _coded(values: pd.Series, column: Column) -> pa.Array:
    codes = values.cat.codes.to_numpy(dtype=np.int64)
    written = pa.array([json.dumps(code, ensure_ascii=False) for code in column.codes], pa.string())
    return written.take(pa.array(codes, mask=codes < 0))


def _number(values: np.ndarray, column: Column) -> pa.Array:
    empty = np.isnan(values)
    if column.kind is Kind.INTEGER and (np.abs(values[~empty]) < 2**53).all():
        whole = np.where(empty, 0, values).astype(np.int64)
        return pc.cast(pa.array(whole, mask=empty), pa.string())
    return pc.cast(pa.array(values, mask=empty), pa.string())


def _shares(found: Forecasts) -> pa.Array:
    labels = [json.dumps(label, ensure_ascii=False) for label in found.bundle.manifest.labels]
    parts: list[str | pa.Array] = []
    for place, label in enumerate(labels):
        share = found.shares[:, place].astype(np.float64)
        parts += [f"{',' if place else '{'}{label}:", pc.cast(pa.array(share), pa.string())]
    return _joined([*parts, "}"])


def _joined(parts: Iterable[str | pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _students(found: Forecasts, key: str) -> Sequence[str | None]:
    contract = found.bundle.contract
    if contract.id is not None and contract.id.name not in found.rows:
        return [None] * len(found.rows)
    make = pseudonym_maker(key)
    return [make(student) if student else None for student in student_ids(found.rows, contract)]
