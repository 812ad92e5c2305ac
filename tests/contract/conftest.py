"""The tiny contract, and the session's bundle: open, or a copy to change."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data.bundle import Bundle
from data.contract import Contract
from data.manifest import EXAMPLES
from tests.contract.tiny import contract_of


@pytest.fixture(scope="session")
def tiny() -> Contract:
    """A contract with a column of every kind and role."""
    return contract_of()


@pytest.fixture
def folder(bundle_folder: Path, tmp_path: Path) -> Path:
    """A copy of the bundle to change."""
    return Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    """The bundle, open."""
    return Bundle.load(bundle_folder)


@pytest.fixture(scope="session")
def rows(bundle: Bundle) -> np.ndarray:
    """The feature matrix of its examples."""
    examples = json.loads((bundle.folder / EXAMPLES).read_bytes())
    return bundle.matrix([bundle.record.validate_python(example["record"]) for example in examples])
