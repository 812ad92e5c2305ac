"""The forecasts of a chunk of a roster: a row that breaks the contract has its error instead."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from data.bundle import Bundle
from data.frames import matrix
from data.log_tables import DIGITS as ID_DIGITS
from flows.scoring.examining import examine

DIGITS = 6  # of a probability, as POST /predict/batch has them
PLACE_DIGITS = 8  # hexadecimal, of a row's place in its chunk: the end of its prediction's id


@dataclass(frozen=True)
class Forecasts:
    """The sound rows of a chunk as parsed, what was forecast of them, and every row's errors."""

    bundle: Bundle
    version: str
    rows: pd.DataFrame
    places: np.ndarray
    shares: np.ndarray
    ids: list[str]
    errors: np.ndarray

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
        labels = self.bundle.manifest.labels
        risky = [labels.index(label) for label in self.bundle.contract.target.at_risk]
        return np.minimum(self.shares[:, risky].astype(np.float64).sum(axis=1), 1.0)

    def classes(self) -> pa.Array:
        """Return the label of each sound row's likeliest class."""
        return pa.array(self.bundle.manifest.labels, pa.string()).take(pa.array(self.tops))

    def sets(self) -> tuple[list[list[str]], pa.Array]:
        """Return the sets of labels that there are, and which of them is each sound row's."""
        labels = np.array(self.bundle.manifest.labels)
        inside = self.shares >= np.asarray(self.bundle.manifest.set_thresholds, dtype=float)
        inside[np.arange(len(inside)), self.tops] = True
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


def forecast(chunk: pa.Table, bundle: Bundle, version: str, seed: str) -> Forecasts:
    """Forecast the rows of a chunk; equal places under an equal seed get equal ids.

    The ids of a chunk follow one another: the log's database writes them side by side.
    """
    frame, errors = examine(chunk, bundle.contract)
    places = np.flatnonzero(errors == "")
    rows = frame if len(places) == len(frame) else frame.iloc[places].reset_index(drop=True)
    shares = np.empty((0, len(bundle.manifest.labels)), dtype=np.float32)
    if len(rows):
        shares = bundle.probabilities(matrix(rows, bundle.contract))
    own = hashlib.sha256(seed.encode()).hexdigest()[: ID_DIGITS - PLACE_DIGITS]
    ids = [f"{own}{place:0{PLACE_DIGITS}x}" for place in places.tolist()]
    return Forecasts(bundle, version, rows, places, shares, ids, errors)


def _rounded(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float64).round(DIGITS))
