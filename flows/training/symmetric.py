"""CatBoost's symmetric trees, rewritten as XGBoost's so that one bundle serves both."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from data.bundle.models import TreeModel
from flows.training.data import PAIR, TrainingData
from flows.training.families import NO_CUTS, Refitted, read_booster, round_leaves

EMPTY = 0.01  # rows of a leaf that none reached: TreeSHAP divides by covers
ROOT_HAS_NO_PARENT = 2**31 - 1
CHECKED_ROWS = 5_000
CLOSE = 1e-4  # of the latent's span: CatBoost sums in float64 and rounds no leaf

Tree = dict[str, Any]


class SymmetricLearner:
    """A fold's CatBoost model, grown whole at once: its rounds are looked at afterwards."""

    def __init__(
        self, data: TrainingData, held: np.ndarray, params: Mapping[str, Any], seed: int, rounds: int
    ) -> None:
        """Fit all rounds to `data`; feature rows `held` (n, F) are held out."""
        self.cuts, self._held, self._rounds = cuts_of(data), held, 0
        self._model = train(data, params, rounds, seed)

    def fit(self, until: int) -> None:
        """Take the trees up to this number of rounds."""
        self._rounds = until

    def held_out(self) -> np.ndarray:
        """Return the latent (n,), or margins (n, K), of the held-out rows."""
        return raw(self._model, self._held, self._rounds)


def refit_symmetric(
    data: TrainingData, params: Mapping[str, Any], rounds: int, seed: int, threads: int
) -> Refitted:
    """Fit CatBoost to all rows and rewrite it; raises RuntimeError where the two answer differently."""
    model = train(data, params, rounds, seed, threads)
    margins = 1 if len(cuts_of(data)) else data.classes
    kept, rows = TreeModel.of(rewritten(exported(model), data.X.shape[1], margins)), data.X[:CHECKED_ROWS]
    expected = raw(model, rows, rounds)
    gap = float(np.abs(kept.latent(rows) - expected).max())
    if not gap <= CLOSE * max(1.0, float(np.ptp(expected))):
        raise RuntimeError(f"CatBoost and its trees as XGBoost's differ by {gap:.2g}")
    return Refitted(kept, cuts_of(data))


def cuts_of(data: TrainingData) -> np.ndarray:
    """Return the cut points (K-1,) of the latent, or none where there are margins."""
    if data.kind == "score":
        return np.asarray(data.bounds, dtype=np.float64)
    return np.zeros(1) if _log_odds(data) else NO_CUTS


def _log_odds(data: TrainingData) -> bool:
    return data.kind == "ordinal" and data.classes == PAIR


def train(data: TrainingData, params: Mapping[str, Any], rounds: int, seed: int, threads: int = 1) -> Any:
    """Grow CatBoost on the float32 matrix; known directions are kept wherever it has one latent."""
    from catboost import CatBoost, Pool  # a second to import

    own = {name: value for name, value in params.items() if name != "head"}
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


def rewritten(document: dict[str, Any], features: int, margins: int) -> xgb.Booster:
    """Return XGBoost's booster of the trees of CatBoost's JSON, its leaves rounded to sum exactly.

    A symmetric (oblivious) tree of depth d asks one question on each level: it is a full binary tree of
    2^d leaves. CatBoost goes right where x > border, XGBoost where not x < condition: the condition is the
    next float32 above the border.

    Args:
        document: the model, as `exported` gives it.
        features: columns of the feature matrix.
        margins: 1 for a latent, else the number of classes.

    Raises:
        RuntimeError: missing cells count as the largest, which XGBoost's `default_left` cannot say.
    """
    floats = document["features_info"]["float_features"]
    wrong = [one["feature_index"] for one in floats if one["nan_value_treatment"] == "AsTrue"]
    if wrong:
        raise RuntimeError(f"CatBoost takes missing cells of the columns {wrong} for the largest")
    scale, bias = document["scale_and_bias"]
    columns = [one["flat_feature_index"] for one in floats]
    trees = [
        tree
        for each in document["oblivious_trees"]
        for tree in _trees(each, columns, features, margins, float(scale))
    ]
    for tree, extra in zip(trees, bias if margins > 1 else (), strict=False):
        _raise_leaves(tree, extra)
    model = _template(features, margins, float(bias[0]) if margins == 1 else 0.0)
    forest = model["learner"]["gradient_booster"]["model"]
    forest["trees"] = [tree | {"id": number} for number, tree in enumerate(trees)]
    forest["tree_info"] = [number % margins for number in range(len(trees))]
    forest["iteration_indptr"] = list(range(0, len(trees) + 1, margins))
    forest["gbtree_model_param"]["num_trees"] = str(len(trees))
    return round_leaves(read_booster(model))


def _trees(each: Tree, places: list[int], features: int, margins: int, scale: float) -> Iterator[Tree]:
    """Yield one tree for each margin; CatBoost's first question is the lowest bit of a leaf's number."""
    depth = len(each["splits"])
    columns = [places[split["float_feature_index"]] for split in each["splits"]]
    borders = np.array([split["border"] for split in each["splits"]], dtype=np.float32)
    conditions = np.nextafter(borders, np.float32(np.inf)).tolist()
    leaves = np.array(each["leaf_values"]).reshape(2**depth, margins) * scale
    rows = np.array(each["leaf_weights"], dtype=float).reshape(2**depth)
    numbers = np.arange(2**depth)
    order = np.zeros_like(numbers)
    for level in range(depth):
        order |= ((numbers >> (depth - 1 - level)) & 1) << level
    for margin in range(margins):
        yield _full_tree(columns, conditions, leaves[order, margin], np.maximum(rows[order], EMPTY), features)


def _full_tree(
    columns: list[int], conditions: list[float], leaves: np.ndarray, rows: np.ndarray, features: int
) -> Tree:
    """Return a full tree in XGBoost's JSON, its nodes level by level."""
    depth, inner, nodes = len(columns), len(leaves) - 1, 2 * len(leaves) - 1
    covers = [rows]
    for _ in range(depth):
        covers.insert(0, covers[0].reshape(-1, 2).sum(axis=1))
    level_of = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    numbers = np.arange(nodes)
    none = [-1] * len(leaves)
    return {
        "base_weights": [0.0] * inner + leaves.tolist(),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [1] * inner + [0] * len(leaves),
        "id": 0,
        "left_children": (2 * numbers[:inner] + 1).tolist() + none,
        "loss_changes": [0.0] * nodes,
        "parents": [ROOT_HAS_NO_PARENT, *((numbers[1:] - 1) // 2).tolist()],
        "right_children": (2 * numbers[:inner] + 2).tolist() + none,
        "split_conditions": [conditions[level] for level in level_of] + leaves.tolist(),
        "split_indices": [columns[level] for level in level_of] + [0] * len(leaves),
        "split_type": [0] * nodes,
        "sum_hessian": np.concatenate(covers).tolist(),
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(nodes),
            "size_leaf_vector": "1",
        },
    }


def _raise_leaves(tree: Tree, extra: float) -> None:
    leaf = np.array(tree["left_children"]) == -1
    values = np.array(tree["split_conditions"], dtype=float)
    tree["split_conditions"] = np.where(leaf, values + extra, values).tolist()


def _template(features: int, margins: int, base: float) -> dict[str, Any]:
    """Return a booster as JSON, right in all but its trees."""
    settings: dict[str, Any] = {"base_score": base, "max_depth": 1, "nthread": 1}
    settings |= (
        {"objective": "reg:squarederror"}
        if margins == 1
        else {"objective": "multi:softprob", "num_class": margins}
    )
    rows = xgb.DMatrix(np.zeros((2, features), dtype=np.float32), label=np.zeros(2))
    document: dict[str, Any] = json.loads(xgb.train(settings, rows, 1).save_raw("json"))
    return document
