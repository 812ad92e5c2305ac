"""CatBoost's symmetric trees as XGBoost's.

A symmetric tree asks the same question in every node of a level, so d levels make a full tree of 2^d
leaves. CatBoost goes on where x > border, XGBoost turns back where x < condition: the condition is the
next float32 above the border. A missing cell answers no to CatBoost's question, so it goes left.
Covers, which TreeSHAP weighs by, are the training rows of each leaf.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import xgboost as xgb

from flows.training.rounding import round_leaves

EMPTY = 0.01  # rows of a leaf that none reached: TreeSHAP divides by covers
ROOT_HAS_NO_PARENT = 2**31 - 1

Tree = dict[str, Any]


def rewritten(document: dict[str, Any], features: int, margins: int) -> xgb.Booster:
    """Return a booster with the trees of CatBoost's JSON; `margins` is 1 for a latent.

    Its leaves are rounded to sum exactly. Raises RuntimeError for what cannot be rewritten.
    """
    scale, bias = document["scale_and_bias"]
    asked = {number: one["flat_feature_index"] for number, one in enumerate(_features(document))}
    trees = [
        tree
        for each in document["oblivious_trees"]
        for tree in _trees(each, asked, features, margins, float(scale))
    ]
    for tree, extra in zip(trees, bias if margins > 1 else (), strict=False):
        _raise_leaves(tree, extra)
    model = _template(features, margins, float(bias[0]) if margins == 1 else 0.0)
    _plant(model["learner"]["gradient_booster"]["model"], trees, margins)
    booster = xgb.Booster()
    booster.load_model(bytearray(json.dumps(model), "utf-8"))
    return round_leaves(booster)


def _features(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["features_info"]["float_features"]
    wrong = [one["feature_index"] for one in found if one["nan_value_treatment"] == "AsTrue"]
    if wrong:
        raise RuntimeError(f"CatBoost takes missing cells of the columns {wrong} for the largest")
    return found


def _trees(each: Tree, asked: dict[int, int], features: int, margins: int, scale: float) -> Iterator[Tree]:
    """Yield one tree for each margin."""
    depth = len(each["splits"])
    columns = [asked[split["float_feature_index"]] for split in each["splits"]]
    borders = np.array([split["border"] for split in each["splits"]], dtype=np.float32)
    conditions = np.nextafter(borders, np.float32(np.inf)).tolist()
    leaves = np.array(each["leaf_values"]).reshape(2**depth, margins) * scale
    rows = np.array(each["leaf_weights"], dtype=float).reshape(2**depth)
    order = _leaf_order(depth)
    for margin in range(margins):
        yield _full_tree(columns, conditions, leaves[order, margin], np.maximum(rows[order], EMPTY), features)


def _leaf_order(depth: int) -> np.ndarray:
    """Return CatBoost's number of each leaf from left to right: its first question is its lowest bit."""
    numbers = np.arange(2**depth)
    return sum(((numbers >> (depth - 1 - level)) & 1) << level for level in range(depth)) + 0 * numbers


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


def _plant(model: dict[str, Any], trees: list[Tree], margins: int) -> None:
    """Put the trees in the place of those that are there."""
    model["trees"] = [tree | {"id": number} for number, tree in enumerate(trees)]
    model["tree_info"] = [number % margins for number in range(len(trees))]
    model["iteration_indptr"] = list(range(0, len(trees) + 1, margins))
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
