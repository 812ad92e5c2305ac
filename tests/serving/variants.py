"""Bundles that answer otherwise, and a registry that holds them."""

import json
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from mlflow import MlflowClient

from data.bundle.bundle import Bundle
from data.bundle.manifest import BOOSTER, EXAMPLES, MANIFEST, MODEL
from data.durable import digest
from tests.contract.tampering import seal
from tests.serving.running import PYTHON

NAME = "grade-class"


def write_variant(bundle: Path, folder: Path, shift: float) -> Path:
    """Write a sound bundle whose cut points lie elsewhere, by grade points, and return its folder."""
    shutil.copytree(bundle, folder)
    model = onnx.load(folder / MODEL)
    (cuts,) = (constant for constant in model.graph.initializer if constant.name == "cuts")
    moved = onnx.numpy_helper.to_array(cuts) + np.float32(shift)
    cuts.CopyFrom(onnx.numpy_helper.from_array(moved, "cuts"))
    onnx.save(model, folder / MODEL)
    seal(folder, MODEL)
    changed = Bundle.load(folder)
    examples = json.loads((folder / EXAMPLES).read_bytes())
    records = [changed.record.validate_python(example["record"]) for example in examples]
    for example, shares in zip(examples, changed.probabilities(changed.matrix(records)), strict=True):
        example["probabilities"] = shares.tolist()
    (folder / EXAMPLES).write_text(json.dumps(examples), encoding="utf-8")
    seal(folder, EXAMPLES)
    return folder


def write_crashing(bundle: Path, folder: Path) -> Path:
    """Write a bundle with all its digests right, whose booster ends the process that predicts with it."""
    shutil.copytree(bundle, folder)
    edit = """
import json, sys, xgboost
booster = xgboost.Booster(model_file=sys.argv[1])
model = json.loads(booster.save_raw("json"))
model["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"][0] = 2**30
xgboost.Booster(model_file=bytearray(json.dumps(model), "utf-8")).save_model(sys.argv[1])
"""
    subprocess.run([PYTHON, "-c", edit, str(folder / BOOSTER)], check=True)
    seal(folder, BOOSTER)
    return folder


def flip(path: Path, place: int) -> None:
    """Flip the lowest bit of one byte of a file."""
    spoilt = bytearray(path.read_bytes())
    spoilt[place] ^= 1
    path.write_bytes(spoilt)


@dataclass(frozen=True)
class Shelf:
    """A registry of a test's own, with the session's model as its version 1 and champion."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "mlflow.db"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.file}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri, self.uri)

    def add(self, bundle: Path, sealed: str | None = None) -> str:
        """Register a bundle, as `register` does, and return its version; its bytes are copied."""
        artifacts = Path(tempfile.mkdtemp(dir=self.folder))
        shutil.copytree(bundle, artifacts / "artifacts" / "bundle")
        tags = {"manifest_sha256": sealed or digest(bundle / MANIFEST)}
        return str(self.client.create_model_version(NAME, artifacts.as_uri(), tags=tags).version)

    def stored(self, version: str) -> Path:
        """Return the folder in which a version's bundle lies."""
        place = self.client.get_model_version_download_uri(NAME, version)
        return Path(place.removeprefix("file://")) / "artifacts" / "bundle"

    def seat(self, version: str) -> None:
        """Make a version the champion."""
        self.client.set_registered_model_alias(NAME, "champion", version)


def copy_registry(file: Path, folder: Path) -> Shelf:
    """Copy a registry's database into a folder; what it points at stays where it is."""
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(folder / "mlflow.db")) as target:
        source.backup(target)
    return Shelf(folder)
