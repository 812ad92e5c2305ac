"""Many records at once: their forecasts as the cells of a CSV and as lines of the prediction log.

What `Predictor.predict` and `data.log_entries` say of one record, a thousand at a time: the same
numbers to six digits, several times as fast. A test holds the two together.
"""

import math
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson

from data.columns import Column, Kind
from data.contract import Contract
from data.features import feature_space
from data.log_entries import student_of
from data.records import Record
from serving.predictor import Predictor
from serving.sheet import quoted

AFTER = ("at_risk", "grade_set", "model_version", "prediction_id", "error")


class Scored(NamedTuple):
    """The forecasts of some records: what to write into a CSV, what to log, what to count."""

    cells: list[str]
    lines: bytes
    classes: list[str]
    at_risk: float


class Scorer:
    """One model that answers records of one file."""

    def __init__(self, predictor: Predictor, delimiter: str, key: str) -> None:
        """Prepare for cells between this delimiter, and for ids hashed by this key."""
        self._bundle, self._version, self._key = predictor.bundle, predictor.version, key
        contract, labels = self._bundle.contract, self._bundle.manifest.labels
        self._id = contract.id.name if contract.id else None
        self._matrix = column_matrix_maker(contract)
        self._risky = [labels.index(label) for label in contract.target.at_risk]
        self._sets: dict[int, tuple[str, str]] = {}
        self._delimiter = delimiter
        self._numbers = " ".join(["%.6f"] * (len(labels) + 1))
        self._cells = _cells(len(labels), self._version, delimiter)
        self._labels = [(quoted(label, delimiter), orjson.dumps(label).decode()) for label in labels]
        self._line = _template(labels, contract.name, self._version)

    def score(self, records: Sequence[Record]) -> Scored:
        """Return the forecasts of validated records, in order."""
        if not records:
            return Scored([], b"", [], 0.0)
        shares = self._bundle.probabilities(self._matrix(records))
        tops: list[int] = shares.argmax(axis=1).tolist()
        risks: list[float] = np.minimum(shares[:, self._risky].sum(axis=1), 1.0).tolist()
        rows, sets, ids = shares.tolist(), self._grade_sets(shares), _new_ids(len(records))
        at, labels = datetime.now(UTC).isoformat(), self._bundle.manifest.labels
        cells, lines = [], []
        for record, top, row, risk, (cell, listed), new in zip(
            records, tops, rows, risks, sets, ids, strict=True
        ):
            numbers = (self._numbers % (*row, risk)).split()
            label, told = self._labels[top]
            cells.append(self._cells % (label, top, *numbers, cell, new))
            lines.append(self._line % (at, *self._asked(record), told, top, *numbers, listed, new))
        return Scored(cells, "\n".join(lines).encode(), [labels[top] for top in tops], sum(risks))

    def _asked(self, record: Record) -> tuple[str, str]:
        """Return a record's student and what was asked without its id, as JSON."""
        student = student_of(record, self._bundle.contract, self._key)
        if self._id in record:
            record = {name: value for name, value in record.items() if name != self._id}
        return f'"{student}"' if student else "null", orjson.dumps(record).decode()

    def _grade_sets(self, shares: np.ndarray) -> list[tuple[str, str]]:
        """Return each row's set as a cell and as JSON; each of the few that there are is written once."""
        inside = shares >= np.asarray(self._bundle.manifest.set_thresholds)
        inside[np.arange(len(shares)), shares.argmax(axis=1)] = True
        marks = (inside @ (1 << np.arange(shares.shape[1]))).tolist()
        for mark in set(marks) - self._sets.keys():
            labels = [label for place, label in enumerate(self._bundle.manifest.labels) if mark >> place & 1]
            self._sets[mark] = quoted("|".join(labels), self._delimiter), orjson.dumps(labels).decode()
        return [self._sets[mark] for mark in marks]


def column_matrix_maker(contract: Contract) -> Callable[[Sequence[Record]], np.ndarray]:
    """Return what makes the same matrix as `data.records.matrix_maker`, column by column."""
    space = feature_space(contract)
    tables = [(column.name, _table(column)) for column in contract.features]

    def to_matrix(records: Sequence[Record]) -> np.ndarray:
        matrix = np.empty((len(records), len(space.names)), dtype=np.float32)
        for (name, table), places in zip(tables, space.groups, strict=True):
            values = [record[name] for record in records]
            if table is None:
                values = [math.nan if value is None else value for value in values]
            else:
                values = [table[value] for value in values]
            matrix[:, places[0] if len(places) == 1 else list(places)] = values
        return matrix

    return to_matrix


def added_columns(labels: Sequence[str]) -> list[str]:
    """Name the columns that an answer adds, in their order."""
    return ["grade_class", "grade_class_index", *(f"probability_{label}" for label in labels), *AFTER]


def _table(column: Column) -> dict[Any, Any] | None:
    """Return what each value of a coded column is in the matrix: a position, or one of many."""
    if not column.coded:
        return None
    if column.kind is not Kind.NOMINAL:
        return {**{code: place for place, code in enumerate(column.codes)}, None: math.nan}
    ones = np.eye(len(column.codes), dtype=np.float32)
    return {**dict(zip(column.codes, ones, strict=True)), None: ones[0] * math.nan}


def _cells(classes: int, version: str, delimiter: str) -> str:
    """Return the cells of a CSV that a forecast fills in."""
    named = quoted(version, delimiter).replace("%", "%%")
    return delimiter.join(["%s", "%d", *["%s"] * (classes + 1), "%s", named, "%s", ""])


def _template(labels: Sequence[str], contract: str, version: str) -> str:
    """Return the line of the log that a forecast fills in."""
    shares = ",".join(f"{_json(label)}:%s" for label in labels)
    return (
        f'{{"kind":"prediction","at":"%s","contract":{_json(contract)},"student":%s,"record":%s,'
        f'"grade_class":%s,"grade_class_index":%d,"probabilities":{{{shares}}},"at_risk":%s,'
        f'"grade_set":%s,"model_version":{_json(version)},"via":"batch","prediction_id":"%s"}}'
    )


def _json(value: Any) -> str:
    """Return a value as JSON that can stand in a template."""
    return orjson.dumps(value).decode().replace("%", "%%")


def _new_ids(count: int) -> list[str]:
    text = os.urandom(16 * count).hex()
    return [text[start : start + 32] for start in range(0, len(text), 32)]
