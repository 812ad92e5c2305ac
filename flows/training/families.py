"""Model families behind one face: boosters, logistic regression, a small neural network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xgboost as xgb
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from data.bundle.manifest import FamilyName
from data.bundle.models import DenseModel, Layer, Model
from flows.training.boosters import Growing
from flows.training.data import Kind, TrainingData
from flows.training.ordinal import Head


class Learner(Protocol):
    """One fold's model on its way, and the rows that were held out from it."""

    @property
    def cuts(self) -> np.ndarray:
        """The cut points so far: (K-1,) for a latent, (0,) for margins."""

    def grow(self, until: int) -> None:
        """Learn up to this number of rounds."""

    def held(self) -> np.ndarray:
        """Return the latent (n,), or margins (n, K), of the held-out rows."""


@dataclass(frozen=True)
class Grown:
    """A model fitted to all rows, with its cuts: (K-1,) for a latent, (0,) for margins."""

    model: Model
    cuts: np.ndarray

    def head(self, sigma: float) -> Head:
        """Return the head that belongs to the model, given the noise of its latent."""
        return Head("probit" if len(self.cuts) else "softmax", tuple(self.cuts.tolist()), sigma)


NO_CUTS = np.empty(0)


def how(family: FamilyName, kind: Kind, data: TrainingData) -> str:
    """Say how a model was trained."""
    if family == "logistic":
        return f"A multinomial logistic regression on standardised features.{_without_order(data)}"
    if family == "neural":
        return f"A small neural network on standardised features.{_without_order(data)}"
    if family == "catboost":
        return f"CatBoost, its trees rewritten as XGBoost's. {_of_catboost(kind, data)}"
    return HOW[kind]


def _without_order(data: TrainingData) -> str:
    return " It makes no use of the order of the classes, nor of known directions." if data.ordered else ""


def _of_catboost(kind: Kind, data: TrainingData) -> str:
    if kind == "ordinal":
        return "Its latent is the log odds of the first class."
    return HOW[kind] if kind == "score" or not data.ordered else f"A margin a class.{_without_order(data)}"


HOW: dict[Kind, str] = {
    "score": "The booster was trained on the score; the classes' own bounds are its cut points.",
    "ordinal": "No score to train on: the ordinal objective learned the cut points.",
    "softmax": "The classes have no order: one margin a class, and softmax.",
}


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


ITERATIONS = 5_000  # of the solver, which ends long before

Arrays = list[tuple[np.ndarray, np.ndarray]]


class DenseLearner(ABC):
    """A model on standardised columns; missing cells take the rows' own mean, and are marked.

    The marks and scales are of the rows that it learns from, never of those held out.
    """

    cuts = NO_CUTS

    def __init__(self, data: TrainingData, held: np.ndarray, params: Mapping[str, Any], seed: int) -> None:
        self._data, self._held, self.params, self.rounds = data, held, params, 0
        self._random = np.random.RandomState(seed)
        self._imputer = SimpleImputer(add_indicator=True, keep_empty_features=True)
        self._scaler = StandardScaler()
        filled = self._imputer.fit_transform(data.X.astype(np.float64))
        self._rows = self._scaler.fit_transform(filled)
        self._start()

    def grow(self, until: int) -> None:
        """Learn up to this number of rounds."""
        with threadpool_limits(1):  # the order of sums, and so the last digits, hang on the threads
            while self.rounds < until:
                self._learn()
                self.rounds += 1

    def held(self) -> np.ndarray:
        """Return the margins of the rows held out."""
        return self.model().latent(self._held)

    def model(self) -> DenseModel:
        """Return what has been learned so far."""
        indicator = self._imputer.indicator_
        return DenseModel(
            fills=tuple(self._imputer.statistics_.tolist()),
            marked=tuple(indicator.features_.tolist()),
            means=tuple(self._scaler.mean_.tolist()),
            scales=tuple(self._scaler.scale_.tolist()),
            layers=tuple(
                Layer(weights=tuple(map(tuple, weights.tolist())), biases=tuple(biases.tolist()))
                for weights, biases in _two_sided(self._arrays())
            ),
        )

    @abstractmethod
    def _start(self) -> None:
        """Make what learns, before the first round."""

    @abstractmethod
    def _learn(self) -> None:
        """Learn for one round."""

    @abstractmethod
    def _arrays(self) -> Arrays:
        """Return weights (in, out) and biases (out,) of each layer."""


class LogisticLearner(DenseLearner):
    """Multinomial logistic regression: one round, to the end."""

    def _start(self) -> None:
        self._regression = LogisticRegression(C=self.params["C"], max_iter=ITERATIONS)

    def _learn(self) -> None:
        self._regression.fit(self._rows, self._data.y)

    def _arrays(self) -> Arrays:
        return [(self._regression.coef_.T, self._regression.intercept_)]


class NeuralLearner(DenseLearner):
    """One hidden layer of ReLU units; a round is an epoch of Adam."""

    def _start(self) -> None:
        self._network = MLPClassifier(
            hidden_layer_sizes=(self.params["hidden_units"],),
            learning_rate_init=self.params["learning_rate_init"],
            alpha=self.params["alpha"],
            random_state=self._random,
        )

    def _learn(self) -> None:
        self._network.partial_fit(self._rows, self._data.y, classes=np.arange(self._data.classes))

    def _arrays(self) -> Arrays:
        return list(zip(self._network.coefs_, self._network.intercepts_, strict=True))


def _two_sided(layers: Arrays) -> Arrays:
    """Return layers that end in one margin a class: of two classes scikit-learn keeps the second's alone."""
    weights, biases = layers[-1]
    if weights.shape[1] > 1:
        return layers
    halves = np.array([[-0.5, 0.5]])
    return [*layers[:-1], (weights @ halves, biases @ halves)]
