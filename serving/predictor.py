"""A bundle on disk that answers validated records. Needs no registry."""

import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from data.bundle import Bundle, BundleError
from data.records import Record, matrix_of

Answer = dict[str, Any]


class Predictor:
    """One verified bundle, and the version that its folder's name says."""

    def __init__(self, folder: Path) -> None:
        """Open a synced bundle, `VERSION-DIGEST`; raises BundleError."""
        self.bundle = Bundle.load(folder)
        self.version = folder.name.rpartition("-")[0]

    def predict(self, records: list[Record], *, explain: bool = False) -> list[Answer]:
        """Return one answer a record, in order, with the reasons if wanted."""
        if not records:
            return []
        matrix = matrix_of(records, self.bundle.contract)
        answers = self.bundle.answers(self.bundle.probabilities(matrix))
        for answer in answers:
            answer |= {"model_version": self.version, "prediction_id": uuid.uuid4().hex}
        if explain:
            for answer, record, effects in zip(answers, records, self.bundle.explain(matrix), strict=True):
                answer["reasons"] = self._reasons(record, effects)
        return answers

    def _reasons(self, record: Record, effects: np.ndarray) -> list[dict[str, Any]]:
        """Return each feature's effect on the score, largest first."""
        names, unit = self.bundle.space.columns, self.bundle.manifest.unit
        return [
            {"feature": names[i], "value": record[names[i]], "effect": float(effects[i]), "unit": unit}
            for i in np.argsort(-np.abs(effects), kind="stable")
        ]


class CurrentPredictor:
    """The predictor of the current bundle, opened when it is first there."""

    def __init__(self, link: Path) -> None:
        self._link, self._lock = link, threading.Lock()
        self._predictor: Predictor | None = None

    def get(self) -> Predictor:
        """Return the predictor; raises BundleError while there is no bundle that can be used."""
        with self._lock:
            if self._predictor is None:
                self._predictor = self._open()
            return self._predictor

    def _open(self) -> Predictor:
        if not self._link.exists():
            raise BundleError("no model has been synced yet")
        return Predictor(self._link.resolve())
