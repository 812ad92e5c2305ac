"""Many records at once: their forecasts as the cells of a CSV and as lines of the prediction log.

What `Predictor.predict` and `data.log.entries` say of one record, a thousand at a time: the same
numbers to six digits, several times as fast. A test holds the two together.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson

from data.bundle.answers import risk_of
from data.log.entries import new_ids, prediction_fields, student_of, without_id
from data.rows.ids import pseudonym_maker
from data.rows.records import Record
from serving.predictor import Predictor
from serving.sheet import quoted

MILLION = 1_000_000
THREE = np.array([list(b"%03d" % number) for number in range(1_000)], dtype=np.uint8)
ZERO = ord("0")
NUMBER = "\0"
"""Stands where a number goes: no JSON has it."""


class DigitsWriter:
    """Writes the rows of a matrix, each number in its place between texts that are the same in every row."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Take the texts before, between and after a row's numbers: one more than there are numbers."""
        blank = "0.000000".join(texts)
        before = np.cumsum([len(text.encode()) for text in texts[:-1]])
        self._width, self._blank = len(blank), np.frombuffer(blank.encode(), dtype=np.uint8)
        self._places = before + 8 * np.arange(len(before))

    def write(self, numbers: np.ndarray) -> list[str]:
        """Return each row (rows, numbers) as text, to six digits after the point."""
        millionths = np.clip(np.rint(numbers.astype(np.float64) * MILLION), 0, MILLION).astype(np.int64)
        wholes, rest = np.divmod(millionths, MILLION)
        upper, lower = np.divmod(rest, 1_000)
        page = np.tile(self._blank, (len(numbers), 1))
        for column, place in enumerate(self._places):
            page[:, place] = ZERO + wholes[:, column]
            page[:, place + 2 : place + 5] = THREE[upper[:, column]]
            page[:, place + 5 : place + 8] = THREE[lower[:, column]]
        text, width = page.tobytes().decode(), self._width
        return [text[start : start + width] for start in range(0, len(text), width)]


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
        self._bundle, self._key, self._delimiter = predictor.bundle, key, delimiter
        self._contract, self._labels = self._bundle.contract, self._bundle.manifest.labels
        self._set_cells: dict[int, str] = {}
        self._set_json: dict[int, str] = {}
        self._top_cells = [
            f"{quoted(label, delimiter)}{delimiter}{place}" for place, label in enumerate(self._labels)
        ]
        self._top_json = [_json(label) for label in self._labels]
        self._cell_digits = DigitsWriter(["", *[delimiter] * len(self._labels), ""])
        self._cells = _cells(predictor.version, delimiter)
        before, *between, after = _template(self._contract.name, predictor.version, self._labels)
        self._line, self._line_digits = f"{before}%s{after}", DigitsWriter(["", *between, ""])

    def shares(self, records: Sequence[Record]) -> np.ndarray:
        """Return the class probabilities of validated records (rows, classes)."""
        if not records:
            return np.empty((0, len(self._labels)), dtype=np.float32)
        bundle = self._bundle
        return bundle.probabilities(bundle.matrix(records), bundle.elapsed(records))

    def score(self, records: Sequence[Record], shares: np.ndarray) -> Scored:
        """Return the forecasts of validated records, in order, from their class probabilities."""
        tops: list[int] = shares.argmax(axis=1).tolist()
        risks = risk_of(shares, self._contract.target)
        marks, ids = self._marks(shares, self._bundle.elapsed(records)), new_ids(len(records))
        numbers = np.column_stack([shares, risks])
        cells = zip(
            [self._top_cells[top] for top in tops],
            self._cell_digits.write(numbers),
            [self._set_cells[mark] for mark in marks],
            ids,
            strict=True,
        )
        lines = zip(
            [datetime.now(UTC).isoformat()] * len(records),
            self._students(records),
            self._asked(records),
            ids,
            [self._top_json[top] for top in tops],
            tops,
            self._line_digits.write(numbers),
            [self._set_json[mark] for mark in marks],
            strict=True,
        )
        written = list(map(self._cells.__mod__, cells)), "\n".join(map(self._line.__mod__, lines)).encode()
        return Scored(*written, [self._labels[top] for top in tops], float(risks.sum()))

    def _students(self, records: Sequence[Record]) -> list[str]:
        """Return each record's student as JSON."""
        if self._contract.id is None:
            return [f'"{student_of(record, self._contract, self._key)}"' for record in records]
        name, pseudonym = self._contract.id.name, pseudonym_maker(self._key)
        return [f'"{pseudonym(record[name])}"' if record.get(name) else "null" for record in records]

    def _asked(self, records: Sequence[Record]) -> list[str]:
        """Return what was asked, without the id, as JSON."""
        return [orjson.dumps(without_id(record, self._contract)).decode() for record in records]

    def _marks(self, shares: np.ndarray, elapsed: np.ndarray | None) -> list[int]:
        """Return which set each row has; each of the few that there are is written once."""
        inside = self._bundle.members(shares, elapsed)
        marks: list[int] = (inside @ (1 << np.arange(shares.shape[1]))).tolist()
        for mark in set(marks) - self._set_json.keys():
            labels = [label for place, label in enumerate(self._labels) if mark >> place & 1]
            self._set_cells[mark] = quoted("|".join(labels), self._delimiter)
            self._set_json[mark] = orjson.dumps(labels).decode()
        return marks


def added_columns(labels: Sequence[str], *first: str) -> list[str]:
    """Name the columns that an answer adds, in their order, after those that stand `first`."""
    shares = [f"probability_{label}" for label in labels]
    return [*first, "grade_class", "grade_class_index", *shares, *AFTER]


def _cells(version: str, delimiter: str) -> str:
    """Return the cells of a CSV that a forecast fills in: class, numbers, set, id."""
    named = quoted(version, delimiter).replace("%", "%%")
    return delimiter.join(["%s", "%s", "%s", named, "%s", ""])


def _template(contract: str, version: str, labels: Sequence[str]) -> list[str]:
    """Return the line of the log that a forecast fills in, cut where its probabilities and its risk go."""
    named, made_by = (_json(text).replace("%", "%%") for text in (contract, version))
    fields = prediction_fields(
        at='"%s"',
        contract=named,
        student="%s",
        record="%s",
        prediction_id='"%s"',
        model_version=made_by,
        grade_class="%s",
        grade_class_index="%s",
        probabilities=f"{{{','.join(f'{_json(label)}:{NUMBER}' for label in labels)}}}",
        at_risk=NUMBER,
        grade_set="%s",
        via='"batch"',
    )
    line = ",".join(f'"{name}":{value}' for name, value in {"kind": '"prediction"', **fields}.items())
    return f"{{{line}}}".split(NUMBER)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
