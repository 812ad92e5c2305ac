"""XGBoost boosters: fitted round by round, with amounts that sum alike everywhere."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xgboost as xgb

from flows.training.data import TrainingData
from flows.training.ordinal import Head, gradient, move_cuts, starting_cuts

FLOAT32_BITS = 24


def round_leaves(booster: xgb.Booster) -> xgb.Booster:
    """Return the same trees with leaves and base score rounded to the finest grid that sums exactly."""
    document = json.loads(booster.save_raw("json"))
    learner = document["learner"]
    trees = learner["gradient_booster"]["model"]["trees"]
    base = np.array(json.loads(learner["learner_model_param"]["base_score"]), ndmin=1)
    leaves = [np.array(tree["left_children"]) == -1 for tree in trees]
    values = [np.array(tree["split_conditions"]) for tree in trees]
    tallest = (np.abs(v[leaf]).max() for v, leaf in zip(values, leaves, strict=True))
    reach = np.abs(base).max() + sum(tallest)
    step = 2.0 ** (np.ceil(np.log2(max(reach, 1e-30))) - FLOAT32_BITS)
    for tree, value, leaf in zip(trees, values, leaves, strict=True):
        tree["split_conditions"] = np.where(leaf, _snap(value, step), value).tolist()
    learner["learner_model_param"]["base_score"] = json.dumps(_snap(base, step).tolist())
    return _load(document)


def _snap(values: np.ndarray, step: float) -> np.ndarray:
    return np.round(values / step) * step


def _load(document: dict[str, Any]) -> xgb.Booster:
    booster = xgb.Booster()
    booster.load_model(bytearray(json.dumps(document), "utf-8"))
    return booster


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
