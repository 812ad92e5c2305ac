"""Labels that cannot be right: exchanged classes, risk the wrong way round, grades that follow from nothing.

A changed world and wrong labels both make a champion lose. What tells them apart is how it could be put
right: a changed world by other forecasts, wrong labels by reading one class for another. Of labels that
are wrong nothing may be learned, however much better the model is that was trained on them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats
from scipy.optimize import linear_sum_assignment, minimize
from scipy.special import log_softmax

from data.bundle.answers import risk_of, risky
from data.contract.columns import Target
from data.words import percent
from flows.drift_gate.findings import DRIFT, LEAST_ROWS, Finding, verdict_of

LABELS = "relation: labels"
CLEAR = 12.0
"""Log likelihood by which wrong labels must explain a batch better than a changed world does: the chance of
it in right labels is 1 in 1,000 even if 150 ways to exchange classes are tried."""
ALL_WAYS = 3.0
"""And than an exchange does in which one of the classes keeps its label, as where grades rise or fall."""
ALPHA = 0.001
"""False alarms allowed of each other look."""
MOST_DOUBT = 0.5
SMALLEST = 1e-3
"""No label is less probable than this: one slip of the pen is not an exchange."""
LEAST = 1e-12
STEPS, START = 500, 0.2
MOST_CLASSES, MOST_ROWS = 20, 5_000
"""Of more classes, not every pair is tried; more rows could tell no more."""


@dataclass(frozen=True)
class Exchange:
    """Labels of another class in a share of the students: `places` (K,) says whose label each class has."""

    places: np.ndarray
    share: float
    fit: float
    """Log likelihood of the labels."""

    @property
    def moved(self) -> np.ndarray:
        """Return the classes that have another's label."""
        return np.flatnonzero(self.places != np.arange(len(self.places)))


def doubting_losses(probabilities: np.ndarray, y: np.ndarray, most: float = 1.0) -> tuple[np.ndarray, float]:
    """Return each row's log loss (n,) of a champion that doubts as suits these rows best, and how much.

    Doubt is the share e, at most `most`, of the mixture (1 - e) p + e q of its probabilities p (n, K) and
    one constant forecast q. Both are fitted to the classes y (n,) by expectation maximisation (Dempster,
    Laird and Rubin 1977), in the champion's favour.
    """
    if not len(y):
        return np.zeros(0), 0.0
    own = np.maximum(probabilities[np.arange(len(y)), y].astype(np.float64), LEAST)
    doubt = min(START, most)
    blind = np.bincount(y, minlength=probabilities.shape[1]) / len(y)
    for _ in range(STEPS):
        mixed = (1 - doubt) * own + doubt * blind[y]
        blamed = doubt * blind[y] / mixed
        doubt = min(float(blamed.mean()), most)
        if doubt < LEAST:
            break
        blind = np.bincount(y, weights=blamed, minlength=len(blind)) / blamed.sum()
    return -np.log((1 - doubt) * own + doubt * blind[y]), doubt


def label_fault(probabilities: np.ndarray, y: np.ndarray, target: Target) -> str:
    """Say why labels y (n,) cannot be right, by a champion's probabilities (n, K); "" where they may be."""
    if len(y) < LEAST_ROWS:
        return ""
    rows = np.random.default_rng(0).permutation(len(y))[:MOST_ROWS]
    probabilities, y = probabilities[rows], y[rows]
    looks = (exchanged_classes, risk_backwards, nothing_known)
    return next(filter(None, (look(probabilities, y, target) for look in looks)), "")


def label_finding(probabilities: np.ndarray, y: np.ndarray, target: Target) -> Finding:
    """Judge whether the labels of a batch can be right."""
    fault = label_fault(probabilities, y, target)
    return Finding(name=LABELS, verdict=verdict_of(bool(fault)), words=fault or "as they may be")


def label_fault_in(findings: Iterable[Finding]) -> str:
    """Return what findings say of labels that cannot be right; "" where they may be."""
    return next((found.words for found in findings if (found.name, found.verdict) == (LABELS, DRIFT)), "")


def exchanged_classes(probabilities: np.ndarray, y: np.ndarray, target: Target) -> str:
    """Say which classes look exchanged, where that explains the labels better than a changed world does."""
    own = np.maximum(probabilities.astype(np.float64), SMALLEST)
    best = max((_exchange(own, y, places) for places in _ways(own, y)), key=lambda found: found.fit)
    others = max(_changed_world(probabilities, y), _doubted(own, y)) + CLEAR
    if best.fit < others or best.fit < _one_way(own, y, best.places) + ALL_WAYS:
        return ""
    read = ", ".join(f"{target.labels[k]} stands for {target.labels[best.places[k]]}" for k in best.moved)
    return f"classes look exchanged, for {best.share:.0%} of their students: {read}"


def risk_backwards(probabilities: np.ndarray, y: np.ndarray, target: Target) -> str:
    """Say where those called at risk do better than the others: Mann and Whitney's test, one-sided."""
    risk, ended = risk_of(probabilities, target), risky(target)[y]
    if not 0 < ended.sum() < len(y):
        return ""
    p_value = stats.mannwhitneyu(risk[ended], risk[~ended], alternative="less").pvalue
    if not p_value < ALPHA:
        return ""
    return "students whom the champion calls at risk end at risk less often than the others: it is backwards"


def nothing_known(probabilities: np.ndarray, y: np.ndarray, target: Target) -> str:  # noqa: ARG001
    """Say where more than half of the labels, surely, have nothing to do with the forecasts."""
    losses, doubt = doubting_losses(probabilities, y)
    if doubt <= MOST_DOUBT:
        return ""
    at_most_half, _ = doubting_losses(probabilities, y, MOST_DOUBT)
    surely = 2 * (at_most_half.sum() - losses.sum()) > stats.chi2.isf(2 * ALPHA, 1)
    if not surely or _changed_world(probabilities, y) > CLEAR - losses.sum():
        return ""
    return f"{percent(doubt)} of the labels have nothing to do with what the champion knows"


def _ways(own: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """Yield ways to exchange classes: pairs, all in reverse, all by one place, and the one that fits best."""
    classes = np.arange(own.shape[1])
    for one, other in combinations(classes[np.unique(y)][:MOST_CLASSES], 2):
        pair = classes.copy()
        pair[[one, other]] = other, one
        yield pair
    yield classes[::-1]
    yield from (np.roll(classes, 1), np.roll(classes, -1))
    misfit = 1 - own[np.arange(len(y)), y]  # weighs most what the labels as they are cannot explain
    losses = np.stack([-(misfit[y == k] @ np.log(own[y == k])) for k in classes])
    best = linear_sum_assignment(losses)[1]
    if (best != classes).any():
        yield best


def _exchange(own: np.ndarray, y: np.ndarray, places: np.ndarray, stays: int = -1) -> Exchange:
    """Fit the share of students whose label is exchanged, by expectation maximisation.

    Label k is then that of class places[k]; students of the class `stays` keep their own.
    """
    rows, classes = np.arange(len(y)), np.arange(len(places))
    leaves = (places != classes) & (classes != stays)
    own_label, other_label, share = own[rows, y], own[rows, places[y]] * leaves[places[y]], 0.5
    for _ in range(STEPS):
        before, kept = share, own_label * np.where(leaves[y], 1 - share, 1.0)
        came = share * other_label / (kept + share * other_label)
        could = came.sum() + (1 - came)[leaves[y]].sum()
        share = float(came.sum() / could) if could else 0.0
        if abs(share - before) < 1e-6:
            break
    fit = np.log(own_label * np.where(leaves[y], 1 - share, 1.0) + share * other_label + LEAST).sum()
    return Exchange(places, share, float(fit))


def _one_way(own: np.ndarray, y: np.ndarray, places: np.ndarray) -> float:
    """Return the best log likelihood where one of the classes keeps its label, as where all grades rose."""
    came = np.unique(y)
    moved = places[came][places[came] != came]
    return max(_exchange(own, y, places, int(stays)).fit for stays in moved)


def _doubted(own: np.ndarray, y: np.ndarray) -> float:
    return -float(doubting_losses(own, y)[0].sum())


def _changed_world(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Return the log likelihood of a champion that is as sure, and gives as much to each class, as fits best.

    a log p + b, a >= 0, through softmax: more or less noise, other shares of the classes, and of ordered
    ones better or worse grades for everyone. Of p as it is, or not quite so sure, what fits better.
    """
    own, hits = probabilities.astype(np.float64), np.eye(probabilities.shape[1])[y]
    return max(_best_fit(np.log(np.maximum(own, floor)), hits) for floor in (LEAST, SMALLEST))


def _best_fit(known: np.ndarray, hits: np.ndarray) -> float:
    """Maximise the log likelihood of one-hot labels (n, K) under softmax(a known + b), a >= 0."""
    classes = known.shape[1]

    def loss(parts: np.ndarray) -> tuple[float, np.ndarray]:
        said = log_softmax(parts[0] * known + parts[1:], axis=1)
        gap = np.exp(said) - hits
        return -float((said * hits).sum()), np.concatenate([[(gap * known).sum()], gap.sum(axis=0)])

    start = np.concatenate([[1.0], np.zeros(classes)])
    found = minimize(loss, start, jac=True, bounds=[(0, None)] + [(None, None)] * classes)
    return -float(found.fun)
