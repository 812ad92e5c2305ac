"""Rows to forecasts in whole columns: parsed, judged, asked, as lines of the log."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.contract.columns import ELAPSED, Column, Role
from data.contract.contract import Contract
from data.log.database import DIGITS as ID_DIGITS
from data.log.entries import prediction_fields
from data.rows.frames import (
    from_arrow,
    json_values,
    matrix,
    notation_in,
    parse_cells,
    student_ids,
    with_fallbacks,
)
from data.rows.ids import pseudonym_maker
from data.rows.quarantine import cell_faults, reasons_by_row
from data.rows.records import asking
from data.rows.spreadsheets import FIRST_ROW


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def examine(chunk: pa.Table, contract: Contract) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a chunk as parsed, and each row's errors as one text, empty where the row is sound.

    The chunk may say in a column how much of the period has passed.
    """
    contract = asking(contract)
    asked = {column.name: column for column in (*contract.asked, *([contract.id] if contract.id else []))}
    headings = dict(zip(contract.named(chunk.column_names), chunk.column_names, strict=True))
    raw = {
        n: from_arrow(chunk[headings[n]], column, notation_in(chunk, headings[n]))
        for n, column in asked.items()
        if n in headings
    }
    given = with_fallbacks(pd.DataFrame(raw, copy=False), contract)
    frame, not_numbers = parse_cells(given, contract, labelled=False)
    faults = cell_faults(frame, contract, labelled=False, not_numbers=not_numbers)
    errors = np.full(len(frame), "", dtype=object)
    texts = reasons_by_row(faults)
    errors[texts.index.to_numpy(dtype=np.int64) - FIRST_ROW] = texts.to_numpy()
    return frame, errors


def present(contract: Contract, rows: pd.DataFrame) -> Contract:
    """Return a contract without the audit columns that the rows do not have."""
    kept = {n: c for n, c in contract.columns.items() if n in rows or c.role is Role.FEATURE}
    return contract.model_copy(update={"columns": kept})


DIGITS = 6  # of a probability, as POST /predict/batch has them
PLACE_DIGITS = 8  # hexadecimal, of a row's place in its chunk: the end of its prediction's id


@dataclass(frozen=True)
class ChunkForecasts:
    """The sound rows of a chunk as parsed, what was forecast of them, and every row's errors."""

    bundle: Bundle
    version: str
    rows: pd.DataFrame
    places: np.ndarray
    shares: np.ndarray
    ids: list[str]
    errors: np.ndarray
    elapsed: np.ndarray | None = None

    @property
    def bad(self) -> int:
        """Return how many rows have an error."""
        return len(self.errors) - len(self.places)

    @cached_property
    def tops(self) -> np.ndarray:
        """Return the position of each sound row's likeliest class."""
        return self.shares.argmax(axis=1)

    @cached_property
    def at_risk(self) -> np.ndarray:
        """Return each sound row's probability of the contract's classes at risk, float64."""
        return risk_of(self.shares, self.bundle.contract.target)

    def classes(self) -> pa.Array:
        """Return the label of each sound row's likeliest class."""
        return pa.array(self.bundle.manifest.labels, pa.string()).take(pa.array(self.tops))

    def sets(self) -> tuple[list[list[str]], pa.Array]:
        """Return the sets of labels that there are, and which of them is each sound row's."""
        labels = np.array(self.bundle.manifest.labels)
        inside = self.bundle.members(self.shares, self.elapsed)
        packed = np.packbits(inside, axis=1)
        kind = pa.binary(packed.shape[1])
        kinds = pa.FixedSizeBinaryArray.from_buffers(
            kind, len(packed), [None, pa.py_buffer(packed.tobytes())]
        )
        which = kinds.dictionary_encode()
        bits = [
            np.unpackbits(np.frombuffer(one, np.uint8))[: len(labels)] for one in which.dictionary.to_pylist()
        ]
        return [labels[one.astype(bool)].tolist() for one in bits], which.indices

    def added(self) -> pa.Table:
        """Return the columns to add to the chunk, null where a row has an error."""
        columns = self._columns()
        if self.bad:
            answered = np.full(len(self.errors), -1)
            answered[self.places] = np.arange(len(self.places))
            take = pa.array(answered, mask=answered < 0)
            columns = {name: column.take(take) for name, column in columns.items()}
        return pa.table({**columns, "error": pa.array(self.errors, pa.string())})

    def _columns(self) -> dict[str, pa.Array]:
        labels = self.bundle.manifest.labels
        each = {f"probability_{label}": _rounded(self.shares[:, n]) for n, label in enumerate(labels)}
        kinds, which = self.sets()
        return {
            "grade_class": self.classes(),
            "grade_class_index": pa.array(self.tops),
            **each,
            "at_risk": _rounded(self.at_risk),
            "grade_set": pa.array(["|".join(kind) for kind in kinds], pa.string()).take(which),
            "model_version": pa.repeat(self.version, len(self.shares)),
            "prediction_id": pa.array(self.ids, pa.string()),
        }


def forecast(
    chunk: pa.Table, bundle: Bundle, version: str, seed: str, elapsed: float | None = None
) -> ChunkForecasts:
    """Forecast the rows of a chunk; equal places under an equal seed get equal ids.

    The ids of a chunk follow one another: the log's database writes them side by side. `elapsed`, how much of
    the period has passed, is for rows that do not say it themselves.
    """
    frame, errors = examine(chunk, bundle.contract)
    places = np.flatnonzero(errors == "")
    rows = frame if len(places) == len(frame) else frame.iloc[places].reset_index(drop=True)
    shares = np.empty((0, len(bundle.manifest.labels)), dtype=np.float32)
    rows, passed = _with_elapsed(rows, bundle.contract, elapsed)
    if len(rows):
        shares = bundle.probabilities(matrix(rows, bundle.contract), passed)
    own = hashlib.sha256(seed.encode()).hexdigest()[: ID_DIGITS - PLACE_DIGITS]
    ids = [f"{own}{place:0{PLACE_DIGITS}x}" for place in places.tolist()]
    return ChunkForecasts(bundle, version, rows, places, shares, ids, errors, passed)


def _with_elapsed(
    rows: pd.DataFrame, contract: Contract, elapsed: float | None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Return rows that say how much of the period has passed unless it is all of it, and the same as (n,)."""
    if not contract.accumulating or (ELAPSED not in rows and elapsed is None):
        return rows, None
    said = rows[ELAPSED].to_numpy() if ELAPSED in rows else np.full(len(rows), np.nan)
    passed = np.where(np.isnan(said), 1.0 if elapsed is None else elapsed, said)
    return rows.assign(**{ELAPSED: np.where(passed < 1, passed, np.nan)}), passed


def _rounded(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float64).round(DIGITS))


def log_columns(found: ChunkForecasts, key: str) -> dict[str, Any]:
    """Return the columns of the log's rows; one value stands for a whole column of it, JSON is text."""
    bundle = found.bundle
    kinds, which = found.sets()
    sets = pa.array([json.dumps(kind, ensure_ascii=False) for kind in kinds], pa.string()).take(which)
    return prediction_fields(
        at=datetime.now(UTC),
        contract=bundle.contract.name,
        student=_students(found, key),
        record=records_as_json(found.rows, present(asking(bundle.contract), found.rows)).to_pylist(),
        prediction_id=found.ids,
        model_version=found.version,
        grade_class=found.classes().to_pylist(),
        grade_class_index=found.tops.tolist(),
        probabilities=_shares(found).to_pylist(),
        at_risk=found.at_risk.tolist(),
        grade_set=sets.to_pylist(),
        via="score",
    )


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
    if column.dated:
        dates = json_values(pd.Series(values), column)
        return pa.array([day and f'"{day}"' for day in dates], pa.string())
    empty = np.isnan(values)
    if column.whole and (np.abs(values[~empty]) < 2**53).all():
        whole = np.where(empty, 0, values).astype(np.int64)
        return pc.cast(pa.array(whole, mask=empty), pa.string())
    return pc.cast(pa.array(values, mask=empty), pa.string())


def _shares(found: ChunkForecasts) -> pa.Array:
    labels = [json.dumps(label, ensure_ascii=False) for label in found.bundle.manifest.labels]
    parts: list[str | pa.Array] = []
    for place, label in enumerate(labels):
        share = found.shares[:, place].astype(np.float64)
        parts += [f"{',' if place else '{'}{label}:", pc.cast(pa.array(share), pa.string())]
    return _joined([*parts, "}"])


def _joined(parts: Iterable[str | pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _students(found: ChunkForecasts, key: str) -> Sequence[str | None]:
    contract = found.bundle.contract
    if contract.id is not None and contract.id.name not in found.rows:
        return [None] * len(found.rows)
    make = pseudonym_maker(key)
    return [make(student) if student else None for student in student_ids(found.rows, contract)]
