"""The simpler and the usual models, on the same folds: what the chosen one has to beat."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flows.training.data import Folds, TrainingData
from flows.training.metrics import oof_figures

CATBOOST_ROUNDS = 300

Predict = Callable[[TrainingData, np.ndarray], np.ndarray]
"""Fits to rows, and returns the class probabilities (n, K) of feature rows (n, F)."""


class BaselineResult(NamedTuple):
    """A baseline's pooled out-of-fold probabilities (n, K), its leaderboard figures, its seconds."""

    probabilities: np.ndarray
    figures: dict[str, float]
    seconds: float


def baselines_for(data: TrainingData, seed: int) -> dict[str, Predict]:
    """Return the baselines that this data allows by name, simplest first."""
    named: dict[str, Predict] = {"majority": majority}
    if data.rule_of_thumb is not None:
        columns = data.groups[data.rule_of_thumb]
        feature = data.names[columns[0]].split("=")[0]
        named[f"{feature} alone"] = partial(logistic, columns=columns)
    return named | {
        "logistic regression": logistic,
        "CatBoost, usual settings": partial(catboost, seed=seed),
        "XGBoost softprob, usual settings": partial(xgboost_usual, seed=seed),
    }


def majority(train: TrainingData, X: np.ndarray) -> np.ndarray:
    """Answer the class shares of the training rows, whatever the row."""
    return _of_all(train, DummyClassifier(strategy="prior").fit(train.X, train.y), X)


def logistic(train: TrainingData, X: np.ndarray, columns: Any = slice(None)) -> np.ndarray:
    """Fit a multinomial logistic regression on standardised features, or on these columns of them alone.

    Missing cells take the fold's own mean, with a column that says so.
    """
    imputer = SimpleImputer(add_indicator=True, keep_empty_features=True)
    model = make_pipeline(imputer, StandardScaler(), LogisticRegression(max_iter=1_000))
    if len(np.unique(train.y)) == 1:  # nothing to tell apart
        return majority(train, X)
    return _of_all(train, model.fit(train.X[:, columns], train.y), X[:, columns])


def _of_all(train: TrainingData, model: Any, X: np.ndarray) -> np.ndarray:
    """Return what a fitted model says of all classes (n, K): 0 for those that no training row has."""
    shares = np.zeros((len(X), train.classes))
    shares[:, model.classes_] = model.predict_proba(X)
    return shares


def catboost(train: TrainingData, X: np.ndarray, seed: int) -> np.ndarray:
    """Fit CatBoost with its usual settings and a few hundred trees."""
    from catboost import CatBoostClassifier  # a second to import

    model = CatBoostClassifier(
        iterations=CATBOOST_ROUNDS,
        loss_function="MultiClass",
        classes_count=train.classes,
        random_seed=seed,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    return model.fit(train.X, train.y).predict_proba(X)


def xgboost_usual(train: TrainingData, X: np.ndarray, seed: int) -> np.ndarray:
    """Fit XGBoost `multi:softprob` with its usual settings."""
    from xgboost import XGBClassifier

    model = XGBClassifier(objective="multi:softprob", num_class=train.classes, n_jobs=1, random_state=seed)
    return model.fit(train.X, train.y).predict_proba(X)


def out_of_fold(data: TrainingData, folds: Folds, predict: Predict) -> BaselineResult:
    """Fit a baseline in each fold and pool what it says of the held-out rows."""
    started = time.perf_counter()
    pooled = np.empty((len(data.y), data.classes))
    for rows, held in folds:
        pooled[held] = predict(data.rows(rows), data.X[held])
    return BaselineResult(pooled, oof_figures(pooled, data.y, folds), time.perf_counter() - started)
