"""The rows of the train split as arrays; of many rows the feature matrix lies on disk, not in memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from data.contract import Contract
from data.features import feature_space
from data.giveaways import ROWS
from flows.processing.processed import Processed
from flows.training.data import TrainingData
from flows.training.folds import TUNING_ROWS
from flows.training.inputs import training_data


def rows_to_learn(
    processed: Processed, contract: Contract, scratch: Path
) -> tuple[pd.DataFrame, TrainingData]:
    """Return clean rows to look for leaks in, and all of the train split as arrays.

    Up to 50,000 rows they are the same. Beyond that the leaks are looked for in a sample, and the matrix
    is a file in the scratch folder, without a name there as soon as it is open: it ends with this process.
    """
    if processed.train_rows <= TUNING_ROWS:
        rows = processed.split(contract, "train")
        return rows, training_data(rows, contract)
    sample = processed.sample(contract, ROWS, "train", clean=True)
    return sample, _streamed(processed, contract, scratch)


def _streamed(processed: Processed, contract: Contract, scratch: Path) -> TrainingData:
    """Fill the arrays part after part, as they are read from disk."""
    rows, columns = processed.train_rows, len(feature_space(contract).names)
    X, y, score = _on_disk(scratch / "features", rows, columns), np.empty(rows, np.int64), np.empty(rows)
    scored, at = True, 0
    for block in processed.blocks(contract, "train"):
        part = training_data(block, contract)
        here = slice(at, at + len(part.y))
        X[here], y[here] = part.X, part.y
        scored = scored and part.score is not None
        if part.score is not None:
            score[here] = part.score
        at = here.stop
    return replace(part, X=X, y=y, score=score if scored else None)


def _on_disk(path: Path, rows: int, columns: int) -> np.ndarray:
    array = np.memmap(path, np.float32, "w+", shape=(rows, columns))
    path.unlink()
    return np.asarray(array)
