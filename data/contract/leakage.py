"""How much of the class one column gives away alone: what a leak looks like in the data.

Each column is asked by itself: a small decision tree sees it and nothing else, and answers for rows that
it was not fitted to. A column known in time leaves doubt; one written down with the outcome leaves none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.contract.columns import FLOAT32_MAX

FOLDS, ROWS, SEED = 3, 20_000, 7
LEAVES = 64  # fine enough for every code of a column, too coarse to learn single rows
LEAST_SHARE = 0.002  # of the rows, in a leaf
MOST_EXPLAINED = 0.75
"""Share of the doubt about the class, or of the largest class's errors, that is a rule when it is gone.

On the shipped data sets the strongest legitimate feature takes 0.33 to 0.49 (absences, of the A–F sets), an
earlier mark of the same course up to 0.75, and a column that the class is cut from 0.98 to 1, or 0.85 where
7 % of the labels are wrong.
"""
MOST_EXPLAINED_OF_ONE = 0.85
"""The same for one class against all others; absences take 0.51 to 0.69 of that about an F."""
PRIOR = 0.02  # part of the class shares in each answer: a leaf of one class is not certain
FEW_VALUES = 8  # up to so many a column is one of codes, and no rule of bounds is read off it


@dataclass(frozen=True)
class LeakageScore:
    """What one column tells of the class, alone, on rows held out: all of it shares from 0 to 1.

    explained: the part of the log loss of the class shares that is gone. accuracy and majority: rows whose
    class is the likeliest one given the column, and given nothing. clearest: the class that it tells best
    from all others, and the part of that doubt that is gone. rule: how it tells, in words.
    """

    column: str
    explained: float
    accuracy: float
    majority: float
    rows: int
    clearest: str = ""
    clearest_explained: float = 0.0
    rule: str = ""
    day: int | None = None
    """Of dated records, the day on which it was looked at."""

    @property
    def fewer_errors(self) -> float:
        """Return the share of the largest class's errors that the column mends."""
        return (self.accuracy - self.majority) / (1 - self.majority) if self.majority < 1 else 0.0

    @property
    def gives_away(self) -> bool:
        """Whether the class, or that it is a certain one, is as good as written in the column."""
        of_all = max(self.explained, self.fewer_errors)
        return of_all >= MOST_EXPLAINED or self.clearest_explained >= MOST_EXPLAINED_OF_ONE

    @property
    def evidence(self) -> str:
        """Return the finding as a sentence without its column."""
        rule = f": {self.rule}" if self.rule else ""
        day = "" if self.day is None else f"on day {self.day} "
        return (
            f"{day}alone it tells the class of {self.accuracy:.1%} of {self.rows:,} rows held out (the "
            f"largest class is {self.majority:.1%}) and takes {max(0.0, self.explained):.0%} of the doubt, "
            f"{max(0.0, self.clearest_explained):.0%} of that about {self.clearest or 'any class'}{rule}"
        )


def leakage_score(
    column: str, values: np.ndarray, y: np.ndarray, labels: Sequence[str], leaves: int = LEAVES
) -> LeakageScore:
    """Measure one column: `values` (n, d) floats, NaN where missing, `y` (n,) class positions, -1 for none.

    `leaves` are the most of the tree that looks at it. Of more than 20,000 rows it takes a sample, the same
    one every time.
    """
    values = np.where(np.abs(values) <= FLOAT32_MAX, values, np.nan)  # as a tree reads them
    values, y = _sample(values[y >= 0], y[y >= 0])
    kept = np.bincount(y, minlength=len(labels))[y] >= FOLDS  # one or two rows cannot be held out
    values, y = values[kept], y[kept]
    if len(np.unique(y)) < 2:
        return LeakageScore(column, 0.0, 1.0, 1.0, len(y))
    told, known = _held_out(values, y, len(labels), leaves)
    classes = np.unique(y)
    of_one = [_explained(*(_own(table[:, k], y == k) for table in (told, known))) for k in classes]
    rows = np.arange(len(y))
    return LeakageScore(
        column,
        explained=_explained(told[rows, y], known[rows, y]),
        accuracy=float((told.argmax(axis=1) == y).mean()),
        majority=float(np.bincount(y).max() / len(y)),
        rows=len(y),
        clearest=labels[classes[int(np.argmax(of_one))]],
        clearest_explained=max(of_one),
        rule=_rule(values, y, labels),
    )


def _held_out(values: np.ndarray, y: np.ndarray, classes: int, leaves: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what a tree says of each row that it was not fitted to, and the class shares, both (n, K)."""
    from sklearn.model_selection import StratifiedKFold  # seconds to import

    told, known = np.zeros((2, len(y), classes))
    for rows, held in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(values, y):
        tree = _tree(leaves, len(y)).fit(values[rows], y[rows])
        known[held] = np.bincount(y[rows], minlength=classes) / len(rows)
        told[np.ix_(held, tree.classes_)] = tree.predict_proba(values[held])
    return (1 - PRIOR) * told + PRIOR * known, known


def _tree(leaves: int, rows: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    least = max(2, round(LEAST_SHARE * rows))
    return DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=least, random_state=SEED)


def _own(share: np.ndarray, is_class: np.ndarray) -> np.ndarray:
    """Return the share of what is true, of a class against all others."""
    return np.where(is_class, share, 1 - share)


def _explained(told: np.ndarray, known: np.ndarray) -> float:
    """Return the part of the log loss that is gone, given the share of the true class in each row."""
    return float(1 - np.log(told).mean() / np.log(known).mean())


def _sample(values: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(y) <= ROWS:
        return values, y
    chosen = np.random.default_rng(SEED).choice(len(y), ROWS, replace=False)
    return values[chosen], y[chosen]


def _rule(values: np.ndarray, y: np.ndarray, labels: Sequence[str]) -> str:
    """Say which class a number falls into from where on, and what it is where the number is missing."""
    points = np.unique(values[~np.isnan(values)])
    if values.shape[1] != 1 or len(points) <= FEW_VALUES:
        return ""
    tree = _tree(2 * len(labels), len(y))
    told = tree.fit(values, y).predict(points[:, None])
    starts = np.flatnonzero(np.r_[True, told[1:] != told[:-1]])
    steps = [f"{labels[told[at]]} from {points[at]:.4g}" for at in starts]
    if np.isnan(values).any():
        steps.append(f"{labels[int(tree.predict([[np.nan]])[0])]} where it is missing")
    return ", ".join(steps)
