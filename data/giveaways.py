"""How much of the class one column gives away alone: what a leak looks like in the data.

Each column is asked by itself: a small decision tree sees it and nothing else, and answers for rows that
it was not fitted to. A column known in time leaves doubt; one written down with the outcome leaves none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FOLDS, ROWS, SEED = 3, 20_000, 7
LEAVES = 64  # fine enough for every code of a column, too coarse to learn single rows
LEAST_SHARE = 0.002  # of the rows, in a leaf
DOUBT_GONE = 0.75
"""Share of the doubt about the class, or of the largest class's errors, that is a rule when it is gone.

On the shipped data sets the strongest legitimate feature takes 0.33 to 0.49 (absences, of the A–F sets), an
earlier mark of the same course up to 0.75, and a column that the class is cut from 0.98 to 1, or 0.85 where
7 % of the labels are wrong.
"""
PRIOR = 0.02  # part of the class shares in each answer: a leaf of one class is not certain
FEW_VALUES = 8  # up to so many a column is one of codes, and no rule of bounds is read off it


@dataclass(frozen=True)
class Power:
    """What one column tells of the class, alone, on rows held out: all of it shares from 0 to 1.

    explained: the part of the log loss of the class shares that is gone. accuracy and majority: rows whose
    class is the likeliest one given the column, and given nothing. rule: how it tells, in words.
    """

    column: str
    explained: float
    accuracy: float
    majority: float
    rows: int
    rule: str = ""

    @property
    def fewer_errors(self) -> float:
        """Return the share of the largest class's errors that the column mends."""
        return (self.accuracy - self.majority) / (1 - self.majority) if self.majority < 1 else 0.0

    @property
    def gives_away(self) -> bool:
        """Whether the class is as good as written in the column."""
        return max(self.explained, self.fewer_errors) >= DOUBT_GONE

    @property
    def evidence(self) -> str:
        """Return the finding as a sentence without its column."""
        rule = f": {self.rule}" if self.rule else ""
        return (
            f"alone it tells the class of {self.accuracy:.1%} of {self.rows:,} rows held out (the largest "
            f"class is {self.majority:.1%}) and takes {max(0.0, self.explained):.0%} of the doubt{rule}"
        )


def power_alone(column: str, values: np.ndarray, y: np.ndarray, labels: Sequence[str]) -> Power:
    """Measure one column: `values` (n, d) floats, NaN where missing, `y` (n,) class positions, -1 for none.

    Of more than 20,000 rows it takes a sample, the same one every time.
    """
    from sklearn.model_selection import StratifiedKFold  # seconds to import
    from sklearn.tree import DecisionTreeClassifier

    values, y = _sample(values[y >= 0], y[y >= 0])
    counts = np.bincount(y, minlength=len(labels))
    kept = counts[y] >= FOLDS  # a class of one or two rows cannot be held out
    values, y = values[kept], y[kept]
    if len(np.unique(y)) < 2:
        return Power(column, 0.0, 1.0, 1.0, len(y))
    least = max(2, round(LEAST_SHARE * len(y)))
    tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=least, random_state=SEED)
    (loss, prior), right = np.zeros((2, len(y))), np.zeros(len(y), dtype=bool)
    for rows, held in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(values, y):
        shares = tree.fit(values[rows], y[rows]).predict_proba(values[held])
        known = np.bincount(y[rows], minlength=len(labels))[y[held]] / len(rows)
        told = shares[np.arange(len(held)), np.searchsorted(tree.classes_, y[held])]
        loss[held], prior[held] = -np.log((1 - PRIOR) * told + PRIOR * known), -np.log(known)
        right[held] = tree.classes_[shares.argmax(axis=1)] == y[held]
    majority = np.bincount(y).max() / len(y)
    explained = float(1 - loss.mean() / prior.mean())
    return Power(
        column, explained, float(right.mean()), float(majority), len(y), _rule(values, y, labels, least)
    )


def _sample(values: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(y) <= ROWS:
        return values, y
    chosen = np.random.default_rng(SEED).choice(len(y), ROWS, replace=False)
    return values[chosen], y[chosen]


def _rule(values: np.ndarray, y: np.ndarray, labels: Sequence[str], least: int) -> str:
    """Say which class a number falls into from where on, and what it is where the number is missing."""
    from sklearn.tree import DecisionTreeClassifier

    points = np.unique(values[~np.isnan(values)])
    if values.shape[1] != 1 or len(points) <= FEW_VALUES:
        return ""
    tree = DecisionTreeClassifier(max_leaf_nodes=2 * len(labels), min_samples_leaf=least, random_state=SEED)
    told = tree.fit(values, y).predict(points[:, None])
    starts = np.flatnonzero(np.r_[True, told[1:] != told[:-1]])
    steps = [f"{labels[told[at]]} from {points[at]:.4g}" for at in starts]
    if np.isnan(values).any():
        steps.append(f"{labels[int(tree.predict([[np.nan]])[0])]} where it is missing")
    return ", ".join(steps)
