"""A dense model as the beginning of an ONNX graph: fills and marks, standardising, layers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from data.model_dense import DenseModel

if TYPE_CHECKING:
    import onnx

IR_VERSION = 8  # the one that goes with opset 17
FLOAT = 1  # ONNX's number of float32

Node = tuple[str, list[str], str, dict[str, Any]]
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


def _standardised(model: DenseModel) -> tuple[list[Node], Constants]:
    """Return what makes "rows" of "features"."""
    constants = {
        "fills": np.array(model.fills, dtype=np.float32),
        "means": np.array(model.means, dtype=np.float32),
        "per_scale": (1 / np.array(model.scales)).astype(np.float32),
    }
    filled: list[Node] = [
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
    nodes: list[Node] = [
        *filled,
        ("Sub", ["columns" if model.marked else "filled", "means"], "around_zero", {}),
        ("Mul", ["around_zero", "per_scale"], "rows", {}),
    ]
    return nodes, constants


def _layers(model: DenseModel, output: str) -> tuple[list[Node], Constants]:
    """Return what makes the margins of "rows"."""
    nodes: list[Node] = []
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
