"""What is said of a student, from the class probabilities: the risk, the plausible grades, the answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from data.contract.columns import Target


def risky(target: Target) -> np.ndarray:
    """Return which classes (K,), bool, are at risk."""
    return np.array([label in target.at_risk for label in target.labels])


def risk_of(probabilities: np.ndarray, target: Target) -> np.ndarray:
    """Return each row's probability of being at risk.

    Args:
        probabilities: of the classes (n, K), of any float type.
        target: says which of the classes are at risk.

    Returns:
        Their sum (n,), float64; 1 where rounding makes it more.
    """
    return np.minimum(probabilities[:, risky(target)].sum(axis=1, dtype=np.float64), 1.0)


def grade_sets(probabilities: np.ndarray, thresholds: npt.ArrayLike, contiguous: bool = False) -> np.ndarray:
    """Return which classes are in each row's set of plausible grades.

    Class-conditional conformal sets (Vovk 2012, "Conditional validity of inductive conformal predictors").

    Args:
        probabilities: of the classes (n, K).
        thresholds: each class's (K,): the least probability with which it is plausible.
        contiguous: whether the classes are in order, so that what is between two plausible ones is so too.

    Returns:
        Membership (n, K), bool: the classes at or above their threshold, and always the likeliest one.
    """
    least = np.asarray(thresholds, dtype=np.float64)
    member = probabilities >= least
    member[np.arange(len(member)), probabilities.argmax(axis=1)] = True
    return member | between(member & (least > 0)) if contiguous else member


def between(member: np.ndarray) -> np.ndarray:
    """Return which classes (n, K) are members or have members on both sides.

    Of a class that had too few students for a threshold, which is in every set, nothing follows.
    """
    from_best = np.logical_or.accumulate(member, axis=1)
    from_worst = np.logical_or.accumulate(member[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(from_best & from_worst)


def answer_of(
    shares: list[float],
    labels: Sequence[str],
    thresholds: Sequence[float],
    at_risk: Sequence[int],
    contiguous: bool = False,
) -> dict[str, Any]:
    """Return one row's forecast under the fixed JSON names: `risk_of` and `grade_sets` of one row.

    In plain Python: for the one record of most requests NumPy takes six times as long.

    Args:
        shares: class probabilities (K,).
        labels: the classes' names (K,).
        thresholds: as of `grade_sets` (K,).
        at_risk: the positions of the classes at risk.
        contiguous: as of `grade_sets`.
    """
    first = shares.index(max(shares))
    top = labels[first]
    inside = [share >= least for share, least in zip(shares, thresholds, strict=True)]
    inside[first] = True
    if contiguous:
        told = [place for place, held in enumerate(inside) if held and thresholds[place] > 0] or [first]
        inside[told[0] : told[-1] + 1] = [True] * (told[-1] + 1 - told[0])
    return {
        "grade_class": top,
        "grade_class_index": first,
        "probabilities": dict(zip(labels, shares, strict=True)),
        "at_risk": min(sum([shares[place] for place in at_risk]), 1.0),
        "grade_set": [label for label, held in zip(labels, inside, strict=True) if held],
    }
