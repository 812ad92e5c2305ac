"""Verify a bundle before it counts: in a clean process that has serving's dependencies alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from data.bundle import TOLERANCE, open_session
from data.manifest import MODEL, BundleError
from data.model_files import read_model
from flows.support.fingerprint import ROOT
from flows.training.heads import Head
from flows.training.onnx_export import parity

BARRED = (
    "prefect",
    "evidently",
    "mlflow",
    "sklearn",
    "pandas",
    "pandera",
    "catboost",
    "matplotlib",
    "pyarrow",
    "flows",
)
PICKLES = (".pkl", ".pickle", ".joblib", ".cloudpickle")
TIME_LIMIT = 120  # seconds
PARITY_ROWS = 5_000
PROGRAM = """
import importlib.abc, json, sys
barred, root, folder = json.loads(sys.argv[1])
class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in barred:
            raise ModuleNotFoundError(f"serving has no {name}", name=name)
sys.meta_path.insert(0, Wall())
sys.path.insert(0, root)
from data.bundle import Bundle
Bundle.load(folder).check()
"""


def verify_bundle(folder: Path) -> None:
    """Load a bundle in a clean process and let it answer its own examples; raises BundleError.

    The process can import nothing that serving does not have, and holds no fork of ours.
    """
    refuse_pickles(folder)
    arguments = json.dumps([BARRED, str(ROOT), str(folder)])
    command = [sys.executable, "-I", "-c", PROGRAM, arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{folder}: no answer within {TIME_LIMIT} s in a clean process") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or f"ended by signal {-done.returncode}").splitlines()[-1]
        raise BundleError(f"{folder}: refused in a clean process: {last}")


def check_parity(folder: Path, head: Head, features: np.ndarray, nullable: list[tuple[int, ...]]) -> None:
    """Raise BundleError unless ONNX graph and model agree to 1e-5 on a feature matrix (rows, columns).

    Asked again with each nullable feature's columns missing: a NaN let through unawares would be
    answered with certainty.
    """
    session, model = open_session(folder / MODEL), read_model(folder)
    for columns in ((), *nullable):
        asked = features[:PARITY_ROWS].copy()
        asked[:, list(columns)] = np.nan
        gap = parity(model, head, session, asked)
        if not gap <= TOLERANCE:
            raise BundleError(f"{folder}: ONNX graph and model differ by {gap:.2g}, more than {TOLERANCE}")


def refuse_pickles(folder: Path) -> None:
    """Raise BundleError if any file is a pickle, by name or by its first bytes."""
    for path in folder.rglob("*"):
        if path.is_file() and (path.suffix in PICKLES or _starts_like_pickle(path)):
            raise BundleError(f"{path}: a pickle may not be in a bundle")


def _starts_like_pickle(path: Path) -> bool:
    """Pickles of protocol 2 to 5 begin with 0x80 and the protocol's number."""
    with path.open("rb") as file:
        start = file.read(2)
    return len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5
