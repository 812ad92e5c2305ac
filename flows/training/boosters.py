"""One growing XGBoost booster, whichever the objective: grow some rounds, look, grow on.

The search grows the boosters of all folds side by side and reads the rounds off their common
curve; the refit grows one to that number. Both run this same code, so they agree.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xgboost as xgb

from flows.training.data import TrainingData
from flows.training.heads import Head
from flows.training.ordinal import gradient, move_cuts, starting_cuts
from flows.training.rounding import round_leaves

BLOCK = 10  # rounds between two looks at the curve, and between two moves of the ordinal cuts


class Growing:
    """A booster on its way, with its training matrix and, where ordinal, the cuts learned so far.

    `params` are XGBoost's own names, and `additive` (each feature in an interaction group alone).
    """

    def __init__(
        self,
        data: TrainingData,
        params: Mapping[str, Any],
        seed: int,
        *,
        watch: tuple[xgb.DMatrix, ...] = (),
        threads: int = 1,
    ) -> None:
        self.kind, self.y, self.rounds = data.kind, data.y, 0
        self.matrix = xgb.QuantileDMatrix(data.X, label=data.target, nthread=threads)
        settings = native_params(data, params, seed) | {"nthread": threads}
        # A booster remembers its predictions on matrices it was made with: each look is cheap.
        self.booster = xgb.Booster(settings, cache=[self.matrix, *watch])
        self.cuts = first_cuts(data)

    def grow(self, until: int) -> None:
        """Add trees up to this number of rounds."""
        while self.rounds < until:
            if self.kind == "ordinal":
                self._boost_ordinal()
            else:
                self.booster.update(self.matrix, self.rounds)
            self.rounds += 1

    def latent(self, matrix: xgb.DMatrix) -> np.ndarray:
        """Return the latent (n,), or the margins (n, K) for softmax."""
        return self.booster.predict(matrix, output_margin=True)

    def head(self, sigma: float) -> Head:
        """Return the head that belongs to this booster, given the noise of its latent."""
        return Head("softmax" if self.kind == "softmax" else "probit", tuple(self.cuts.tolist()), sigma)

    def _boost_ordinal(self) -> None:
        latent = self.latent(self.matrix).astype(np.float64)
        if self.rounds % BLOCK == 0:
            self.cuts = move_cuts(self.cuts, latent, self.y)
        grad, hess = gradient(latent, self.y, self.cuts)
        self.booster.boost(self.matrix, self.rounds, grad=grad, hess=hess)


def first_cuts(data: TrainingData) -> np.ndarray:
    """Return the cuts (K-1,) that a fit starts from: of a score they are its bounds; softmax has none."""
    if data.kind == "ordinal":
        return starting_cuts(data.y, data.classes)
    return np.asarray(data.bounds if data.kind == "score" else (), dtype=np.float64)


def native_params(data: TrainingData, params: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the parameters for `xgb.Booster`.

    base_score is always written out (estimated ones are lost by converters), the random numbers
    are drawn anew each round from the seed (boosters growing side by side share one generator),
    and the ordinal booster is saved as squared error, so that it predicts its latent anywhere.
    """
    own = {name: value for name, value in params.items() if name != "additive"}
    settings: dict[str, Any] = {"tree_method": "hist", "seed": seed, "seed_per_iteration": True, **own}
    if params.get("additive"):
        settings["interaction_constraints"] = str([list(group) for group in data.groups])
    if data.kind == "softmax":
        return settings | {"objective": "multi:softprob", "num_class": data.classes, "base_score": 0.0}
    base = float(np.mean(data.target)) if data.kind == "score" else 0.0
    monotone = str(tuple(data.monotone))
    return settings | {"objective": "reg:squarederror", "base_score": base, "monotone_constraints": monotone}


def refit(data: TrainingData, params: Mapping[str, Any], rounds: int, seed: int, threads: int = 1) -> Growing:
    """Fit one booster to all rows, for this many rounds; its leaves are rounded to sum exactly."""
    growing = Growing(data, params, seed, threads=threads)
    growing.grow(rounds)
    growing.booster = round_leaves(growing.booster)
    return growing


def predict_latent(booster: xgb.Booster, X: np.ndarray) -> np.ndarray:
    """Return the latent (n,) or margins (n, K) of feature rows (n, F); NaN is a missing value."""
    return booster.predict(xgb.DMatrix(X), output_margin=True)
