"""The model as one ONNX graph: trees by onnxmltools, or a dense model's layers, with the link behind.

Input "features" float32 (n, F), NaN where missing. Outputs "probabilities" float32 (n, K) and,
for probit, "latent" float32 (n,), in the score's unit where there is one.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from data.bundle.models import DenseModel, Model, PoolModel, TreeModel
from data.bundle.reasons import SMALLEST, Tempering
from flows.training.ordinal import OrdinalLink, raised

if TYPE_CHECKING:
    import onnx
    import onnxruntime

OPSET = 17  # of the default domain: the newest that every onnxruntime of the last years reads
IR_VERSION = 8  # the one that goes with it
TREES_OPSET = 1  # of the domain of trees, as the converter writes it
FLOAT = 1  # ONNX's number of float32
RAW = "raw"  # the latent, or the margins, before the link
UNTEMPERED = "untempered"  # probabilities of the link, before they are made less sure
TOLERANCE = 1e-5
SINGLE_ROWS = 50

Node = tuple[str, list[str], str, dict[str, Any]]
"""Operator, names of its inputs and of its output, attributes."""
Part = tuple[list[Node], dict[str, np.ndarray]]
"""Nodes of a graph, and their constants by name."""


def export(model: Model, link: OrdinalLink, tempering: Tempering | None = None) -> "onnx.ModelProto":
    """Convert a model, its link and, of dated records, the tempering of each day; and check the graph.

    A booster must have been trained on plain arrays with base_score written out: the converter
    reads both from it.
    """
    import onnx
    from onnx import helper

    exported = _pool(model, link) if isinstance(model, PoolModel) else _one(model, link)
    if tempering:
        exported.graph.node[-1].output[0] = UNTEMPERED
        _extend(exported.graph, _tempered(tempering))
    probit = link.kind == "probit"
    classes = len(link.cuts) + 1 if probit else None
    outputs = [helper.make_tensor_value_info("probabilities", FLOAT, [None, classes])]
    if probit:
        outputs.append(helper.make_tensor_value_info("latent", FLOAT, [None]))
    del exported.graph.output[:]
    exported.graph.output.extend(outputs)
    onnx.checker.check_model(exported, full_check=True)
    return exported


def _one(model: TreeModel | DenseModel, link: OrdinalLink) -> "onnx.ModelProto":
    """Return a graph of one model with its link, whose outputs are not declared yet."""
    exported = _dense(model) if isinstance(model, DenseModel) else _trees(model)
    _extend(exported.graph, _probit(link) if link.kind == "probit" else _softmax(link))
    return exported


def _pool(model: PoolModel, link: OrdinalLink) -> "onnx.ModelProto":
    """Return a graph of all members side by side, from the same features, and of their weighted sum."""
    from onnx import compose, helper

    rest, graphs, names = 1 - sum(link.base), [], []
    for number, member in enumerate(model.members):
        own = OrdinalLink("probit" if member.cuts else "softmax", member.cuts, member.sigma)
        graph = _one(member.model, own).graph
        graphs.append(compose.add_prefix_graph(graph, f"{number}_", rename_inputs=False))
        names.append(f"{number}_probabilities")
    features = helper.make_tensor_value_info("features", FLOAT, [None, _width(model)])
    together = helper.make_graph([node for graph in graphs for node in graph.node], "pool", [features], [])
    together.initializer.extend(value for graph in graphs for value in graph.initializer)
    weighted = [f"weighted_{name}" for name in names]
    nodes: list[Node] = [
        ("Mul", [name, f"weight_{name}"], to, {}) for name, to in zip(names, weighted, strict=True)
    ]
    constants = {
        f"weight_{name}": np.array(rest * member.weight, dtype=np.float32)
        for name, member in zip(names, model.members, strict=True)
    }
    base = link.base or (0.0,)
    nodes.append(("Sum", [*weighted, "base"], "probabilities", {}))
    _extend(together, (nodes, constants | {"base": np.array(base, dtype=np.float32)}))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", TREES_OPSET)]
    return helper.make_model(together, opset_imports=opsets, ir_version=IR_VERSION)


def _width(model: PoolModel) -> int:
    first = model.members[0].model
    return len(first.fills) if isinstance(first, DenseModel) else first.booster.num_features()


def parity(
    model: Model,
    link: OrdinalLink,
    session: "onnxruntime.InferenceSession",
    X: np.ndarray,
    tempering: Tempering | None = None,
) -> float:
    """Return the largest difference of a probability between ONNX and the model with its link.

    Feature rows X (n, F), float32, are asked in one batch, and the first ones row by row, since runtimes
    treat the two apart.
    """
    expected = link.probabilities(model.latent(X))
    expected = tempering.apply(expected, X[:, tempering.column]) if tempering else expected
    batch = session.run(["probabilities"], {"features": X})[0]
    singles = [X[i : i + 1] for i in range(min(len(X), SINGLE_ROWS))]
    ones = np.vstack([session.run(["probabilities"], {"features": row})[0] for row in singles])
    return float(np.max([np.abs(batch - expected).max(), np.abs(ones - expected[: len(ones)]).max()]))


def _extend(graph: "onnx.GraphProto", part: Part) -> None:
    from onnx import helper, numpy_helper

    nodes, constants = part
    graph.node.extend(helper.make_node(kind, inputs, [to], **more) for kind, inputs, to, more in nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())


def _trees(model: TreeModel) -> "onnx.ModelProto":
    """Return a graph of a booster's plain sums."""
    from onnx import helper
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = model.booster
    inputs = [("features", FloatTensorType([None, booster.num_features()]))]
    converted = convert_xgboost(booster, initial_types=inputs)
    (trees,) = converted.graph.node
    for attribute in trees.attribute:
        if attribute.name == "post_transform":
            attribute.s = b"NONE"
    trees.output[-1] = RAW
    converted.opset_import.append(helper.make_opsetid("", OPSET))
    return converted


def _dense(model: DenseModel) -> "onnx.ModelProto":
    """Return a graph of a dense model's margins (n, K)."""
    from onnx import helper

    features = helper.make_tensor_value_info("features", FLOAT, [None, len(model.fills)])
    graph = helper.make_graph([], "dense", [features], [])
    _extend(graph, _standardised(model))
    _extend(graph, _layers(model))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _standardised(model: DenseModel) -> Part:
    """Return what makes "rows" of "features"."""
    constants = {
        "fills": np.array(model.fills, dtype=np.float32),
        "means": np.array(model.means, dtype=np.float32),
        "per_scale": (1 / np.array(model.scales)).astype(np.float32),
    }
    nodes: list[Node] = [
        ("IsNaN", ["features"], "missing", {}),
        ("Where", ["missing", "fills", "features"], "filled", {}),
    ]
    if model.marked:
        constants["marked"] = np.array(model.marked, dtype=np.int64)
        nodes += [
            ("Gather", ["missing", "marked"], "marks", {"axis": 1}),
            ("Cast", ["marks"], "marks_as_numbers", {"to": FLOAT}),
            ("Concat", ["filled", "marks_as_numbers"], "columns", {"axis": 1}),
        ]
    nodes += [
        ("Sub", ["columns" if model.marked else "filled", "means"], "around_zero", {}),
        ("Mul", ["around_zero", "per_scale"], "rows", {}),
    ]
    if model.day is not None:
        constants["column_of_the_day"] = np.array([model.day], dtype=np.int64)
        nodes += [
            ("Gather", ["rows", "column_of_the_day"], "the_day", {"axis": 1}),
            ("Mul", ["rows", "the_day"], "rows_by_day", {}),
            ("Mul", ["rows_by_day", "the_day"], "rows_by_square", {}),
            ("Concat", ["rows", "rows_by_day", "rows_by_square"], "rows_with_days", {"axis": 1}),
        ]
    return nodes, constants


def _layers(model: DenseModel) -> Part:
    """Return what makes the margins of "rows"."""
    nodes: list[Node] = []
    constants: dict[str, np.ndarray] = {}
    rows = "rows" if model.day is None else "rows_with_days"
    for number, (weights, biases) in enumerate(model.arrays, 1):
        last = number == len(model.arrays)
        sums = RAW if last else f"sums_{number}"
        constants |= {f"weights_{number}": weights.astype(np.float32)}
        constants |= {f"biases_{number}": biases.astype(np.float32)}
        nodes.append(("Gemm", [rows, f"weights_{number}", f"biases_{number}"], sums, {}))
        if not last:
            rows = f"active_{number}"
            nodes.append(("Relu", [sums], rows, {}))
    return nodes, constants


def _probit(link: OrdinalLink) -> Part:
    """S_k = (1 + erf((f - t_k) / (sigma sqrt 2))) / 2, then the differences of 0, S_0 … S_(K-2), 1."""
    cuts = np.asarray(link.cuts)
    steps = np.eye(len(cuts), len(cuts) + 1) - np.eye(len(cuts), len(cuts) + 1, k=1)
    last = np.eye(1, len(cuts) + 1, k=len(cuts)) + steps.sum(axis=0) / 2
    constants = {
        "cuts": cuts.astype(np.float32),
        "scale": np.array(1.0 / (link.sigma * np.sqrt(2.0)), dtype=np.float32),
        "steps": (steps / 2 * (1 - sum(link.base))).astype(np.float32),
        "last": raised(last, np.array(link.base))[0].astype(np.float32),
        "flat": np.array([-1], dtype=np.int64),
    }
    nodes: list[Node] = [
        ("Reshape", [RAW, "flat"], "latent", {}),
        ("Sub", [RAW, "cuts"], "away", {}),
        ("Mul", ["away", "scale"], "scaled", {}),
        ("Erf", ["scaled"], "reach", {}),
        ("Gemm", ["reach", "steps", "last"], "shares", {}),
        ("Relu", ["shares"], "probabilities", {}),  # rounding may leave -1e-8
    ]
    return nodes, constants


def _softmax(link: OrdinalLink) -> Part:
    nodes: list[Node] = [
        ("Mul", [RAW, "scale"], "scaled", {}),
        ("Softmax", ["scaled"], "shares" if link.base else "probabilities", {"axis": 1}),
    ]
    constants = {"scale": np.array(1.0 / link.sigma, dtype=np.float32)}
    if link.base:
        nodes += [("Mul", ["shares", "rest"], "kept", {}), ("Add", ["kept", "base"], "probabilities", {})]
        constants["base"] = np.array(link.base, dtype=np.float32)
        constants["rest"] = np.array(1 - sum(link.base), dtype=np.float32)
    return nodes, constants


def _tempered(tempering: Tempering) -> Part:
    """Raise to the sharpness of the day, on the straight line between days, and make them add up to 1."""
    days = np.array([*tempering.days, tempering.days[-1] + 1], dtype=np.float32)
    sharpness = np.array([*tempering.sharpness, tempering.sharpness[-1]])
    steps = np.diff(days)
    constants: dict[str, np.ndarray] = {
        "column_of_day": np.array([tempering.column], dtype=np.int64),
        "days": days[:-1],
        "no_days": np.zeros(1, dtype=np.float32),
        "steps_of_days": steps,
        "slopes": (np.diff(sharpness) / steps).astype(np.float32)[:, None],
        "first_sharpness": sharpness[:1].astype(np.float32),
        "smallest": np.array(SMALLEST, dtype=np.float32),
    }
    nodes: list[Node] = [
        ("Gather", ["features", "column_of_day"], "day", {"axis": 1}),
        ("Sub", ["day", "days"], "since_days", {}),
        ("Max", ["since_days", "no_days"], "since_any", {}),
        ("Min", ["since_any", "steps_of_days"], "days_of_steps", {}),
        ("MatMul", ["days_of_steps", "slopes"], "change", {}),
        ("Add", ["change", "first_sharpness"], "sharpness", {}),
        ("Max", [UNTEMPERED, "smallest"], "above_nothing", {}),
        ("Log", ["above_nothing"], "logs", {}),
        ("Mul", ["logs", "sharpness"], "tempered_logs", {}),
        ("Softmax", ["tempered_logs"], "probabilities", {"axis": 1}),
    ]
    return nodes, constants
