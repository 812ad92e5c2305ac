"""The rows to learn from, and whether a column of theirs gives the class away."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.contract.columns import OF_COHORT
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.contract.leakage import ROWS, SEED, LeakageScore
from data.errors import Stopped
from data.rows.frames import matrix, students_of, target_index
from data.rows.leakage import each_alone, leakage_by_day
from data.rows.records import feature_space
from flows.processing.processed import Processed
from flows.training.data import TUNING_ROWS, TrainingData


def training_data(frame: pd.DataFrame, contract: Contract) -> TrainingData:
    """Return a clean, labelled frame as arrays.

    The score is there only if the contract lets it be trained on and no row lacks it.
    """
    space, target, score = feature_space(contract), contract.target, contract.score
    if score is not None and not (target.train_on_score and frame[score.name].notna().all()):
        score = None
    thumb = contract.rule_of_thumb
    return TrainingData(
        X=matrix(frame, contract),
        y=target_index(frame, contract),
        score=None if score is None else target.sign * frame[score.name].to_numpy(),
        names=space.names,
        monotone=space.monotone,
        groups=space.groups,
        labels=target.labels,
        ordered=target.ordered,
        bounds=target.bounds,
        rule_of_thumb=space.columns.index(thumb) if thumb else None,
        students=students_of(frame),
        as_of=frame[AS_OF].to_numpy(np.int64) if contract.dated else None,
        cohorts=frame[OF_COHORT].to_numpy(dtype=str) if OF_COHORT in frame else None,
    )


def leakage_scores(frame: pd.DataFrame, contract: Contract) -> list[LeakageScore]:
    """Measure what each feature tells of the class alone, the most telling first; of clean, labelled rows."""
    if contract.dated:
        return leakage_by_day(frame, contract)
    return each_alone(frame if len(frame) <= ROWS else frame.sample(ROWS, random_state=SEED), contract)


def check_leakage(frame: pd.DataFrame, contract: Contract) -> tuple[str, ...]:
    """Return a note for each feature that gives the class away and may, as the contract says.

    Raises Stopped, with every name and its evidence, for those that it says nothing of.
    """
    strong = [score for score in leakage_scores(frame, contract) if score.gives_away]
    undeclared = [score for score in strong if not contract.columns[score.column].strong]
    if undeclared:
        found = "; ".join(f"{score.column}: {score.evidence}" for score in undeclared)
        raise Stopped(
            f"The class is given away. {found}. If that is known only with the outcome, give it the role "
            "leak in the contract; if it is known in time, say why there: `strong: …`. Nothing was trained."
        )
    return tuple(_note(score, contract) for score in strong)


def _note(score: LeakageScore, contract: Contract) -> str:
    why = contract.columns[score.column].strong
    return f"{score.column} gives the class away, as the contract declares ({why}): {score.evidence}."


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
    more: dict[str, list[np.ndarray]] = {"students": [], "as_of": [], "cohorts": []}
    scored, at = True, 0
    for block in processed.blocks(contract, "train"):
        part = training_data(block, contract)
        here = slice(at, at + len(part.y))
        X[here], y[here] = part.X, part.y
        scored = scored and part.score is not None
        if part.score is not None:
            score[here] = part.score
        for name, found in more.items():
            found += [] if getattr(part, name) is None else [getattr(part, name)]
        at = here.stop
    dated: dict[str, Any] = {name: np.concatenate(found) for name, found in more.items() if found}
    return replace(part, X=X, y=y, score=score if scored else None, **dated)


def _on_disk(path: Path, rows: int, columns: int) -> np.ndarray:
    array = np.memmap(path, np.float32, "w+", shape=(rows, columns))
    path.unlink()
    return np.asarray(array)
