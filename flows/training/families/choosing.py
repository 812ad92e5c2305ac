"""Which family learns: one fold's learner for the search, one model on all rows for the bundle."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xgboost as xgb

from data.manifest import FamilyName
from data.model_trees import TreeModel
from flows.training.boosters import refit
from flows.training.data import TrainingData
from flows.training.families.base import NO_CUTS, Grown, Learner
from flows.training.families.boosted import BoostedLearner
from flows.training.families.dense import DenseLearner, LogisticLearner, NeuralLearner
from flows.training.families.parameters import Candidates
from flows.training.families.symmetric import SymmetricLearner, refit_symmetric


class Boosted(Protocol):
    """A booster with rounded leaves, and the cuts on its latent."""

    @property
    def booster(self) -> xgb.Booster:
        """Return the booster."""

    @property
    def cuts(self) -> np.ndarray:
        """Return the cuts (K-1,), none for softmax."""


Refit = Callable[..., Boosted]
"""Fits a booster to all rows: `refit`, or one of the same parameters elsewhere."""

DENSE_LEARNERS: dict[FamilyName, type[DenseLearner]] = {"logistic": LogisticLearner, "neural": NeuralLearner}


@dataclass(frozen=True)
class Chosen:
    """The candidate to fit to all rows."""

    family: FamilyName
    params: dict[str, Any]
    rounds: int


def start(data: TrainingData, held: np.ndarray, fit: Candidates, seed: int) -> Learner:
    """Return a learner of a fold's rows, with the feature rows held out."""
    if fit.family == "xgboost":
        return BoostedLearner(data, held, fit.params, seed)
    if fit.family == "catboost":
        return SymmetricLearner(data, held, fit.params, seed, max(fit.checkpoints))
    return DENSE_LEARNERS[fit.family](data, held, fit.params, seed)


def fit_all(data: TrainingData, chosen: Chosen, seed: int, *, threads: int = 1, grow: Refit = refit) -> Grown:
    """Fit the chosen candidate to all rows; `grow` is what does so for XGBoost."""
    if chosen.family == "xgboost":
        growing = grow(data, chosen.params, chosen.rounds, seed, threads=threads)
        return Grown(TreeModel.of(growing.booster), growing.cuts)
    if chosen.family == "catboost":
        return refit_symmetric(data, chosen.params, chosen.rounds, seed, threads)
    learner = DENSE_LEARNERS[chosen.family](data, data.X[:0], chosen.params, seed)
    learner.grow(chosen.rounds)
    return Grown(learner.model(), NO_CUTS)
