"""The model as one ONNX graph: the trees by onnxmltools, the head as nodes behind them.

Input "features" float32 (n, F), NaN where missing. Outputs "probabilities" float32 (n, K) and,
for probit, "latent" float32 (n,), in the score's unit where there is one.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

from flows.training.boosters import predict_latent
from flows.training.heads import Head

if TYPE_CHECKING:
    import onnx
    import onnxruntime

OPSET = 17  # of the default domain: the newest that every onnxruntime of the last years reads
TREES = "trees"
TOLERANCE = 1e-5


def export(booster: xgb.Booster, head: Head) -> "onnx.ModelProto":
    """Convert a booster and its head, and check the graph.

    The booster must have been trained on plain arrays with base_score written out: the converter
    reads both from it.
    """
    import onnx
    from onnx import helper
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    inputs = [("features", FloatTensorType([None, booster.num_features()]))]
    model = convert_xgboost(booster, initial_types=inputs)
    tail, constants = _probit(head) if head.kind == "probit" else _softmax(head)
    _expose_trees(model.graph)
    model.graph.node.extend(helper.make_node(*node[:3], **node[3]) for node in tail)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    del model.graph.output[:]
    model.graph.output.extend(_outputs(head))
    model.opset_import.append(helper.make_opsetid("", OPSET))
    onnx.checker.check_model(model, full_check=True)
    return model


def parity(booster: xgb.Booster, head: Head, session: "onnxruntime.InferenceSession", X: np.ndarray) -> float:
    """Return the largest difference of a probability between ONNX and the booster with its head.

    Asked in one batch and row by row for the first rows, since runtimes treat the two apart.
    """
    wanted = head.probabilities(predict_latent(booster, X))
    batch = session.run(["probabilities"], {"features": X})[0]
    ones = [session.run(["probabilities"], {"features": X[i : i + 1]})[0] for i in range(min(len(X), 50))]
    gaps = [np.abs(batch - wanted).max(), np.abs(np.vstack(ones) - wanted[: len(ones)]).max()]
    return float(np.max(gaps))


Node = tuple[str, list[str], list[str], dict[str, Any]]


def _probit(head: Head) -> tuple[list[Node], dict[str, Any]]:
    """S_k = (1 + erf((f - t_k) / (sigma sqrt 2))) / 2, then the differences of 0, S_0 … S_(K-2), 1."""
    cuts = np.asarray(head.cuts)
    scale = 1.0 / (head.sigma * np.sqrt(2.0))
    steps = np.eye(len(cuts), len(cuts) + 1) - np.eye(len(cuts), len(cuts) + 1, k=1)
    last = np.eye(1, len(cuts) + 1, k=len(cuts)) + steps.sum(axis=0) / 2
    constants = {
        "cuts": cuts.astype(np.float32),
        "scale": np.float32(scale),
        "steps": (steps / 2).astype(np.float32),
        "last": last[0].astype(np.float32),
        "flat": np.array([-1], dtype=np.int64),
    }
    nodes: list[Node] = [
        ("Reshape", [TREES, "flat"], ["latent"], {}),
        ("Sub", [TREES, "cuts"], ["away"], {}),
        ("Mul", ["away", "scale"], ["scaled"], {}),
        ("Erf", ["scaled"], ["reach"], {}),
        ("Gemm", ["reach", "steps", "last"], ["shares"], {}),
        ("Relu", ["shares"], ["probabilities"], {}),  # rounding may leave -1e-8
    ]
    return nodes, constants


def _softmax(head: Head) -> tuple[list[Node], dict[str, Any]]:
    nodes: list[Node] = [
        ("Mul", [TREES, "scale"], ["scaled"], {}),
        ("Softmax", ["scaled"], ["probabilities"], {"axis": 1}),
    ]
    return nodes, {"scale": np.float32(1.0 / head.sigma)}


def _expose_trees(graph: "onnx.GraphProto") -> None:
    """Let the tree node hand on plain sums under a name of ours, whatever it was converted to."""
    (trees,) = graph.node
    for attribute in trees.attribute:
        if attribute.name == "post_transform":
            attribute.s = b"NONE"
    trees.output[-1] = TREES


def _outputs(head: Head) -> list["onnx.ValueInfoProto"]:
    from onnx import TensorProto, helper

    classes = len(head.cuts) + 1 if head.kind == "probit" else None
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, classes])]
    if head.kind == "probit":
        outputs.append(helper.make_tensor_value_info("latent", TensorProto.FLOAT, [None]))
    return outputs
