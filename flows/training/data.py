"""What is learned from: features, classes and scores of rows, and the folds they are in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from sklearn.model_selection import StratifiedKFold

from data.errors import BadInput

LatentKind = Literal["score", "ordinal", "softmax", "pool"]
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
    students: np.ndarray | None = None
    """Whose each row is (n,), where a student has several; None where each row is a student."""
    as_of: np.ndarray | None = None
    """The day that each row is of (n,), of dated records."""
    cohorts: np.ndarray | None = None
    """Which cohort each row is of (n,), text, "" where that is not known; None where no contract says so."""
    head: Literal["ordinal", "softmax"] | None = None
    """An ordinal latent although there is a score, or a margin a class; None for what suits the classes."""

    @property
    def kind(self) -> LatentKind:
        """How the latent is learned: on the score, by the ordinal objective, or one margin a class.

        Two classes are in order, whether or not it means anything.
        """
        if self.head == "softmax" or (self.head and self.ordered):
            return self.head
        if self.ordered and self.score is not None and self.bounds is not None:
            return "score"
        return "ordinal" if self.ordered or self.classes == PAIR else "softmax"

    @property
    def classes(self) -> int:
        """The number of classes, whether or not each has a row."""
        return len(self.labels)

    @property
    def shares(self) -> np.ndarray:
        """The share of each class (K,) among the rows."""
        return np.asarray(np.bincount(self.y, minlength=self.classes) / len(self.y))

    @property
    def students_in_all(self) -> int:
        """How many students the rows are of."""
        return len(self.y if self.students is None else np.unique(self.students))

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
        own = {name: getattr(self, name) for name in ("score", "students", "as_of", "cohorts")}
        some: dict[str, Any] = {
            name: None if values is None else values[index] for name, values in own.items()
        }
        return replace(self, X=self.X[index], y=self.y[index], **some)


ROWS_A_FOLD = 2  # of each class: a fold's curve cannot be read with fewer
TUNING_ROWS = 50_000

Folds = list[tuple[np.ndarray, np.ndarray]]


def stratified_folds(data: TrainingData, folds: int, seed: int) -> Folds:
    """Return (training rows, held-out rows) of each fold; rows of one student stay together.

    Raises BadInput where a class has too few rows for that, or all rows are of one class.
    """
    _check_rows(data, folds)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    if data.students is None:
        return list(splitter.split(np.zeros(len(data.y)), data.y))
    first, whose = _students(data.students)
    held = np.empty(len(first), dtype=np.int64)
    for number, (_, some) in enumerate(splitter.split(np.zeros(len(first)), data.y[first])):
        held[some] = number
    return [(np.flatnonzero(held[whose] != n), np.flatnonzero(held[whose] == n)) for n in range(folds)]


def _students(students: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each student (m,), and which of them each row is of (n,)."""
    _, first, whose = np.unique(students, return_index=True, return_inverse=True)
    return first, whose


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
    y = data.y if data.students is None else data.y[_students(data.students)[0]]
    counts = np.bincount(y, minlength=data.classes)
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
    if data.students is not None:
        return _rows_of_some(data, limit, seed)
    rng = np.random.default_rng(seed)
    chosen = []
    for label in range(data.classes):
        of_class = np.flatnonzero(data.y == label)
        share = round(limit * len(of_class) / len(data.y))
        size = min(len(of_class), max(share, ROWS_A_FOLD * folds))
        chosen.append(rng.choice(of_class, size, replace=False))
    return np.sort(np.concatenate(chosen))


def _rows_of_some(data: TrainingData, limit: int, seed: int) -> np.ndarray:
    """Return all rows of as many students as have about so many rows together, each class with its share."""
    first, whose = _students(data.students if data.students is not None else np.arange(len(data.y)))
    share = limit / len(data.y)
    order = np.random.default_rng(seed).permutation(len(first))
    ranked = order[np.argsort(data.y[first][order], kind="stable")]  # by class, at random within each
    taken = ranked[(np.arange(len(ranked)) * share % 1) < share]
    return np.flatnonzero(np.isin(whose, taken))


def with_head(data: TrainingData, params: Mapping[str, Any]) -> TrainingData:
    """Return the data as a candidate's head learns from them."""
    head = params.get("head", "own")
    return data if head == "own" else replace(data, head=head)
