"""The models that a bundle may hold beside its ONNX graph, each in a file of its own."""

from pathlib import Path

from data.manifest import BOOSTER, DENSE
from data.model_dense import DenseModel
from data.model_trees import TreeModel

Model = TreeModel | DenseModel
"""What the graph is checked against, and what gives the reasons."""


def open_model(file: str, content: bytes) -> Model:
    """Open a model from its file's name and content; raises ValueError for numbers that are no model."""
    return DenseModel.model_validate_json(content) if file == DENSE else TreeModel(content)


def read_model(folder: Path) -> Model:
    """Open the model that a folder holds."""
    file = next(path for path in (folder / BOOSTER, folder / DENSE) if path.is_file())
    return open_model(file.name, file.read_bytes())
