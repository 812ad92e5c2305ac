"""What is learned from: features, classes and scores of rows, and the folds they are in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from sklearn.model_selection import StratifiedKFold

from data.errors import BadInput

LatentKind = Literal["score", "ordinal", "softmax"]
PAIR = 2


@dataclass(frozen=True)
class TrainingData:
    """Feature matrix, classes and what the contract says of both.

    X is float32 (n, F) with NaN only where a feature is nullable; y is int64 (n,), 0 = best class;
    score is float64 (n,) in the contract's unit, None where it may not be trained on.
    """

    X: np.ndarray
    y: np.ndarray
    score: np.ndarray | None
    names: tuple[str, ...]
    monotone: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]
    ordered: bool
    bounds: tuple[float, ...] | None
    rule_of_thumb: int | None

    @property
    def kind(self) -> LatentKind:
        """How the latent is learned: on the score, by the ordinal objective, or one margin a class.

        Two classes are in order, whether or not it means anything.
        """
        if self.ordered and self.score is not None and self.bounds is not None:
            return "score"
        return "ordinal" if self.ordered or self.classes == PAIR else "softmax"

    @property
    def classes(self) -> int:
        """The number of classes, whether or not each has a row."""
        return len(self.labels)

    @property
    def target(self) -> np.ndarray:
        """What the booster is fitted to: the score, else the classes."""
        return self.y if self.score is None or self.kind != "score" else self.score

    @property
    def latent_scale(self) -> float:
        """The scale of the latent, where the search for sigma starts."""
        return float(np.std(self.target)) or 1.0 if self.kind == "score" else 1.0

    def rows(self, index: np.ndarray) -> "TrainingData":
        """Return the same data with these rows alone."""
        score = None if self.score is None else self.score[index]
        return replace(self, X=self.X[index], y=self.y[index], score=score)


ROWS_A_FOLD = 2  # of each class: a fold's curve cannot be read with fewer
TUNING_ROWS = 50_000

Folds = list[tuple[np.ndarray, np.ndarray]]


def stratified_folds(data: TrainingData, folds: int, seed: int) -> Folds:
    """Return (training rows, held-out rows) of each fold.

    Raises BadInput where a class has too few rows for that, or all rows are of one class.
    """
    _check_rows(data, folds)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(data.y)), data.y))


def check_anything_to_learn(counts: Sequence[int], labels: Sequence[str], folds: int) -> None:
    """Raise BadInput where there are fewer rows than folds, or rows of one class alone, given each's rows."""
    if sum(counts) < folds:
        raise BadInput(
            f"{sum(counts)} usable rows are fewer than {folds} folds.",
            remedy=f"Give at least {ROWS_A_FOLD * folds} rows of each class.",
        )
    only = [label for label, count in zip(labels, counts, strict=True) if count]
    if len(only) == 1:
        raise BadInput(
            f"Every row is of the class {only[0]}: there is nothing to tell apart.",
            remedy="Give rows of at least two classes.",
        )


def _check_rows(data: TrainingData, folds: int) -> None:
    """Raise BadInput unless every class has at least two rows for each fold."""
    counts = np.bincount(data.y, minlength=data.classes)
    check_anything_to_learn(counts.tolist(), data.labels, folds)
    scarce = [
        f"{label} has {count}"
        for label, count in zip(data.labels, counts, strict=True)
        if count < ROWS_A_FOLD * folds
    ]
    if scarce:
        raise BadInput(
            f"A class needs {ROWS_A_FOLD * folds} rows ({ROWS_A_FOLD} a fold): {', '.join(scarce)}.",
            remedy="Give more rows of it, or merge it with its neighbour in the contract.",
        )


def tuning_rows(data: TrainingData, folds: int, seed: int, limit: int = TUNING_ROWS) -> np.ndarray | None:
    """Return the rows to tune on, or None where all of them are: up to `limit`, else its size.

    Each class keeps its share, and never falls below what the folds need.
    """
    if len(data.y) <= limit:
        return None
    rng = np.random.default_rng(seed)
    chosen = []
    for label in range(data.classes):
        of_class = np.flatnonzero(data.y == label)
        share = round(limit * len(of_class) / len(data.y))
        size = min(len(of_class), max(share, ROWS_A_FOLD * folds))
        chosen.append(rng.choice(of_class, size, replace=False))
    return np.sort(np.concatenate(chosen))
