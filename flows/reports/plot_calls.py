"""The plot of who is called at risk: precision and recall with the threshold, and what each one costs."""

from typing import TYPE_CHECKING

import numpy as np

from data.card_calls import Price
from data.card_sentences import percent
from flows.reports.calls import GRID, calls_of, tally_of
from flows.reports.evidence import Evidence
from flows.reports.groups import risk_of, risks, risky
from flows.reports.plot_style import ACCENT, FAINT, INK, MAIN, SOFT, new_figure, share_axes
from flows.reports.wording import figure, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def at_risk(evidence: Evidence) -> "Figure":
    """Draw precision against recall of calling at risk, the threshold marked, and the costs where named."""
    calls = calls_of(evidence)
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
