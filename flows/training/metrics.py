"""What a model is judged by, from probabilities (n, K) and classes (n,), 0 = best; and how sure that is.

Every figure copes with a class that has no row. Names are the registry's, without a prefix.
"""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata

from data.bundle.answers import between
from flows.training.data import Folds
from flows.training.ordinal import SMALLEST, row_losses

FEW = 10  # rows: a class with fewer gets no figure of its own
ECE_BINS = 10
REPEATS = 1_000
DRAWS = 20_000_000  # rows drawn in all: fewer repeats on large sets, whose intervals are narrow
LEVEL = (2.5, 97.5)
OURS = "gradecast"
"""The model of a leaderboard that is a candidate of the grid."""
BESIDE = ("difference", "low", "high")
"""Columns of a leaderboard: of `beside_chosen`."""
COVERAGE = 0.9
NULL_REPEATS, NULL_ROWS = 200, 5_000  # more rows leave next to nothing to chance

Array = np.ndarray


def evaluate(probabilities: Array, y: Array, prefix: str = "") -> dict[str, float]:
    """Return accuracy, f1_macro, qwk, log_loss, ece and roc_auc_ovr, each under its prefixed name."""
    confusion = confusion_matrix(probabilities, y)
    figures = {
        "accuracy": float(accuracy(confusion)),
        "f1_macro": float(f1_macro(confusion)),
        "qwk": float(quadratic_kappa(confusion)),
        "log_loss": float(row_losses(probabilities, y).mean()),
        "ece": calibration_error(probabilities, y),
        "roc_auc_ovr": roc_auc_ovr(probabilities, y),
    }
    return {f"{prefix}{name}": value for name, value in figures.items()}


def evaluate_classes(probabilities: Array, y: Array, labels: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return precision, recall, f1 and n of each class by label; NaN below 10 rows (too few)."""
    confusion = confusion_matrix(probabilities, y)
    rows = confusion.sum(axis=1)
    figures = np.where(rows < FEW, np.nan, precision_recall_f1(confusion))
    return {
        label: {**dict(zip(("precision", "recall", "f1"), own, strict=True)), "n": int(n)}
        for label, own, n in zip(labels, figures.T.tolist(), rows, strict=True)
    }


def oof_figures(probabilities: Array, y: Array, folds: Folds) -> dict[str, float]:
    """Return the leaderboard's figures of pooled out-of-fold probabilities, and how far folds differ."""
    losses = row_losses(probabilities, y)
    confusion = confusion_matrix(probabilities, y)
    return {
        "cv_log_loss": float(losses.mean()),
        "cv_log_loss_std": float(np.std([losses[held].mean() for _, held in folds])),
        "cv_accuracy": float(accuracy(confusion)),
        "cv_f1_macro": float(f1_macro(confusion)),
    }


def confusion_matrix(probabilities: Array, y: Array) -> Array:
    """Return counts (K, K): true class by row, most probable class by column."""
    classes = probabilities.shape[1]
    cells = y * classes + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy(confusion: Array) -> Array:
    """Return the share on the diagonal of (…, K, K) counts."""
    return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))


def precision_recall_f1(confusion: Array) -> tuple[Array, Array, Array]:
    """Return the three for each class of (…, K, K) counts; 0 where nothing was forecast or true."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    forecast, true = confusion.sum(axis=-2), confusion.sum(axis=-1)
    some = np.maximum
    return hits / some(forecast, 1), hits / some(true, 1), 2 * hits / some(forecast + true, 1)


def f1_macro(confusion: Array) -> Array:
    """Return the mean F1 over the classes that occur or are forecast, as scikit-learn does."""
    _, _, f1 = precision_recall_f1(confusion)
    seen = (confusion.sum(axis=-2) + confusion.sum(axis=-1)) > 0
    return (f1 * seen).sum(axis=-1) / seen.sum(axis=-1)


def quadratic_kappa(confusion: Array) -> Array:
    """Return Cohen's kappa with quadratic weights; 1 where truth and forecast are one same class.

    1 - sum(w o) / sum(w e) with w_ij = (i - j)^2, o the counts (…, K, K) and e those that independence of
    truth and forecast would give (Cohen 1968, "Weighted kappa").
    """
    classes = confusion.shape[-1]
    weights = (np.arange(classes)[:, None] - np.arange(classes)) ** 2
    n = confusion.sum(axis=(-2, -1))
    chance = confusion.sum(axis=-1)[..., :, None] * confusion.sum(axis=-2)[..., None, :]
    observed = (weights * confusion).sum(axis=(-2, -1)) * n
    expected = (weights * chance).sum(axis=(-2, -1))
    return 1.0 - np.where(expected > 0, observed / np.where(expected > 0, expected, 1), 0.0)


def roc_auc_ovr(probabilities: Array, y: Array) -> float:
    """Return the mean one-against-rest ROC AUC over classes with and without rows; NaN if none."""
    areas = [roc_auc(probabilities[:, k], y == k) for k in range(probabilities.shape[1])]
    known = [area for area in areas if not np.isnan(area)]
    return float(np.mean(known)) if known else float("nan")


def roc_auc(scores: Array, positive: Array) -> float:
    """Return the share of (positive, negative) pairs in order, ties half (Mann-Whitney)."""
    up, down = int(positive.sum()), int((~positive).sum())
    if not up or not down:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - up * (up + 1) / 2) / (up * down))


def calibration_error(probabilities: Array, y: Array) -> float:
    """Return the top-label expected calibration error over 10 bins of equal width.

    Of the likeliest class alone (Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural
    networks").
    """
    return chance_error(*top_label(probabilities, y))


def top_label(probabilities: Array, y: Array) -> tuple[Array, Array]:
    """Return how sure each forecast was of its likeliest class (n,), and whether that came (n,)."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == y


def chance_error(chances: Array, came: Array) -> float:
    """Return how far chances (n,) were from how often what they are of came (n,), mean of 10 equal bins.

    The expected calibration error of a yes-or-no forecast: the sum over bins of |gap|.
    """
    return float(np.abs(bin_gaps(chances, came)).sum())


def bin_gaps(chances: Array, came: Array) -> Array:
    """Return by bin what came less what was forecast, each as a share of all rows (10,)."""
    bins = np.minimum((chances * ECE_BINS).astype(int), ECE_BINS - 1)
    return np.bincount(bins, came - chances, minlength=ECE_BINS) / len(chances)


def null_calibration_error(probabilities: Array, seed: int = 0) -> float:
    """Return the median top-label calibration error of a perfect model with these probabilities (n, K).

    Of its null distribution: classes are drawn from the probabilities themselves, so that what is left is
    the chance of n rows (5,000 at most).
    """
    rng, sample = np.random.default_rng(seed), probabilities[:NULL_ROWS]
    reach = sample.cumsum(axis=1)[:, :-1]
    drawn = ((rng.random((len(sample), 1)) > reach).sum(axis=1) for _ in range(NULL_REPEATS))
    return float(np.median([calibration_error(sample, y) for y in drawn]))


def null_chance_error(chances: Array, seed: int = 0) -> float:
    """Return the same of chances (n,) of a yes-or-no outcome, such as being at risk."""
    rng, sample = np.random.default_rng(seed), chances[:NULL_ROWS]
    drawn = (rng.random(len(sample)) < sample for _ in range(NULL_REPEATS))
    return float(np.median([chance_error(sample, came) for came in drawn]))


def intervals(
    probabilities: Array, y: Array, seed: int, prefix: str = "", students: Array | None = None
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of accuracy, f1_macro, qwk, log_loss and ece, each with its figure inside.

    Percentiles of 1,000 bootstrap resamples (Efron 1979); figures of the confusion matrix resample its
    cells, which is the same distribution as resampling rows.

    Args:
        probabilities: of the classes (n, K).
        y: the classes (n,).
        seed: of the resamples.
        prefix: of the names.
        students: whose each row is (n,), where one may have several: they are drawn, with all their rows.
    """
    rng = np.random.default_rng(seed)
    confusion = confusion_matrix(probabilities, y)
    if students is None:
        cells = rng.multinomial(len(y), confusion.ravel() / len(y), size=REPEATS)
        tables = cells.reshape(REPEATS, *confusion.shape)
    else:
        drawn = _resamples(len(y), rng, students)
        tables = np.array([confusion_matrix(probabilities[rows], y[rows]) for rows in drawn])
    losses = row_losses(probabilities, y)
    ends = {
        "accuracy": ends_around(float(accuracy(confusion)), accuracy(tables)),
        "f1_macro": ends_around(float(f1_macro(confusion)), f1_macro(tables)),
        "qwk": ends_around(float(quadratic_kappa(confusion)), quadratic_kappa(tables)),
        "log_loss": ends_around(float(losses.mean()), _resampled_means(losses, rng, students)),
        "ece": calibration_interval(*top_label(probabilities, y), seed, students=students),
    }
    return {f"{prefix}{name}": pair for name, pair in ends.items()}


def calibration_interval(
    chances: Array, came: Array, seed: int = 0, level: float = 95.0, students: Array | None = None
) -> tuple[float, float]:
    """Return the interval of the calibration error of chances.

    The error adds up sizes, so resamples have more of it than the rows, as the rows have more than the
    truth: their percentiles can leave out the figure itself, and hold the error of a perfect model never.
    What resamples do show is how far the gaps of the bins can be from the true ones, and the error cannot
    be farther from its truth than they are (the triangle inequality): at least the level, often more.

    Args:
        chances: forecast (n,).
        came: whether what they are of came (n,).
        seed: of the resamples.
        level: in percent.
        students: as of `intervals`.
    """
    own, rng = bin_gaps(chances, came), np.random.default_rng(seed)
    drawn = _resamples(len(chances), rng, students)
    gaps = np.array([bin_gaps(chances[rows], came[rows]) for rows in drawn])
    reach = float(np.percentile(np.abs(gaps - own).sum(axis=1), level))
    error = float(np.abs(own).sum())
    return max(error - reach, 0.0), error + reach


NEWTON_STEPS, NORMAL_95 = 25, 1.959964


def calibration_line(
    chances: Array, came: Array, students: Array | None = None
) -> dict[str, tuple[float, float, float]]:
    """Return intercept and slope of the log odds of what came on those forecast, each with its 95 % interval.

    0 and 1 are right (Cox 1958, "Two further applications of a model for binary regression"): a slope below 1
    is of forecasts that are too sure, an intercept above 0 of ones that are too low. By logistic regression;
    the intervals are those of robust standard errors, summed up by student (Liang and Zeger 1986).

    Args:
        chances: forecast (n,).
        came: whether what they are of came (n,).
        students: as of `intervals`.

    Returns:
        Nothing where all came, or none, or one line parts them.
    """
    forecast = np.clip(chances, SMALLEST, 1 - SMALLEST)
    rows = np.column_stack([np.ones(len(forecast)), np.log(forecast / (1 - forecast))])
    line = np.array([0.0, 1.0])
    for _ in range(NEWTON_STEPS):
        said = expit(rows @ line)
        bread = (rows * (said * (1 - said))[:, None]).T @ rows
        if not np.linalg.cond(bread) < 1e12:
            return {}
        step = np.linalg.solve(bread, rows.T @ (came - said))
        line = line + step
    if not np.abs(step).max() < 1e-6:
        return {}
    scores = rows * (came - expit(rows @ line))[:, None]
    if students is not None:
        whose = np.unique(students, return_inverse=True)[1]
        scores = np.column_stack([np.bincount(whose, column) for column in scores.T])
    inside = np.linalg.solve(bread, scores.T)
    reach = NORMAL_95 * np.sqrt((inside**2).sum(axis=1))
    ends = zip(("intercept", "slope"), line.tolist(), reach.tolist(), strict=True)
    return {name: (value, value - away, value + away) for name, value, away in ends}


def ends_around(figure: float, resampled: Array, level: tuple[float, float] = LEVEL) -> tuple[float, float]:
    """Return the percentiles of a figure's resamples, and no less than what holds the figure itself.

    Resamples of few rows can all but miss it, for they have rows twice and lack others.
    """
    low, high = np.percentile(resampled, level).tolist()
    return min(low, figure), max(high, figure)


class Difference(NamedTuple):
    """The mean of a paired difference, its 95 % interval, and the share of resamples above 0."""

    mean: float
    low: float
    high: float
    above_zero: float


def paired_bootstrap(
    loss_a: Array,
    loss_b: Array,
    seed: int = 0,
    level: tuple[float, float] = LEVEL,
    students: Array | None = None,
) -> Difference:
    """Compare two models' losses on the same rows by a paired bootstrap of the mean of a - b.

    Args:
        loss_a: of one model (n,), in nats.
        loss_b: of the other (n,).
        seed: of the resamples.
        level: percentiles of the interval's ends.
        students: as of `intervals`.

    Returns:
        The difference, below 0 where a is better.
    """
    gap = np.asarray(loss_a, dtype=np.float64) - np.asarray(loss_b, dtype=np.float64)
    means = _resampled_means(gap, np.random.default_rng(seed), students)
    low, high = ends_around(float(gap.mean()), means, level)
    return Difference(float(gap.mean()), low, high, float((means > 0).mean()))


def beside_chosen(
    oof: Array, chosen_oof: Array, y: Array, seed: int = 0, students: Array | None = None
) -> dict[str, float]:
    """Return a model's log loss less the chosen one's on the same rows, both (n, K) out of fold.

    As columns of the leaderboard: `difference`, and the ends of its 95 % interval, `low` and `high`.
    """
    gap = paired_bootstrap(row_losses(oof, y), row_losses(chosen_oof, y), seed, students=students)
    return dict(zip(BESIDE, gap[:3], strict=True))


def chosen_of(candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the row of the chosen candidate: the pool where there is one, else the lowest log loss."""
    pooled = candidates["family"] == "pool" if "family" in candidates else pd.Series(False, candidates.index)
    return (candidates[pooled] if pooled.any() else candidates).nsmallest(1, "cv_log_loss")


def best_of_families(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each family's best candidate, lowest log loss first."""
    if "family" not in leaderboard:
        return leaderboard[:0]
    candidates = leaderboard.dropna(subset="family").sort_values("cv_log_loss", kind="stable")
    return candidates.drop_duplicates("family")


def _resampled_means(values: Array, rng: np.random.Generator, students: Array | None = None) -> Array:
    return np.array([values[rows].mean() for rows in _resamples(len(values), rng, students)])


def _resamples(n: int, rng: np.random.Generator, students: Array | None = None) -> Iterator[Array]:
    """Yield rows drawn with replacement; of students with several rows, all of each that is drawn.

    The cluster bootstrap: Davison and Hinkley 1997, "Bootstrap Methods and their Application", 3.8.
    """
    repeats = int(np.clip(DRAWS // n, 100, REPEATS))
    if students is None:
        return (rng.integers(0, n, n) for _ in range(repeats))
    names, whose = np.unique(students, return_inverse=True)
    draws = (rng.integers(0, len(names), len(names)) for _ in range(repeats))
    times = (np.bincount(drawn, minlength=len(names)) for drawn in draws)
    return (np.repeat(np.arange(n), often[whose]) for often in times)


class Thresholds(NamedTuple):
    """The least probability at which each class enters the set, and the rows it was set on.

    0, so always in the set, for a class with fewer than 9 calibration rows: none can promise 90 %.
    """

    least: tuple[float, ...]
    rows: tuple[int, ...]


def calibrate(probabilities: Array, y: Array, level: float = COVERAGE, ordered: bool = False) -> Thresholds:
    """Set each class's conformal threshold: what `data.bundle.answers.grade_sets` goes by.

    For n rows of a class, the ceil((n + 1) level)-th largest of their probabilities of it: then
    a new row of the class is at or above it with at least that chance, whatever the model (Vovk 2012,
    "Conditional validity of inductive conformal predictors"). Such sets are the smallest that hold each class
    so often (Sadinle, Lei and Wasserman 2019, "Least ambiguous set-valued classifiers"). Out-of-fold and
    refitted models differ a little, so the promise is close, not exact.

    Args:
        probabilities: out of fold (n, K).
        y: the classes (n,).
        level: share of each class's students whose set shall hold the true class.
        ordered: whether what is between two plausible classes will be in the set, too: then thresholds are
            raised to what that makes possible.
    """
    own = [np.sort(probabilities[y == k, k])[::-1] for k in range(probabilities.shape[1])]
    ranks = [ceil((len(values) + 1) * level - 1e-9) for values in own]
    least = [
        float(values[rank - 1]) if rank <= len(values) else 0.0
        for values, rank in zip(own, ranks, strict=True)
    ]
    raised = _raised(probabilities, y, np.array(least), ranks) if ordered else least
    return Thresholds(tuple(raised), tuple(len(values) for values in own))


def _raised(probabilities: Array, y: Array, least: Array, ranks: list[int]) -> list[float]:
    """Raise thresholds (K,), one class after the other, while sets without gaps hold each as often as asked.

    A class is in a contiguous set where, on either side or at itself, some class is at its threshold or above
    it. What of its ratio to the threshold the asked share of its students has there, it can be raised by.
    """
    known = least > 0
    for k in np.flatnonzero(known):
        ratios = np.where(known, probabilities / np.where(known, least, 1), 0.0)
        up = np.maximum.accumulate(ratios, axis=1)[:, k]
        down = np.maximum.accumulate(ratios[:, ::-1], axis=1)[:, ::-1][:, k]
        reached = np.sort(np.minimum(up, down)[y == k])[::-1][ranks[k] - 1]
        tried = least.copy()
        tried[k] *= max(1.0, float(reached))
        least = tried if _held_by(probabilities, y, tried, ranks) else least
    return [float(one) for one in least]


def _held_by(probabilities: Array, y: Array, least: Array, ranks: list[int]) -> bool:
    """Tell whether contiguous sets hold each class that has a threshold in as many rows as asked."""
    known = least > 0
    inside = between((probabilities >= least) & known)
    held = np.bincount(y[inside[np.arange(len(y)), y]], minlength=len(least))
    return bool((held >= np.where(known, ranks, 0)).all())
