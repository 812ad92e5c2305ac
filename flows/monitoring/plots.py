"""The monitor's two plots: accuracy over past windows, and how far each column is from its limit."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flows.gates import stattests
from flows.gates.findings import DRIFT, Finding
from flows.monitoring.judgement import LOSS
from flows.reports.plot_style import ACCENT, FAINT, MAIN, SOFT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[dict[str, Any]]
NEAREST, FARTHEST = 1e-3, 1e4
DISTANCES = [
    stattests.TITLES[name] for name in (stattests.RISE, stattests.WASSERSTEIN, stattests.JENSEN_SHANNON)
]


def accuracy_over_time(history: Rows) -> "Figure":
    """Draw estimated and realised accuracy of measured windows, with alarms and changes of champion.

    `history` holds rows of the table `measurements`, oldest first.
    """
    drawn = new_figure("Accuracy, estimated and realised", 10, 4.6)
    axes = drawn.subplots()
    estimated, realised = (_of(history, name) for name in ("estimated_accuracy", "realised_accuracy"))
    if estimated:
        when = [row["until"] for row in estimated]
        low, high = ([row[end] for row in estimated] for end in ("low", "high"))
        axes.fill_between(when, low, high, color=MAIN, alpha=0.15, linewidth=0)
        values = [row["value"] for row in estimated]
        axes.plot(when, values, "--", color=MAIN, linewidth=2, label="estimated, without grades (band: 90 %)")
    if realised:
        values = [row["value"] for row in realised]
        below = [row["value"] - row["low"] for row in realised]
        above = [row["high"] - row["value"] for row in realised]
        axes.errorbar([row["until"] for row in realised], values, (below, above), fmt="o-", color=ACCENT,
                      capsize=3, linewidth=2, label="realised (bars: 90 %)")  # fmt: skip
    _mark_alarms(axes, history)
    _mark_versions(axes, history)
    axes.set(xlabel="End of the window", ylabel="Accuracy")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    drawn.autofmt_xdate()
    if axes.get_legend_handles_labels()[0]:
        drawn.legend(loc="outside lower center", ncols=4, fontsize=9)
    return drawn


def drift_by_column(findings: Sequence[Finding]) -> "Figure":
    """Draw by how many times each finding exceeds its limit; to the right of 1 it has drifted."""
    tested = [found for found in findings if found.score is not None and found.threshold]
    ranked = sorted(tested, key=excess)
    drawn = new_figure("How far from its limit", 10, 1.6 + 0.28 * max(len(ranked), 1))
    axes = drawn.subplots()
    for place, found in enumerate(ranked):
        far = found.verdict == DRIFT
        axes.plot([1, excess(found)], [place, place], color=ACCENT if far else FAINT, linewidth=2)
        axes.plot(excess(found), place, "s" if far else "o", color=ACCENT if far else MAIN)
    axes.axvline(1, color=SOFT, linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(ranked)), [found.name for found in ranked])
    axes.set(
        xlabel="Limit ÷ p-value, or distance ÷ limit; a square, right of 1: drifted",
        ylim=(-0.7, len(ranked) - 0.3),
    )
    return drawn


def excess(found: Finding) -> float:
    """Return how many times a finding exceeds its limit, between 0.001 and 10,000; below 1 it does not."""
    score, limit = float(found.score or 0.0), float(found.threshold or 1.0)
    times = score / limit if found.test in DISTANCES else limit / max(score, limit / FARTHEST)
    return min(max(times, NEAREST), FARTHEST)


def _of(history: Rows, name: str) -> list[dict[str, Any]]:
    return [row for row in history if row["name"] == name and row["value"] is not None]


def _mark_alarms(axes: "Axes", history: Rows) -> None:
    for verdict, color, style in ((DRIFT, SOFT, ":"), (LOSS, ACCENT, "-.")):
        alarms = [
            row["until"] for row in history if (row["name"], row["verdict"]) == ("drift_share", verdict)
        ]
        for number, when in enumerate(alarms):
            axes.axvline(when, color=color, linestyle=style, label=None if number else f"alarm: {verdict}")


def _mark_versions(axes: "Axes", history: Rows) -> None:
    """Name the champion where it is another than before, above the axes."""
    last: str | None = None
    for row in (row for row in history if row["name"] == "drift_share"):
        if row["model_version"] != last:
            last = row["model_version"]
            when: datetime = row["until"]
            axes.annotate(f"v{last}", (when, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
                          textcoords="offset points", ha="center", fontsize=9, color=SOFT)  # fmt: skip
