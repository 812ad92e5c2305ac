"""The forecasts of a chunk of a roster: a row that breaks the contract has its error instead."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.bundle import Bundle
from data.cells import to_numbers
from data.columns import Role
from data.contract import Contract
from data.frames import FIRST_ROW, matrix, parse, to_records
from data.quarantine import frame_schema, reasons_by_row, schema_faults
from data.students import pseudonyms

NOT_A_NUMBER = "not a number"
DIGITS = 6  # of a probability, as POST /predict/batch has them


@dataclass(frozen=True)
class Forecasts:
    """The sound rows of a chunk as parsed, what was forecast of them, and every row's errors."""

    bundle: Bundle
    version: str
    rows: pd.DataFrame
    places: np.ndarray
    shares: np.ndarray
    ids: list[str]
    errors: pd.Series

    @property
    def bad(self) -> int:
        """Return how many rows have an error."""
        return int((self.errors != "").sum())

    def added(self) -> pa.Table:
        """Return the columns to add to the chunk, null where a row has an error."""
        answered = np.full(len(self.errors), -1)
        answered[self.places] = np.arange(len(self.places))
        take = pa.array(answered, mask=answered < 0)
        columns = {name: column.take(take) for name, column in self._columns().items()}
        return pa.table({**columns, "error": pa.array(self.errors.to_numpy(), pa.string())})

    def entries(self, key: str) -> list[dict[str, Any]]:
        """Return what the prediction log keeps of them: pseudonyms, never ids."""
        contract, at = self.bundle.contract, datetime.now(UTC)
        named = contract.id is None or contract.id.name in self.rows
        students: Sequence[str] = (
            list(pseudonyms(self.rows, contract, key)) if named else [""] * len(self.rows)
        )
        about = {"at": at, "contract": contract.name, "model_version": self.version, "via": "score"}
        asked = to_records(self.rows, _without_absent(contract, self.rows))
        answers = self.bundle.answers(self.shares)
        return [
            {**about, "prediction_id": new, "student": student or None, "record": record, **answer}
            for answer, record, student, new in zip(answers, asked, students, self.ids, strict=True)
        ]

    def _columns(self) -> dict[str, pa.Array]:
        labels, shares = self.bundle.manifest.labels, self.shares
        risky = [labels.index(label) for label in self.bundle.contract.target.at_risk]
        tops, risk = shares.argmax(axis=1), np.minimum(shares[:, risky].sum(axis=1), 1.0)
        each = {f"probability_{label}": _rounded(shares[:, place]) for place, label in enumerate(labels)}
        return {
            "grade_class": pa.array(labels, pa.string()).take(pa.array(tops)),
            "grade_class_index": pa.array(tops),
            **each,
            "at_risk": _rounded(risk),
            "grade_set": self._sets(tops),
            "model_version": pa.repeat(self.version, len(shares)),
            "prediction_id": pa.array(self.ids, pa.string()),
        }

    def _sets(self, tops: np.ndarray) -> pa.Array:
        """Return each row's set as text; each of the few that there are is made once."""
        labels = np.array(self.bundle.manifest.labels)
        inside = self.shares >= np.asarray(self.bundle.manifest.set_thresholds, dtype=float)
        inside[np.arange(len(inside)), tops] = True
        kinds, which = np.unique(inside, axis=0, return_inverse=True)
        return pa.array(["|".join(labels[kind]) for kind in kinds], pa.string()).take(
            pa.array(which.ravel(), pa.int64())
        )


def forecast(chunk: pa.Table, bundle: Bundle, version: str, seed: str) -> Forecasts:
    """Forecast the rows of a chunk; equal places under an equal seed get equal ids."""
    frame, errors = examine(chunk, bundle.contract)
    places = np.flatnonzero((errors == "").to_numpy())
    rows = frame.iloc[places].reset_index(drop=True)
    shares = np.empty((0, len(bundle.manifest.labels)), dtype=np.float32)
    if len(rows):
        shares = bundle.probabilities(matrix(rows, bundle.contract))
    ids = [hashlib.sha256(f"{seed}/{place}".encode()).hexdigest()[:32] for place in places]
    return Forecasts(bundle, version, rows, places, shares, ids, errors)


def examine(chunk: pa.Table, contract: Contract) -> tuple[pd.DataFrame, pd.Series]:
    """Return a chunk as parsed, and each row's errors as one text, empty where the row is sound."""
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
    return frame, texts.reindex(frame.index + FIRST_ROW, fill_value="").reset_index(drop=True)


def _audit_that_is_no_number(wrong: dict[str, np.ndarray], faults: pd.DataFrame) -> pd.DataFrame:
    """Return the faults of cells that are no number where a missing one would have been allowed."""
    rows = [
        {"row": int(place) + FIRST_ROW, "column": name, "value": None, "reason": NOT_A_NUMBER}
        for name, cells in wrong.items()
        for place in np.flatnonzero(cells)
    ]
    return pd.DataFrame(rows, columns=list(faults.columns)).astype(faults.dtypes.to_dict())


def _cells(column: pa.ChunkedArray) -> pd.Series:
    """Return a column for pandas; text as categories, whose few values are understood once each."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.dictionary_encode().unify_dictionaries()
    return column.to_pandas()


def _without_absent(contract: Contract, rows: pd.DataFrame) -> Contract:
    kept = {n: c for n, c in contract.columns.items() if n in rows or c.role is Role.FEATURE}
    return contract.model_copy(update={"columns": kept})


def _rounded(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float64).round(DIGITS))
