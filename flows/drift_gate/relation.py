"""Whether the grade still follows from the columns, on the whole and in subgroups, and can be right.

A changed world and wrong labels both make a champion lose. What tells them apart is how it could be put
right: a changed world by other forecasts, wrong labels by reading one class for another. Of labels that
are wrong nothing may be learned, however much better the model is that was trained on them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import linear_sum_assignment, minimize
from scipy.special import log_softmax

from data.bundle.answers import risk_of, risky
from data.contract.columns import Column, Target
from data.contract.contract import Contract
from data.words import percent
from flows.drift_gate import DRIFT, LEAST_ROWS, NOT_TESTED, Finding, verdict_of


@dataclass(frozen=True)
class Subgroup:
    """Rows of a batch (n,) bool, and the share of the reference that belongs to the same subgroup."""

    name: str
    rows: np.ndarray
    share: float


def subgroups(batch: pd.DataFrame, reference: pd.DataFrame, contract: Contract) -> list[Subgroup]:
    """Cut a batch into subgroups by each feature; quarters of numbers are the reference's.

    Both frames are as parsed and without quarantined rows. Audit columns make no subgroups: a difference that
    the champion cannot know is there from the start, and would stop every batch (`group_finding`).
    """
    found = [Subgroup("all rows", np.ones(len(batch), dtype=bool), 1.0)]
    for column in contract.features:
        before, now = reference[column.name], batch[column.name]
        found += [Subgroup(name, rows, float(share)) for name, rows, share in _cut(before, now, column)]
        if column.nullable:
            gone = now.isna().to_numpy()
            found.append(Subgroup(f"{column.name} missing", gone, float(before.isna().mean())))
    return found


def _cut(before: pd.Series, now: pd.Series, column: Column) -> list[tuple[str, np.ndarray, float]]:
    return _codes(before, now, column) if column.coded else _quarters(before, now, column)


def _codes(before: pd.Series, now: pd.Series, column: Column) -> list[tuple[str, np.ndarray, float]]:
    shares = np.array([(before.cat.codes == place).mean() for place in range(len(column.codes))])
    codes = now.cat.codes.to_numpy()
    labels = enumerate(column.codes.values())
    return [(f"{column.name} = {label}", codes == place, shares[place]) for place, label in labels]


def _quarters(before: pd.Series, now: pd.Series, column: Column) -> list[tuple[str, np.ndarray, float]]:
    known = before.dropna().to_numpy(float)
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.array([])
    ends = [-np.inf, *edges, np.inf]
    old, new = before.to_numpy(float), now.to_numpy(float)
    return [
        (
            _range_name(column.name, low, high),
            (new > low) & (new <= high),
            ((old > low) & (old <= high)).mean(),
        )
        for low, high in pairwise(ends)
    ]


def _range_name(name: str, low: float, high: float) -> str:
    if np.isinf(low) and np.isinf(high):
        return f"{name} known"
    if np.isinf(low):
        return f"{name} ≤ {high:.3g}"
    return f"{name} > {low:.3g}" if np.isinf(high) else f"{name} {low:.3g} to {high:.3g}"


LOSS, RESIDUAL, LABELS = "relation: loss", "relation: residual", "relation: labels"
GROUPS = "relation: groups"
LOSS_CAP = 7.0
"""A label that the champion gave under 0.1 % counts as this: one slip of the pen is no drift."""
MOST_EXACT = 5_000
"""No champion is taken for more exact than one of so many rows, or any bias of it alarms in a large batch."""
CONTINUITY = 0.25
"""Half a class, squared: in subgroups where hardly anything is uncertain the normal tail is too thin."""
LEAST_IN_SUBGROUP, LEAST_IN_GROUP, LEAST_GROUPS = 10, 20, 3


@dataclass(frozen=True)
class Residual:
    """How far one subgroup is from the forecast: |z|, and the mean residual of a row."""

    group: Subgroup
    place: int
    size: float
    mean: float


def loss_finding(probabilities: np.ndarray, y: np.ndarray, trained_rows: int, alpha: float) -> Finding:
    """Judge z = Σ(ℓ − H) / √ΣV over labelled rows; H, V are the loss's mean and variance under the champion.

    The variance is widened by (1 + n / trained_rows) for the champion's own error. Two-sided: a loss above
    what the champion expects means corrupt labels or a changed relation; one below it means labels copied
    from forecasts, of which nothing can be learned.

    Args:
        probabilities: the champion's, of the classes (n, K).
        y: class indices (n,).
        trained_rows: of the champion.
        alpha: false alarms allowed.
    """
    n = len(y)
    losses = np.minimum(-np.log(np.maximum(probabilities, 1e-12)), LOSS_CAP)
    expected = (probabilities * losses).sum(axis=1)
    variance = (probabilities * losses**2).sum(axis=1) - expected**2
    seen = losses[np.arange(n), y]
    widened = variance.sum() * (1 + n / min(trained_rows, MOST_EXACT))
    p_value = float(2 * stats.norm.sf(abs(seen.sum() - expected.sum()) / np.sqrt(widened)))
    return Finding(
        name=LOSS,
        test="z of the log loss",
        score=p_value,
        threshold=alpha,
        verdict=verdict_of(not p_value >= alpha),
        words=f"log loss {seen.mean():.3g} where the champion expects {expected.mean():.3g} ({n} rows)",
    )


def residual_finding(
    probabilities: np.ndarray,
    y: np.ndarray,
    groups: list[Subgroup],
    trained_rows: int,
    target: Target,
    alpha: float,
) -> Finding:
    """Judge the largest |Σ(y − E y)| / √ΣVar over subgroups, Bonferroni-corrected for their number.

    Of ordered classes y is the class index, of others each class's indicator in turn. The variance of a
    subgroup of m rows is widened by (1 + m / M), M the subgroup's rows in the champion's training: its
    estimate of a group's level is as uncertain as the mean of those.

    Args:
        probabilities: the champion's, of the classes (n, K).
        y: class indices (n,).
        groups: at least one with 10 rows and more.
        trained_rows: of the champion.
        target: says whether the classes are ordered.
        alpha: false alarms allowed.
    """
    exactness = min(trained_rows, MOST_EXACT)
    tested = [group for group in groups if group.rows.sum() >= LEAST_IN_SUBGROUP]
    found = [
        _residual(group, place, residual, variance, exactness)
        for place, residual, variance in _residuals(probabilities, y, target)
        for group in tested
    ]
    largest = max(found, key=lambda residual: residual.size)
    test = f"largest of {len(found)} residuals"
    return _largest_of(RESIDUAL, test, largest.size, len(found), alpha, _words(largest, target))


def _largest_of(name: str, test: str, size: float, count: int, alpha: float, words: str) -> Finding:
    """Judge the largest |z| of so many, Bonferroni-corrected for their number."""
    p_value = float(min(1.0, 2 * stats.norm.sf(size) * count))
    verdict = verdict_of(not p_value >= alpha)
    return Finding(name=name, test=test, score=p_value, threshold=alpha, verdict=verdict, words=words)


@dataclass(frozen=True)
class Judged:
    """Sound labelled rows as parsed, what the champion says of them (n, K), and their classes (n,)."""

    frame: pd.DataFrame
    probabilities: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


def group_finding(now: Judged, before: Judged, contract: Contract, alpha: float) -> Finding:
    """Judge whether the relation has changed for one audited group, beside all the others.

    A group's level is nothing that the champion can know, and may be off from the start. So its mean residual
    is compared with its own in the reference, less the same of the others: a difference of differences
    (Welch's z, Bonferroni-corrected for the number of groups and classes). Groups of a column with three and
    more, such as schools, differ from each other and from year to year: as much as they do in the reference
    is no change.
    """
    found = [
        (z, f"{name}: {_beside_others(away, place, contract.target)} ({rows} rows)")
        for groups in _audit_groups(now.frame, before.frame, contract)
        for name, z, away, place, rows in _changes(now, before, groups, contract.target)
    ]
    if not found:
        return Finding(name=GROUPS, verdict=NOT_TESTED, words="no audited group has rows enough")
    largest, words = max(found)
    test = f"largest of {len(found)} changes of groups"
    return _largest_of(GROUPS, test, largest, len(found), alpha, words)


AuditGroup = tuple[str, np.ndarray, np.ndarray]
"""The name of a group, and which rows of the batch and of the reference are in it."""


def _audit_groups(now: pd.DataFrame, before: pd.DataFrame, contract: Contract) -> Iterator[list[AuditGroup]]:
    """Yield the groups of each audit column that both frames have."""
    for column in contract.audit:
        if column.name in now and column.name in before:
            old = before[column.name]
            here, there = _cut(old, now[column.name], column), _cut(old, old, column)
            pairs = zip(here, there, strict=True)
            yield [(name, own, known) for (name, own, _), (_, known, _) in pairs]


def _changes(
    now: Judged, before: Judged, groups: list[AuditGroup], target: Target
) -> Iterator[tuple[str, float, float, int, int]]:
    """Yield name, |z|, change in the mean residual, class and rows of each group that has enough."""
    pairs = zip(
        _residuals(now.probabilities, now.y, target),
        _residuals(before.probabilities, before.y, target),
        strict=True,
    )
    for (place, new, _), (_, old, _) in pairs:
        between = 2 * _variance_between([old[known] for _, _, known in groups])
        for name, own, known in groups:
            cells = [new[own], new[~own], old[known], old[~known]]
            if min(map(len, cells)) >= LEAST_IN_GROUP:
                away = float(np.array([cell.mean() for cell in cells]) @ [1, -1, -1, 1])
                spread = sum((cell.var(ddof=1) + CONTINUITY / len(cell)) / len(cell) for cell in cells)
                size = abs(away) / float(np.sqrt(spread + between * len(groups) / (len(groups) - 1)))
                yield name, size, away, place, int(own.sum())


def _variance_between(cells: list[np.ndarray]) -> float:
    """Return by how much the levels of groups truly vary, beyond chance; 0 of fewer than three.

    The moment estimate of DerSimonian and Laird 1986, "Meta-analysis in clinical trials".
    """
    some = [cell for cell in cells if len(cell) >= LEAST_IN_GROUP]
    if len(some) < LEAST_GROUPS:
        return 0.0
    means = np.array([cell.mean() for cell in some])
    weights = np.array([len(cell) / (cell.var(ddof=1) + CONTINUITY / len(cell)) for cell in some])
    total = weights.sum()
    apart = weights @ (means - weights @ means / total) ** 2 - (len(some) - 1)
    return max(0.0, float(apart / (total - (weights**2).sum() / total)))


def _beside_others(away: float, place: int, target: Target) -> str:
    return f"{_change(away, place, target)} before, beside the others"


def own_fault(before: Judged, trained_rows: int, contract: Contract, alpha: float) -> str:
    """Say where a champion does not fit the students that it learned from; "" where it does.

    Such a one is no reference: what it would call drift is its own error.
    """
    groups = subgroups(before.frame, before.frame, contract)
    found = residual_finding(before.probabilities, before.y, groups, trained_rows, contract.target, alpha)
    return found.words if found.verdict == DRIFT else ""


def undecided(words: str, verdict: str, names: Iterable[str] = (LOSS, RESIDUAL, LABELS)) -> list[Finding]:
    """Say why the relation gates could not decide."""
    return [Finding(name=name, verdict=verdict, words=words) for name in names]


def _residuals(
    probabilities: np.ndarray, y: np.ndarray, target: Target
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Give each row's residual and its variance, of the class index or of one class after the other."""
    count = len(target.labels)
    for place, scale in enumerate([np.arange(count, dtype=float)] if target.ordered else np.eye(count)):
        expected = probabilities @ scale
        yield place, scale[y] - expected, probabilities @ scale**2 - expected**2


def _residual(
    group: Subgroup, place: int, residual: np.ndarray, variance: np.ndarray, exactness: int
) -> Residual:
    own, m = residual[group.rows], group.rows.sum()
    widened = variance[group.rows].sum() * (1 + m / max(group.share * exactness, 1.0))
    return Residual(group, place, float(abs(own.sum()) / np.sqrt(widened + CONTINUITY)), float(own.mean()))


def _words(residual: Residual, target: Target) -> str:
    group = residual.group
    change = _change(residual.mean, residual.place, target)
    return f"{group.name}: {change} forecast ({int(group.rows.sum())} rows)"


def _change(mean: float, place: int, target: Target) -> str:
    if target.ordered and len(target.labels) > 2:
        return f"{abs(mean):.2f} classes {'worse' if mean > 0 else 'better'} than"
    # Of two ordered classes the index is the second one's share.
    label = target.labels[1 if target.ordered else place]
    return f"{label} {100 * abs(mean):.1f} points {'more' if mean > 0 else 'less'} often than"


CLEAR = 12.0
"""Log likelihood by which wrong labels must explain a batch better than a changed world does: the chance of
it in right labels is 1 in 1,000 even if 150 ways to exchange classes are tried."""
ALL_WAYS = 3.0
"""And than an exchange does in which one of the classes keeps its label, as where grades rise or fall."""
ALPHA = 0.001
"""False alarms allowed of each other look."""
MOST_NOISE = 0.5
SMALLEST = 1e-3
"""No label is less probable than this: one slip of the pen is not an exchange."""
LEAST = 1e-12
STEPS, START = 500, 0.2
MOST_CLASSES, MOST_ROWS = 20, 5_000
"""Of more classes, not every pair is tried; more rows could tell no more."""


def label_noise_losses(
    probabilities: np.ndarray, y: np.ndarray, most: float = 1.0
) -> tuple[np.ndarray, float]:
    """Return losses of a champion that allows for as much label noise as suits these rows best.

    Label noise is the share e of the mixture (1 - e) p + e q of its probabilities p and one constant
    forecast q. Both are fitted by expectation maximisation (Dempster, Laird and Rubin 1977), in the
    champion's favour.

    Args:
        probabilities: of the classes (n, K).
        y: class indices (n,).
        most: the largest share.

    Returns:
        Each row's log loss (n,) in nats, and the share.
    """
    if not len(y):
        return np.zeros(0), 0.0
    own = np.maximum(probabilities[np.arange(len(y)), y].astype(np.float64), LEAST)
    noise = min(START, most)
    blind = np.bincount(y, minlength=probabilities.shape[1]) / len(y)
    for _ in range(STEPS):
        mixed = (1 - noise) * own + noise * blind[y]
        blamed = noise * blind[y] / mixed
        noise = min(float(blamed.mean()), most)
        if noise < LEAST:
            break
        blind = np.bincount(y, weights=blamed, minlength=len(blind)) / blamed.sum()
    return -np.log((1 - noise) * own + noise * blind[y]), noise


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
    fits = [(*_exchange(own, y, places), places) for places in _ways(own, y)]
    fit, share, places = max(fits, key=lambda found: found[0])
    others = max(_changed_world(probabilities, y), -label_noise_losses(own, y)[0].sum()) + CLEAR
    if fit < others or fit < _one_way(own, y, places) + ALL_WAYS:
        return ""
    moved = np.flatnonzero(places != np.arange(len(places)))
    read = ", ".join(f"{target.labels[k]} stands for {target.labels[places[k]]}" for k in moved)
    return f"classes look exchanged, for {percent(share)} of their students: {read}"


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
    losses, noise = label_noise_losses(probabilities, y)
    if noise <= MOST_NOISE:
        return ""
    at_most_half, _ = label_noise_losses(probabilities, y, MOST_NOISE)
    surely = 2 * (at_most_half.sum() - losses.sum()) > stats.chi2.isf(2 * ALPHA, 1)
    if not surely or _changed_world(probabilities, y) > CLEAR - losses.sum():
        return ""
    return f"{percent(noise)} of the labels have nothing to do with what the champion knows"


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


def _exchange(own: np.ndarray, y: np.ndarray, places: np.ndarray, stays: int = -1) -> tuple[float, float]:
    """Fit the share of students whose label is exchanged, by expectation maximisation.

    Label k is then that of class places[k] (K,); students of the class `stays` keep their own. Return the
    log likelihood of the labels, and the share.
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
    return float(fit), share


def _one_way(own: np.ndarray, y: np.ndarray, places: np.ndarray) -> float:
    """Return the best log likelihood where one of the classes keeps its label, as where all grades rose."""
    came = np.unique(y)
    moved = places[came][places[came] != came]
    return max(_exchange(own, y, places, int(stays))[0] for stays in moved)


def _changed_world(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Return the log likelihood of a champion that is as sure, and gives as much to each class, as fits best.

    a log p + b, a >= 0, through softmax: more or less noise, other shares of the classes, and of ordered
    ones better or worse grades for everyone. Of p as it is, not quite so sure, or without the base that its
    head gives every class of every student, which hides how far off a class is: what fits best.
    """
    own, hits = probabilities.astype(np.float64), np.eye(probabilities.shape[1])[y]
    tried = ((own, LEAST), (own, SMALLEST), (own - own.min(axis=0), LEAST))
    return max(_best_fit(np.log(np.maximum(p, floor)), hits) for p, floor in tried)


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
