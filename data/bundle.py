"""The bundle: one folder that holds all it takes to forecast, each file under its SHA-256.

The one implementation of its format for the registry's pyfunc, batch scoring and serving alike.
Imports no pandas, scikit-learn or MLflow.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import onnxruntime
from pydantic import BaseModel, ConfigDict, ValidationError

from data.contract import Contract, load_contract
from data.errors import BadInput
from data.features import FeatureSpace, feature_space
from data.records import Record, matrix_maker, record_adapter

MANIFEST = "manifest.json"
CONTRACT, MODEL, BOOSTER, CARD = "contract.yaml", "model.onnx", "booster.ubj", "card.md"
REFERENCE, EXAMPLES = "reference.csv", "examples.json"
FILES = (CONTRACT, MODEL, BOOSTER, CARD, REFERENCE, EXAMPLES)
TOLERANCE = 1e-5


class BundleError(RuntimeError):
    """A bundle that must not be used: says which file is wrong and how."""


class Manifest(BaseModel):
    """What a bundle says of itself; `files` holds the SHA-256 of every other file in the folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    contract: str
    fingerprint: str
    created: str
    git_commit: str
    labels: tuple[str, ...]
    head: dict[str, Any]
    set_thresholds: tuple[float, ...]
    unit: str
    metrics: dict[str, float | None]
    training: dict[str, Any]
    files: dict[str, str]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest and check every digest; raises BundleError naming the file."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"{folder / MANIFEST}: no readable manifest: {error}") from error
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    if present != set(manifest.files) or not present >= set(FILES):
        odd = ", ".join(sorted(present ^ (set(manifest.files) | set(FILES))))
        raise BundleError(f"{folder}: files missing, or not in the manifest: {odd or 'see the manifest'}")
    for name, expected in manifest.files.items():
        if not (folder / name).is_file() or digest(folder / name) != expected:
            raise BundleError(f"{folder / name}: the bytes are not those that were registered")
    return manifest


def _agreed_contract(folder: Path, manifest: Manifest) -> Contract:
    """Load a bundle's contract; raises BundleError where the manifest speaks of another one."""
    try:
        contract = load_contract(folder / CONTRACT)
    except BadInput as error:
        raise BundleError(str(error)) from error
    target = contract.target
    said = (manifest.contract, manifest.labels, manifest.unit, len(manifest.set_thresholds))
    if said != (contract.name, target.labels, target.unit, len(target.labels)):
        raise BundleError(f"{folder / MANIFEST}: it does not agree with {CONTRACT}")
    return contract


def open_session(model: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX model on one thread: input "features", output "probabilities"."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


class Bundle:
    """A verified bundle, open for forecasts."""

    def __init__(self, folder: Path, manifest: Manifest, contract: Contract) -> None:
        self.folder, self.manifest, self.contract = folder, manifest, contract
        self.record = record_adapter(contract)
        self.matrix = matrix_maker(contract)
        self.space: FeatureSpace = feature_space(contract)
        self._session = open_session(folder / MODEL)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open a bundle after checking every digest; raises BundleError."""
        path = Path(folder)
        manifest = read_manifest(path)
        return cls(path, manifest, _agreed_contract(path, manifest))

    def probabilities(self, matrix: np.ndarray) -> np.ndarray:
        """Return class probabilities (rows, classes), float32, of a feature matrix."""
        return self._session.run(["probabilities"], {"features": matrix})[0]

    def explain(self, matrix: np.ndarray) -> np.ndarray:
        """Return each contract feature's effect on the latent score (rows, features), in `unit`.

        TreeSHAP of the booster; a nominal's float columns are added up. For an unordered target
        the effects are those on the margin of the first class.
        """
        import xgboost

        effects = self._booster.predict(xgboost.DMatrix(matrix, nthread=1), pred_contribs=True)
        effects = effects[:, 0, :] if effects.ndim == 3 else effects
        return np.stack([effects[:, list(group)].sum(axis=1) for group in self.space.groups], axis=1)

    @cached_property
    def _booster(self) -> Any:
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(self.folder / BOOSTER)
        return booster

    def grade_sets(self, probabilities: np.ndarray) -> list[list[str]]:
        """Return the labels whose conformal sets hold each row: always with the likeliest class."""
        inside = probabilities >= np.asarray(self.manifest.set_thresholds)
        inside[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
        labels = self.manifest.labels
        return [[label for label, kept in zip(labels, row, strict=True) if kept] for row in inside]

    def answers(self, probabilities: np.ndarray) -> list[dict[str, Any]]:
        """Return each row's forecast under the fixed JSON names."""
        labels, best = self.manifest.labels, probabilities.argmax(axis=1)
        risky = [labels.index(label) for label in self.contract.target.at_risk]
        at_risk = probabilities[:, risky].sum(axis=1)
        return [
            {
                "grade_class": labels[top],
                "grade_class_index": int(top),
                "probabilities": dict(zip(labels, map(float, row), strict=True)),
                "at_risk": min(float(risk), 1.0),
                "grade_set": grades,
            }
            for row, top, risk, grades in zip(
                probabilities, best, at_risk, self.grade_sets(probabilities), strict=True
            )
        ]

    def check(self) -> None:
        """Answer the bundle's own examples, model and booster alike; raises BundleError."""
        rows, expected = self._examples()
        if expected.shape != (len(rows), len(self.manifest.labels)) or not len(rows):
            raise BundleError(f"{self.folder / EXAMPLES}: no example, or not one probability a class")
        gap = float(np.abs(self.probabilities(rows) - expected).max())
        if not gap <= TOLERANCE:
            raise BundleError(
                f"{self.folder}: its examples are answered {gap:.2g} away from what was registered"
            )
        if not np.isfinite(self.explain(rows)).all():
            raise BundleError(f"{self.folder}: the booster gives reasons that are not numbers")

    def _examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples' feature matrix and the probabilities registered for them."""
        try:
            examples: list[dict[str, Any]] = json.loads((self.folder / EXAMPLES).read_bytes())
            records: list[Record] = [self.record.validate_python(example["record"]) for example in examples]
            expected = np.array([example["probabilities"] for example in examples], dtype=float)
        except (ValueError, TypeError, KeyError) as error:
            raise BundleError(f"{self.folder / EXAMPLES}: not records of this contract: {error}") from error
        return self.matrix(records), expected
