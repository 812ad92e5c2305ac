"""Plots of quality: confusion, calibration, ranking, thresholds."""

from typing import TYPE_CHECKING

import numpy as np

from data.bundle.answers import risk_of, risky
from data.bundle.card import Price
from data.statistics import proportion_ci
from data.words import count, figure, listed, percent, plural
from flows.reports.evidence import Evidence, risks
from flows.reports.figures import GRID, flagging_of, tally_of
from flows.reports.style import (
    ACCENT,
    FAINT,
    INK,
    MAIN,
    SOFT,
    bare,
    class_style,
    new_figure,
    share_axes,
    side_legend,
)
from flows.training.metrics import ECE_BINS, FEW, confusion_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def reliability(evidence: Evidence) -> "Figure":
    """Draw how often forecasts came true against how sure they were, with counts and 95 % intervals."""
    error, of_risk = (figure(evidence.metrics.get(name)) for name in ("test_ece", "test_ece_at_risk"))
    title = f"Reliability on the test split: calibration error {error}, of being at risk {of_risk}"
    drawn = new_figure(title, 10, 5.6)
    panels = drawn.subplots(2, 2, height_ratios=[4, 1], sharex=True)
    sure = evidence.probabilities.max(axis=1)
    right = evidence.probabilities.argmax(axis=1) == evidence.y
    _reliability_panel(panels[:, 0], sure, right, MAIN)
    panels[0, 0].set(ylabel="Was right", title="The most probable class")
    panels[1, 0].set(xlabel="How sure it was", ylabel="Students")
    _reliability_panel(panels[:, 1], *risks(evidence), ACCENT)
    panels[0, 1].set(ylabel="Ended so", title=f"At risk: {listed(evidence.contract.target.at_risk)}")
    panels[1, 1].set(xlabel="Forecast probability")
    drawn.supxlabel(f"Bars: 95 % intervals. Hollow: fewer than {FEW} students.", fontsize=9, color=SOFT)
    return drawn


def _reliability_panel(panels: np.ndarray, forecast: np.ndarray, came: np.ndarray, color: str) -> None:
    above, below = panels
    share_axes(above, "", "")
    above.plot([0, 1], [0, 1], color=FAINT, linewidth=1.5, zorder=1)
    bins = np.minimum((forecast * ECE_BINS).astype(int), ECE_BINS - 1)
    counts = np.bincount(bins, minlength=ECE_BINS).tolist()
    for number in np.unique(bins):
        share, x = proportion_ci(came[bins == number]), forecast[bins == number].mean()
        few = share.n < FEW
        above.plot([x, x], [share.low, share.high], color=color, alpha=0.2 if few else 0.45, linewidth=2.5)
        above.plot(x, share.share, "o", markersize=7, markerfacecolor="white" if few else color,
                   markeredgecolor=color if few else "white")  # fmt: skip
    middles = (np.arange(ECE_BINS) + 0.5) / ECE_BINS
    below.bar(middles, counts, width=0.85 / ECE_BINS, color=color, alpha=0.45)
    for x, number in zip(middles, counts, strict=True):
        text = count(number) if number else ""
        below.annotate(text, (x, number), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    below.set(ylim=(0, 1.35 * max(*counts, 1)), yticks=[])
    below.grid(False)


def confusion(evidence: Evidence) -> "Figure":
    """Draw forecast against true classes: counts, and the share of each true class."""
    labels = evidence.contract.target.labels
    counts = confusion_matrix(evidence.probabilities, evidence.y)
    rows = counts.sum(axis=1)
    shares = counts / np.maximum(rows, 1)[:, None]
    size = 3.2 + 0.85 * len(labels)
    drawn = new_figure("What was forecast, and what came", size + 0.8, size)
    axes = drawn.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for true, forecast in np.ndindex(*counts.shape):
        _confusion_cell(axes, forecast, true, int(counts[true, forecast]), shares[true, forecast])
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(
        range(len(labels)),
        [f"{label}  ({plural(n, 'student')})" for label, n in zip(labels, rows.tolist(), strict=True)],
    )
    axes.set(xlabel="Forecast class", ylabel="True class")
    axes.set_title("Students, and the share of their true class")
    axes.tick_params(colors=INK)
    bare(axes)
    return drawn


def _confusion_cell(axes: "Axes", x: int, y: int, number: int, share: float) -> None:
    ink = "white" if share > 0.55 else INK if number else "#AAAAAA"
    lines = [(count(number), 11, 5)] + ([(percent(share), 8.5, -9)] if number else [])
    for text, size, up in lines:
        axes.annotate(
            text,
            (x, y),
            (0, up),
            textcoords="offset points",
            ha="center",
            va="center",
            color=ink,
            fontsize=size,
            fontweight="bold" if x == y else "normal",
        )


def roc(evidence: Evidence) -> "Figure":
    """Draw the ROC curve of each class against the rest."""
    from sklearn.metrics import auc, roc_curve

    area = figure(evidence.metrics.get("test_roc_auc_ovr"))
    drawn = new_figure(f"ROC, each class against the rest: mean area {area}", 9.2, 5.8)
    axes = drawn.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.5)
    for position, label, truth, scores in _classes(evidence, axes):
        false_rate, true_rate, _ = roc_curve(truth, scores)
        name = f"{label}: {auc(false_rate, true_rate):.3f}  ({plural(int(truth.sum()), 'student')})"
        axes.plot(false_rate, true_rate, label=name, linewidth=2, **class_style(position))
    share_axes(axes, "Of all others, wrongly forecast as this class", "Of this class, forecast as it")
    side_legend(axes, "Area under the curve")
    return drawn


def precision_recall(evidence: Evidence) -> "Figure":
    """Draw precision against recall of each class; a class's share of students is what guessing gives."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    drawn = new_figure("Precision and recall of each class", 9.2, 5.8)
    axes = drawn.subplots()
    for position, label, truth, scores in _classes(evidence, axes):
        precision, recall, _ = precision_recall_curve(truth, scores)
        mean = average_precision_score(truth, scores)
        # Where all are found already precision only falls; where none is found it has no meaning.
        drawn_part = slice(np.flatnonzero(recall == 1)[-1], np.flatnonzero(recall > 0)[-1] + 1)
        style = class_style(position)
        name = f"{label}: {mean:.3f}  (guessing {truth.mean():.3f})"
        axes.plot(
            recall[drawn_part],
            precision[drawn_part],
            label=name,
            linewidth=2,
            drawstyle="steps-post",
            **style,
        )
    share_axes(axes, "Recall: of this class, found", "Precision: of those forecast as it, right")
    side_legend(axes, "Average precision")
    return drawn


def _classes(evidence: Evidence, axes: "Axes") -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """Return position, label, truth (n,) and probability (n,) of the classes that can be drawn."""
    drawable, absent = [], []
    for position, label in enumerate(evidence.contract.target.labels):
        truth = evidence.y == position
        if truth.any() and not truth.all():
            drawable.append((position, label, truth, evidence.probabilities[:, position]))
        else:
            absent.append(label)
    axes.set_title(f"Not drawn, being all or none: {listed(absent)}" if absent else "On the test split")
    return drawable


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def at_risk(evidence: Evidence) -> "Figure":
    """Draw precision against recall of calling at risk, the threshold marked, and the costs where named."""
    calls = flagging_of(evidence)
    area = figure(calls.average_precision.value)
    named = listed(evidence.contract.target.at_risk)
    drawn = new_figure(f"Called at risk ({named}): average precision {area}", 10, 4.8)
    panels = drawn.subplots(1, 2 if calls.price else 1, squeeze=False)[0]
    _curve(panels[0], evidence, calls.threshold)
    if calls.price:
        _costs(panels[1], evidence, calls.price, calls.threshold)
    return drawn


def _curve(axes: "Axes", evidence: Evidence, threshold: float) -> None:
    from sklearn.metrics import precision_recall_curve

    risk, true = risks(evidence)
    share_axes(axes, "Recall: of those who ended at risk, called", "Precision: of those called, ended so")
    if true.all() or not true.any():
        axes.set_title("Not drawn: all test students ended alike")
        return
    precision, recall, _ = precision_recall_curve(true, risk)
    some = slice(np.flatnonzero(recall == 1)[-1], np.flatnonzero(recall > 0)[-1] + 1)
    axes.plot(recall[some], precision[some], color=MAIN, linewidth=2, drawstyle="steps-post")
    axes.axhline(true.mean(), color=FAINT, linewidth=1.5)
    axes.annotate(f"guessing {percent(true.mean())}", (0, true.mean()), (4, 4), color=SOFT, ha="left",
                  textcoords="offset points", fontsize=9)  # fmt: skip
    axes.set_title("On the test split")
    called = risk >= threshold
    if called.any():
        _mark(axes, called[true].mean(), true[called].mean(), f"from {percent(threshold)} on")


def _costs(axes: "Axes", evidence: Evidence, price: Price, threshold: float) -> None:
    target, (probabilities, y) = evidence.contract.target, evidence.pooled
    if target.costs is None:
        return
    own = tally_of(risk_of(probabilities, target), risky(target)[y]).cost(target.costs)
    axes.plot(np.arange(GRID + 1) / GRID, own[: GRID + 1], color=MAIN, linewidth=2)
    best = price.best_threshold
    if best.low is not None and best.high is not None:
        axes.axvspan(best.low, best.high, color=FAINT, alpha=0.5, linewidth=0)
    axes.set(xlabel="Called at risk from this probability on", ylabel="Cost per 100 students", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(lambda share, _: percent(share))
    axes.set_title("Out of fold; shaded: the cheapest, 90 % of resamples")
    _mark(axes, threshold, price.pooled.value or 0.0, f"from {percent(threshold)} on")


def _mark(axes: "Axes", x: float, y: float, said: str) -> None:
    axes.plot(x, y, "o", color=ACCENT, markersize=9, markeredgecolor="white")
    axes.annotate(said, (x, y), (8, 10), textcoords="offset points", color=INK, fontsize=9)
