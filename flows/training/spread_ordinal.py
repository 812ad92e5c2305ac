"""The ordinal objective on workers that each hold some of the rows: the cuts move by the sums over all."""

import json

import numpy as np
import xgboost as xgb
from xgboost import collective

from flows.training.boosters import BLOCK
from flows.training.ordinal import gradient, move_cuts

CUTS = "cuts"
"""Attribute of the booster that brings the cuts back from a worker."""


class SpreadOrdinal:
    """The objective on one worker, and the cuts so far: the same on all of them."""

    def __init__(self, cuts: np.ndarray, name: str) -> None:
        """Start from cuts; `name` is of this fit alone, for workers keep what they were sent before."""
        self.first, self.cuts, self.rounds, self.name = cuts, cuts, 0, name

    def __call__(self, latent: np.ndarray, matrix: xgb.DMatrix) -> tuple[np.ndarray, np.ndarray]:
        """Return gradient and Hessian (n,) of this worker's rows, the cuts moved every few rounds."""
        latent, y = latent.astype(np.float64), matrix.get_label().astype(np.int64)
        if self.rounds % BLOCK == 0:
            self.cuts = move_cuts(self.cuts, latent, y, total=_over_workers)
        self.rounds += 1
        return gradient(latent, y, self.cuts)


class KeepCuts(xgb.callback.TrainingCallback):
    """Writes the cuts into the booster, which is all that comes back."""

    def __init__(self, objective: SpreadOrdinal) -> None:
        self._objective = objective

    def before_training(self, model: xgb.Booster) -> xgb.Booster:
        """Start from the first cuts."""
        self._objective.cuts, self._objective.rounds = self._objective.first, 0
        return model

    def after_training(self, model: xgb.Booster) -> xgb.Booster:
        """Write the last ones."""
        model.set_attr(**{CUTS: json.dumps(self._objective.cuts.tolist())})
        return model


def _over_workers(values: np.ndarray) -> np.ndarray:
    return collective.allreduce(values.astype(np.float64), collective.Op.SUM)
