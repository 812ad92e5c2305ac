"""XGBoost among the families."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xgboost as xgb

from flows.training.boosters import Growing
from flows.training.data import TrainingData


class BoostedLearner:
    """A fold's booster, which remembers its predictions on the rows held out."""

    def __init__(self, data: TrainingData, held: np.ndarray, params: Mapping[str, Any], seed: int) -> None:
        self._held = xgb.DMatrix(held)
        self._growing = Growing(data, params, seed, watch=(self._held,))

    @property
    def cuts(self) -> np.ndarray:
        """The cut points so far."""
        return self._growing.cuts

    def grow(self, until: int) -> None:
        """Add trees up to this number of rounds."""
        self._growing.grow(until)

    def held(self) -> np.ndarray:
        """Return the latent, or margins, of the rows held out."""
        return self._growing.latent(self._held)
