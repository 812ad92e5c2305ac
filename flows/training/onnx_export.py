"""The model as one ONNX graph: trees by onnxmltools, or a dense model's layers, with the link behind.

Input "features" float32 (n, F), NaN where missing. Outputs "probabilities" float32 (n, K) and,
for probit, "latent" float32 (n,), in the score's unit where there is one.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from data.bundle.models import DenseModel, Model, TreeModel
from flows.training.ordinal import OrdinalLink

if TYPE_CHECKING:
    import onnx

IR_VERSION = 8  # the one that goes with opset 17
FLOAT = 1  # ONNX's number of float32

DenseNode = tuple[str, list[str], str, dict[str, Any]]
Constants = dict[str, np.ndarray]


def dense_graph(model: DenseModel, output: str, opset: int) -> "onnx.ModelProto":
    """Return a graph from "features" float32 (n, F) to margins (n, K) named `output`, not given out yet."""
    import onnx
    from onnx import helper

    nodes, constants = _standardised(model)
    layers, weights = _layers(model, output)
    made = [helper.make_node(kind, inputs, [to], **more) for kind, inputs, to, more in nodes + layers]
    held = [onnx.numpy_helper.from_array(value, name) for name, value in (constants | weights).items()]
    features = helper.make_tensor_value_info("features", FLOAT, [None, len(model.fills)])
    graph = helper.make_graph(made, "dense", [features], [], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)


def _standardised(model: DenseModel) -> tuple[list[DenseNode], Constants]:
    """Return what makes "rows" of "features"."""
    constants = {
        "fills": np.array(model.fills, dtype=np.float32),
        "means": np.array(model.means, dtype=np.float32),
        "per_scale": (1 / np.array(model.scales)).astype(np.float32),
    }
    filled: list[DenseNode] = [
        ("IsNaN", ["features"], "missing", {}),
        ("Where", ["missing", "fills", "features"], "filled", {}),
    ]
    if model.marked:
        constants["marked"] = np.array(model.marked, dtype=np.int64)
        filled += [
            ("Gather", ["missing", "marked"], "marks", {"axis": 1}),
            ("Cast", ["marks"], "marks_as_numbers", {"to": FLOAT}),
            ("Concat", ["filled", "marks_as_numbers"], "columns", {"axis": 1}),
        ]
    nodes: list[DenseNode] = [
        *filled,
        ("Sub", ["columns" if model.marked else "filled", "means"], "around_zero", {}),
        ("Mul", ["around_zero", "per_scale"], "rows", {}),
    ]
    return nodes, constants


def _layers(model: DenseModel, output: str) -> tuple[list[DenseNode], Constants]:
    """Return what makes the margins of "rows"."""
    nodes: list[DenseNode] = []
    constants: Constants = {}
    rows = "rows"
    for number, (weights, biases) in enumerate(model.arrays, 1):
        last = number == len(model.arrays)
        sums = output if last else f"sums_{number}"
        constants |= {f"weights_{number}": weights.astype(np.float32)}
        constants |= {f"biases_{number}": biases.astype(np.float32)}
        nodes.append(("Gemm", [rows, f"weights_{number}", f"biases_{number}"], sums, {}))
        if not last:
            rows = f"active_{number}"
            nodes.append(("Relu", [sums], rows, {}))
    return nodes, constants


if TYPE_CHECKING:
    import onnx
    import onnxruntime

OPSET = 17  # of the default domain: the newest that every onnxruntime of the last years reads
RAW = "raw"  # the latent, or the margins, before the link
TOLERANCE = 1e-5


def export(model: Model, link: OrdinalLink) -> "onnx.ModelProto":
    """Convert a model and its link, and check the graph.

    A booster must have been trained on plain arrays with base_score written out: the converter
    reads both from it.
    """
    import onnx
    from onnx import helper

    graph = dense_graph(model, RAW, OPSET) if isinstance(model, DenseModel) else _trees(model)
    tail, constants = _probit(link) if link.kind == "probit" else _softmax(link)
    graph.graph.node.extend(helper.make_node(*node[:3], **node[3]) for node in tail)
    graph.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    del graph.graph.output[:]
    graph.graph.output.extend(_outputs(link))
    onnx.checker.check_model(graph, full_check=True)
    return graph


def parity(model: Model, link: OrdinalLink, session: "onnxruntime.InferenceSession", X: np.ndarray) -> float:
    """Return the largest difference of a probability between ONNX and the model with its link.

    Asked in one batch and row by row for the first rows, since runtimes treat the two apart.
    """
    wanted = link.probabilities(model.latent(X))
    batch = session.run(["probabilities"], {"features": X})[0]
    ones = [session.run(["probabilities"], {"features": X[i : i + 1]})[0] for i in range(min(len(X), 50))]
    gaps = [np.abs(batch - wanted).max(), np.abs(np.vstack(ones) - wanted[: len(ones)]).max()]
    return float(np.max(gaps))


def _trees(model: TreeModel) -> "onnx.ModelProto":
    from onnx import helper
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = model.booster
    inputs = [("features", FloatTensorType([None, booster.num_features()]))]
    converted = convert_xgboost(booster, initial_types=inputs)
    _expose_trees(converted.graph)
    converted.opset_import.append(helper.make_opsetid("", OPSET))
    return converted


Node = tuple[str, list[str], list[str], dict[str, Any]]


def _probit(link: OrdinalLink) -> tuple[list[Node], dict[str, Any]]:
    """S_k = (1 + erf((f - t_k) / (sigma sqrt 2))) / 2, then the differences of 0, S_0 … S_(K-2), 1."""
    cuts = np.asarray(link.cuts)
    scale = 1.0 / (link.sigma * np.sqrt(2.0))
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
        ("Reshape", [RAW, "flat"], ["latent"], {}),
        ("Sub", [RAW, "cuts"], ["away"], {}),
        ("Mul", ["away", "scale"], ["scaled"], {}),
        ("Erf", ["scaled"], ["reach"], {}),
        ("Gemm", ["reach", "steps", "last"], ["shares"], {}),
        ("Relu", ["shares"], ["probabilities"], {}),  # rounding may leave -1e-8
    ]
    return nodes, constants


def _softmax(link: OrdinalLink) -> tuple[list[Node], dict[str, Any]]:
    nodes: list[Node] = [
        ("Mul", [RAW, "scale"], ["scaled"], {}),
        ("Softmax", ["scaled"], ["probabilities"], {"axis": 1}),
    ]
    return nodes, {"scale": np.float32(1.0 / link.sigma)}


def _expose_trees(graph: "onnx.GraphProto") -> None:
    """Let the tree node hand on plain sums under a name of ours, whatever it was converted to."""
    (trees,) = graph.node
    for attribute in trees.attribute:
        if attribute.name == "post_transform":
            attribute.s = b"NONE"
    trees.output[-1] = RAW


def _outputs(link: OrdinalLink) -> list["onnx.ValueInfoProto"]:
    from onnx import TensorProto, helper

    classes = len(link.cuts) + 1 if link.kind == "probit" else None
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, classes])]
    if link.kind == "probit":
        outputs.append(helper.make_tensor_value_info("latent", TensorProto.FLOAT, [None]))
    return outputs
