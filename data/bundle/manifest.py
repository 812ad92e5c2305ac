"""The bundle's format: its files, and the manifest that holds the SHA-256 of each."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

MANIFEST = "manifest.json"
CONTRACT, MODEL, CARD = "contract.yaml", "model.onnx", "card.md"
BOOSTER, DENSE, POOL = "booster.ubj", "dense.json", "pool.json"
REFERENCE, EXAMPLES, FIGURES = "reference.csv", "examples.json", "card.json"
POPULATION = "population.json"
FILES = (CONTRACT, MODEL, BOOSTER, CARD, REFERENCE, EXAMPLES, FIGURES, POPULATION)
NEEDED = frozenset(FILES) - {FIGURES, REFERENCE, POPULATION}
"""Files without which nothing is forecast: older bundles have no figures beside their card and do not say how
totals are distributed, and one that is served has no sample of students, which is for the drift gate."""
GENERATED = "cohort://"

FamilyName = Literal["xgboost", "catboost", "logistic", "linear", "neural", "pool"]
MODEL_FILES: dict[FamilyName, str] = {
    "xgboost": BOOSTER,
    "catboost": BOOSTER,  # its trees are rewritten as XGBoost's: serving needs one library
    "logistic": DENSE,
    "linear": DENSE,
    "neural": DENSE,
    "pool": POOL,
}
"""The file of each family's model, beside its ONNX graph."""


def files_of(family: FamilyName, files: Iterable[str] = FILES) -> tuple[str, ...]:
    """Return the files of a bundle of this family."""
    return tuple(MODEL_FILES[family] if name == BOOSTER else name for name in files)


class BundleError(RuntimeError):
    """A bundle that must not be used: says which file is wrong and how."""


class Manifest(BaseModel):
    """What a bundle says of itself; `files` holds the SHA-256 of every other file in the folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    family: FamilyName = "xgboost"
    """Of the model; older bundles do not say."""
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

    @property
    def generated(self) -> bool:
        """Whether the students that it learned from are nobody: they were generated."""
        return str(self.training.get("source", "")).startswith(GENERATED)


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest and check every digest; raises BundleError naming the file.

    The sample of students, REFERENCE, may be missing, as where a bundle is served.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"{folder / MANIFEST}: no readable manifest: {error}") from error
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    needed = set(files_of(manifest.family, NEEDED))
    sealed = set(manifest.files) - ({REFERENCE} - present)
    if present != sealed or not present >= needed:
        odd = ", ".join(sorted(present ^ (sealed | needed)))
        raise BundleError(f"{folder}: files missing, or not in the manifest: {odd or 'see the manifest'}")
    for name in sorted(present):
        verified(folder / name, manifest)
    return manifest


def verified(path: Path, manifest: Manifest) -> bytes:
    """Read a file of a bundle; raises BundleError where its bytes are not those of the manifest."""
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != manifest.files[path.name]:
        raise BundleError(f"{path}: the bytes are not those that were registered")
    return content
