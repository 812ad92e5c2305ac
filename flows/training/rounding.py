"""Leaf values on a binary grid, so that float32 sums of them are exact.

A thousand float32 additions differ in the fifth digit with their order, and every runtime has its
own. With all leaves and the base score multiples of one power of two, coarse enough that no partial
sum needs more than float32's 24 bits, any order gives the same latent to the last bit: XGBoost,
ONNX Runtime, one row or a batch, on any machine. A leaf moves by a millionth of the latent's span.
"""

import json
from typing import Any

import numpy as np
import xgboost as xgb

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
