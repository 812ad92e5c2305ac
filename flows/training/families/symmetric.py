"""CatBoost among the families: grown by CatBoost, kept as XGBoost's trees.

Serving needs neither CatBoost nor a second kind of model file, and reasons, ONNX and bundle are those
of any booster. On the score it learns that; of two classes, the log odds of the first one;
else a margin a class, for CatBoost has no ordinal objective.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.model_trees import TreeModel
from flows.training.data import PAIR, TrainingData
from flows.training.families.base import NO_CUTS, Grown
from flows.training.families.rewriting import rewritten

CHECKED_ROWS = 5_000
CLOSE = 1e-4  # of the latent's span: CatBoost sums in float64 and rounds no leaf


class SymmetricLearner:
    """A fold's CatBoost model, grown whole at once: its rounds are looked at afterwards."""

    def __init__(
        self, data: TrainingData, held: np.ndarray, params: Mapping[str, Any], seed: int, most: int
    ) -> None:
        self.cuts, self._held, self._rounds = cuts_of(data), held, 0
        self._model = train(data, params, most, seed)

    def grow(self, until: int) -> None:
        """Take the trees up to this number of rounds."""
        self._rounds = until

    def held(self) -> np.ndarray:
        """Return the latent, or margins, of the rows held out."""
        return raw(self._model, self._held, self._rounds)


def refit_symmetric(
    data: TrainingData, params: Mapping[str, Any], rounds: int, seed: int, threads: int
) -> Grown:
    """Fit CatBoost to all rows and rewrite it; raises RuntimeError where the two answer differently."""
    model = train(data, params, rounds, seed, threads)
    margins = 1 if len(cuts_of(data)) else data.classes
    booster = rewritten(exported(model), data.X.shape[1], margins)
    kept, rows = TreeModel.of(booster), data.X[:CHECKED_ROWS]
    wanted = raw(model, rows, rounds)
    gap = float(np.abs(kept.latent(rows) - wanted).max())
    if not gap <= CLOSE * max(1.0, float(np.ptp(wanted))):
        raise RuntimeError(f"CatBoost and its trees as XGBoost's differ by {gap:.2g}")
    return Grown(kept, cuts_of(data))


def cuts_of(data: TrainingData) -> np.ndarray:
    """Return the cut points of the latent, or none where there are margins."""
    if data.kind == "score":
        return np.asarray(data.bounds, dtype=np.float64)
    return np.zeros(1) if _log_odds(data) else NO_CUTS


def _log_odds(data: TrainingData) -> bool:
    return data.kind == "ordinal" and data.classes == PAIR


def train(data: TrainingData, params: Mapping[str, Any], rounds: int, seed: int, threads: int = 1) -> Any:
    """Grow CatBoost on the float32 matrix; known directions are kept wherever it has one latent."""
    from catboost import CatBoost, Pool  # a second to import

    own = dict(params)
    subsample = own.pop("subsample")
    sampled = {"bootstrap_type": "Bernoulli", "subsample": subsample} if subsample < 1 else {}
    settings = {
        **own,
        **(sampled or {"bootstrap_type": "No"}),
        **_objective(data),
        "iterations": rounds,
        "boosting_type": "Plain",
        "model_shrink_rate": 0,  # else known directions bring one, and a part of the trees is no model
        "random_seed": seed,
        "thread_count": threads,
        "verbose": False,
        "allow_writing_files": False,
    }
    target = data.y == 0 if _log_odds(data) else data.target
    return CatBoost(settings).fit(Pool(data.X, target.astype(np.float64), thread_count=threads))


def _objective(data: TrainingData) -> dict[str, Any]:
    if not len(cuts_of(data)):
        return {"loss_function": "MultiClass", "classes_count": data.classes}
    loss = "RMSE" if data.kind == "score" else "Logloss"
    return {"loss_function": loss, "monotone_constraints": list(data.monotone)}


def raw(model: Any, X: np.ndarray, rounds: int) -> np.ndarray:
    """Return what the trees up to this round add up to: (n,), or (n, K)."""
    return np.asarray(model.predict(X, prediction_type="RawFormulaVal", ntree_end=rounds, thread_count=1))


def exported(model: Any) -> dict[str, Any]:
    """Return the model as CatBoost writes it in JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        document: dict[str, Any] = json.loads(path.read_bytes())
    return document
