"""What earlier cohorts say of a later one: how sure its forecasts may be, and how wide its grade sets are.

Folds hold out students of cohorts that the model knows, and a new cohort is none of these. So each cohort
of the training rows is forecast by a model that never saw it. What the worst of them would have needed is
taken: a forecast that claims too much does more harm than one that claims too little.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from data.bundle.reasons import SMALLEST, Tempering
from data.rows.frames import nearest
from flows.training.data import Folds, TrainingData
from flows.training.metrics import calibrate
from flows.training.ordinal import fit_sigma

MOST = 5
"""Cohorts that are forecast, the newest: each costs a fit."""
LEAST = 100
"""Rows of one day, or of one class of it, below which a cohort says too little."""
PSEUDO_ROWS = 100
"""How many rows speak for no change: a few hundred students cannot tell a temperature to the percent."""
NO_CUTS = np.empty(0)


@dataclass(frozen=True)
class HeldCohorts:
    """Forecasts of whole cohorts by models that never saw them.

    cohort (m,): which one; as_of (m,); y (m,): the classes; probabilities (m, K).
    """

    cohort: np.ndarray
    as_of: np.ndarray
    y: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def of(cls, data: TrainingData, folds: Folds, answers: Sequence[np.ndarray]) -> Self | None:
        """Put together what was forecast of each fold; None where there is none."""
        if not folds or data.as_of is None:
            return None
        rows = np.concatenate([held for _, held in folds])
        cohort = np.repeat(np.arange(len(folds)), [len(held) for _, held in folds])
        return cls(cohort, data.as_of[rows], data.y[rows], np.concatenate(answers))

    def write(self, path: Path) -> None:
        """Write these rows as Parquet."""
        shares = {f"share_{k}": column for k, column in enumerate(self.probabilities.T)}
        own = {"cohort": self.cohort, "as_of": self.as_of, "y": self.y}
        pd.DataFrame(own | shares).to_parquet(path, index=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        frame = pd.read_parquet(path)
        cohort, as_of, y = (frame[name].to_numpy() for name in ("cohort", "as_of", "y"))
        return cls(cohort, as_of, y, frame.filter(regex="^share_").to_numpy())

    def at(self, checkpoints: Sequence[int]) -> Self:
        """Return the same rows as of the checkpoints that they are nearest to."""
        return replace(self, as_of=nearest(self.as_of, checkpoints))

    def of_day(self, day: int) -> list["HeldCohorts"]:
        """Return each cohort's rows of a day, where there are enough."""
        parts = [(self.as_of == day) & (self.cohort == one) for one in np.unique(self.cohort)]
        names = ("cohort", "as_of", "y", "probabilities")
        return [
            HeldCohorts(*(getattr(self, name)[some] for name in names))
            for some in parts
            if some.sum() >= LEAST
        ]


def cohort_folds(data: TrainingData) -> Folds:
    """Return (training rows, held-out rows) of the newest cohorts: none where there is one alone.

    Whoever is in the cohort held out is in no training row, and every class is in them.
    """
    if data.cohorts is None or data.students is None or data.as_of is None:
        return []
    names = np.unique(data.cohorts[data.cohorts != ""])
    folds = []
    for name in names[-MOST:] if len(names) > 1 else []:
        held = data.cohorts == name
        rest = ~np.isin(data.students, data.students[held])
        if np.bincount(data.y[rest], minlength=data.classes).min() > 1:
            folds.append((np.flatnonzero(rest), np.flatnonzero(held)))
    return folds


def fit_tempering(held: HeldCohorts, column: int) -> Tempering | None:
    """Find for each day by how much forecasts of a new cohort are less sure; None where it is nowhere.

    `column` is that of the day in a feature matrix.

    The temperature (Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks") of
    each held cohort, shrunk to 1; of them the one that three in four would not have exceeded.
    """
    days = np.unique(held.as_of)
    sharpness = tuple(float(np.exp(-_log_temperature(held.of_day(int(day))))) for day in days)
    if min(sharpness, default=1.0) > 1 - 1e-3:
        return None
    return Tempering(tuple(int(day) for day in days), sharpness, column)


def describe_tempering(tempering: Tempering | None) -> list[str]:
    """Say how much less sure forecasts are made, and why."""
    if tempering is None:
        return []
    pairs = zip(tempering.days, tempering.sharpness, strict=True)
    told = ", ".join(f"{1 / sharp:.2f} on day {day}" for day, sharp in pairs if sharp < 1 - 1e-3)
    sentence = (
        "Earlier cohorts were forecast by models that had not seen them, and were less certain than folds of "
        f"students say. Forecasts are made as uncertain: temperature {told}."
    )
    return [sentence]


def _log_temperature(cohorts: list[HeldCohorts]) -> float:
    found = [0.0]
    for one in cohorts:
        temperature, _ = fit_sigma(np.log(np.maximum(one.probabilities, SMALLEST)), one.y, NO_CUTS, near=1.0)
        found.append(float(np.log(temperature)) * len(one.y) / (len(one.y) + PSEUDO_ROWS))
    return max(0.0, float(np.quantile(found[1:] or found, 0.75, method="higher")))


def cautious_thresholds(least: tuple[float, ...], cohorts: list[HeldCohorts]) -> tuple[float, ...]:
    """Lower the thresholds of grade sets (K,) to what three in four of the held cohorts needed.

    A cohort has a say in the classes that it has at least 100 rows of.
    """
    found = [calibrate(one.probabilities, one.y) for one in cohorts]
    lowered = []
    for k, own in enumerate(least):
        told = [thresholds.least[k] for thresholds in found if thresholds.rows[k] >= LEAST]
        lowered.append(min(own, float(np.quantile(told, 0.25, method="lower"))) if told else own)
    return tuple(lowered)
