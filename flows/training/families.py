"""Model families: XGBoost boosters, logistic regression, a small neural network.

A learner is one fold's model on its way: it has the `cuts` so far, `fit`s up to a number of rounds, and says
of the rows `held_out` from it the latent (n,), or margins (n, K).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from data.bundle.manifest import FamilyName
from data.bundle.models import DenseModel, Layer, Model, TreeModel, with_days
from data.contract.dated import AS_OF
from flows.training.data import TrainingData
from flows.training.ordinal import Head, OrdinalLink, gradient, move_cuts, starting_cuts

BLOCK = 10  # rounds between two checkpoints of a curve, and between two moves of the ordinal cuts
NO_CUTS = np.empty(0)
BINS = 256  # of a column, unless a grid says otherwise


@dataclass(frozen=True)
class Refitted:
    """A model fitted to all rows, with its cuts: (K-1,) for a latent, (0,) for margins."""

    model: Model
    cuts: np.ndarray

    def link(self, head: Head | float) -> OrdinalLink:
        """Return the link that belongs to the model, given its head or the noise of its latent alone."""
        if isinstance(head, Head):
            cuts, base, sigma = self.cuts + head.shifts, tuple(head.base.tolist()), head.sigma
        else:
            cuts, base, sigma = self.cuts, (), head
        return OrdinalLink("probit" if len(cuts) else "softmax", tuple(cuts.tolist()), sigma, base)


class IncrementalBooster:
    """An XGBoost booster fitted round by round and, where ordinal, the cuts learned so far.

    `params` are XGBoost's own names, and `additive` (each feature in an interaction group alone).
    """

    def __init__(
        self,
        data: TrainingData,
        held: np.ndarray,
        params: Mapping[str, Any],
        seed: int,
        threads: int = 1,
    ) -> None:
        """Start without a tree, on the rows of `data`; feature rows `held` (n, F) are held out."""
        self.kind, self.y, self.rounds = data.kind, data.y, 0
        bins = params.get("max_bin", BINS)
        self.matrix = xgb.QuantileDMatrix(data.X, label=data.target, nthread=threads, max_bin=bins)
        self._held = xgb.DMatrix(held)
        settings = native_params(data, params, seed) | {"nthread": threads}
        # A booster remembers its predictions on matrices it was made with: each checkpoint is cheap.
        self.booster = xgb.Booster(settings, cache=[self.matrix, self._held])
        self.cuts = first_cuts(data)

    def fit(self, until: int) -> None:
        """Add trees up to this number of rounds."""
        while self.rounds < until:
            if self.kind == "ordinal":
                latent = self._latent(self.matrix).astype(np.float64)
                if self.rounds % BLOCK == 0:
                    self.cuts = move_cuts(self.cuts, latent, self.y)
                grad, hess = gradient(latent, self.y, self.cuts)
                self.booster.boost(self.matrix, self.rounds, grad=grad, hess=hess)
            else:
                self.booster.update(self.matrix, self.rounds)
            self.rounds += 1

    def held_out(self) -> np.ndarray:
        """Return the latent (n,), or margins (n, K), of the held-out rows."""
        return self._latent(self._held)

    def _latent(self, matrix: xgb.DMatrix) -> np.ndarray:
        return self.booster.predict(matrix, output_margin=True)


def refit_booster(
    data: TrainingData, params: Mapping[str, Any], rounds: int, seed: int, threads: int = 1
) -> Refitted:
    """Fit one booster to all rows, for this many rounds; its leaves are rounded to sum exactly."""
    learner = IncrementalBooster(data, data.X[:0], params, seed, threads)
    learner.fit(rounds)
    return Refitted(TreeModel.of(round_leaves(learner.booster)), learner.cuts)


def first_cuts(data: TrainingData) -> np.ndarray:
    """Return the cuts (K-1,) that a fit starts from: of a score they are its bounds; softmax has none."""
    if data.kind == "ordinal":
        return starting_cuts(data.y, data.classes)
    return np.asarray(data.bounds if data.kind == "score" else (), dtype=np.float64)


def native_params(data: TrainingData, params: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the parameters for `xgb.Booster`.

    base_score is always written out (estimated ones are lost by converters), the random numbers
    are drawn anew each round from the seed (boosters fitted side by side share one generator),
    and the ordinal booster is saved as squared error, so that it predicts its latent anywhere.
    """
    own = {name: value for name, value in params.items() if name not in ("additive", "head")}
    settings: dict[str, Any] = {"tree_method": "hist", "seed": seed, "seed_per_iteration": True, **own}
    if params.get("additive"):
        settings["interaction_constraints"] = str([list(group) for group in data.groups])
    if data.kind == "softmax":
        return settings | {"objective": "multi:softprob", "num_class": data.classes, "base_score": 0.0}
    base = float(np.mean(data.target)) if data.kind == "score" else 0.0
    monotone = str(tuple(data.monotone))
    return settings | {"objective": "reg:squarederror", "base_score": base, "monotone_constraints": monotone}


FLOAT32_BITS = 24


def round_leaves(booster: xgb.Booster) -> xgb.Booster:
    """Return the same trees with leaves and base score on a grid on which their float32 sums are exact.

    The step is 2^(ceil(log2 R) - 24) for the largest sum R that leaves and base can reach: every partial
    sum is a multiple of it with at most 24 significant bits, so that no order of addition rounds.
    """
    document = json.loads(booster.save_raw("json"))
    learner = document["learner"]
    trees = learner["gradient_booster"]["model"]["trees"]
    base = np.array(json.loads(learner["learner_model_param"]["base_score"]), ndmin=1)
    leaves = [np.array(tree["left_children"]) == -1 for tree in trees]
    values = [np.array(tree["split_conditions"]) for tree in trees]
    reach = np.abs(base).max() + sum(np.abs(v[leaf]).max() for v, leaf in zip(values, leaves, strict=True))
    step = 2.0 ** (np.ceil(np.log2(max(reach, 1e-30))) - FLOAT32_BITS)
    for tree, value, leaf in zip(trees, values, leaves, strict=True):
        tree["split_conditions"] = np.where(leaf, np.round(value / step) * step, value).tolist()
    learner["learner_model_param"]["base_score"] = json.dumps((np.round(base / step) * step).tolist())
    return read_booster(document)


def read_booster(document: dict[str, Any]) -> xgb.Booster:
    """Return the booster of XGBoost's JSON."""
    booster = xgb.Booster()
    booster.load_model(bytearray(json.dumps(document), "utf-8"))
    return booster


ITERATIONS = 5_000  # of the solver, which ends long before


class DenseLearner:
    """Logistic regression or a linear score in one round; or a hidden layer of ReLU units, a round an epoch.

    On standardised columns; missing cells take the rows' own mean, and are marked. The marks and scales
    are of the rows that it learns from, never of those held out. `by_day`: of dated records, what a column
    says may change from day to day.
    """

    def __init__(
        self, data: TrainingData, held: np.ndarray, family: FamilyName, params: Mapping[str, Any], seed: int
    ) -> None:
        """Prepare to learn from the rows of `data`; feature rows `held` (n, F) are held out."""
        self._data, self._held, self._rounds = data, held, 0
        self._imputer = SimpleImputer(add_indicator=True, keep_empty_features=True)
        self._scaler = StandardScaler()
        filled = self._imputer.fit_transform(data.X.astype(np.float64))
        self._day = data.names.index(AS_OF) if params.get("by_day") and AS_OF in data.names else None
        self._rows = with_days(self._scaler.fit_transform(filled), self._day)
        self.cuts = first_cuts(data) if family == "linear" else NO_CUTS
        self._estimator: LogisticRegression | Ridge | MLPClassifier
        if family == "linear":
            self._estimator = Ridge(alpha=params["alpha"])
        elif family == "logistic":
            self._estimator = LogisticRegression(C=params["C"], max_iter=ITERATIONS)
        else:
            self._estimator = MLPClassifier(
                hidden_layer_sizes=(params["hidden_units"],),
                learning_rate_init=params["learning_rate_init"],
                alpha=params["alpha"],
                random_state=np.random.RandomState(seed),  # drawn from anew in each epoch
            )

    def fit(self, until: int) -> None:
        """Learn up to this number of rounds."""
        y, classes = self._data.y, np.arange(self._data.classes)
        with threadpool_limits(1):  # the order of sums, and so the last digits, hang on the threads
            while self._rounds < until:
                if isinstance(self._estimator, Ridge):
                    self._estimator.fit(self._rows, self._data.target)
                elif isinstance(self._estimator, LogisticRegression):
                    self._estimator.fit(self._rows, y)
                else:
                    self._estimator.partial_fit(self._rows, y, classes=classes)
                self._rounds += 1

    def held_out(self) -> np.ndarray:
        """Return the margins (n, K) of the held-out rows, or their latent (n,)."""
        return self.model().latent(self._held)

    def model(self) -> DenseModel:
        """Return what has been learned so far."""
        layers = [
            Layer(weights=tuple(map(tuple, weights.tolist())), biases=tuple(biases.tolist()))
            for weights, biases in self._layers()
        ]
        return DenseModel(
            fills=tuple(self._imputer.statistics_.tolist()),
            marked=tuple(self._imputer.indicator_.features_.tolist()),
            means=tuple(self._scaler.mean_.tolist()),
            scales=tuple(self._scaler.scale_.tolist()),
            layers=tuple(layers),
            day=self._day,
        )

    def _layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return weights (in, out) and biases (out,) of each layer; the last gives margins, or a latent."""
        if isinstance(self._estimator, Ridge):
            return [(self._estimator.coef_[:, None], np.array([self._estimator.intercept_]))]
        if isinstance(self._estimator, LogisticRegression):
            layers = [(self._estimator.coef_.T, self._estimator.intercept_)]
        else:
            layers = list(zip(self._estimator.coefs_, self._estimator.intercepts_, strict=True))
        weights, biases = layers[-1]
        if weights.shape[1] > 1:
            return layers
        halves = np.array([[-0.5, 0.5]])  # of two classes scikit-learn keeps the second's margin alone
        return [*layers[:-1], (weights @ halves, biases @ halves)]
