"""What a model is judged by, from probabilities (n, K) and classes (n,), 0 = best.

Every figure copes with a class that has no row. Names are the registry's, without a prefix.
"""

import numpy as np
from scipy.stats import rankdata

from flows.training.data import Folds
from flows.training.ordinal import row_losses

FEW = 10  # rows: a class with fewer gets no figure of its own
ECE_BINS = 10

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
    precision, recall, f1 = precision_recall_f1(confusion)
    rows = confusion.sum(axis=1)
    table = {}
    for k, label in enumerate(labels):
        figures = {"precision": precision[k], "recall": recall[k], "f1": f1[k]}
        few = rows[k] < FEW
        table[label] = {n: float("nan") if few else float(v) for n, v in figures.items()}
        table[label]["n"] = int(rows[k])
    return table


def oof_figures(probabilities: Array, y: Array, folds: Folds) -> dict[str, float]:
    """Return the leaderboard's figures of pooled out-of-fold probabilities, and the spread of folds."""
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
    """Return Cohen's kappa with quadratic weights; 1 where truth and forecast are one same class."""
    classes = confusion.shape[-1]
    weights = (np.arange(classes)[:, None] - np.arange(classes)) ** 2
    n = confusion.sum(axis=(-2, -1))
    chance = confusion.sum(axis=-1)[..., :, None] * confusion.sum(axis=-2)[..., None, :]
    observed = (weights * confusion).sum(axis=(-2, -1)) * n
    expected = (weights * chance).sum(axis=(-2, -1))
    return 1.0 - np.where(expected > 0, observed / np.where(expected > 0, expected, 1), 0.0)


def calibration_error(probabilities: Array, y: Array) -> float:
    """Return the top-label expected calibration error over 10 bins of equal width."""
    return chance_error(*of_likeliest(probabilities, y))


def of_likeliest(probabilities: Array, y: Array) -> tuple[Array, Array]:
    """Return how sure each forecast was of its likeliest class (n,), and whether that came (n,)."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == y


def chance_error(said: Array, came: Array) -> float:
    """Return how far chances (n,) were from how often what they are of came (n,), mean of 10 equal bins."""
    return float(np.abs(bin_gaps(said, came)).sum())


def bin_gaps(said: Array, came: Array) -> Array:
    """Return by bin what came less what was said, each as a share of all rows (10,)."""
    bins = np.minimum((said * ECE_BINS).astype(int), ECE_BINS - 1)
    return np.bincount(bins, came - said, minlength=ECE_BINS) / len(said)


def roc_auc_ovr(probabilities: Array, y: Array) -> float:
    """Return the mean one-against-rest ROC AUC over classes with and without rows; NaN if none."""
    areas = [_auc(probabilities[:, k], y == k) for k in range(probabilities.shape[1])]
    known = [area for area in areas if not np.isnan(area)]
    return float(np.mean(known)) if known else float("nan")


def _auc(scores: Array, positive: Array) -> float:
    """Return the share of (positive, negative) pairs in order, ties half (Mann-Whitney)."""
    up, down = int(positive.sum()), int((~positive).sum())
    if not up or not down:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - up * (up + 1) / 2) / (up * down))
