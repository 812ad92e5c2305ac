"""The demonstration year as one picture: accuracy month by month, and what the loop did about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.reports.style import ACCENT, FAINT, INK, MAIN, OKABE_ITO, SOFT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ESTIMATED, PROMOTED, KEPT = OKABE_ITO[1], OKABE_ITO[2], SOFT
ALARMS = ("drift", "loss")
APART = 0.08  # months between the two dots of one


@dataclass(frozen=True)
class Figure90:
    """A share with its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Played:
    """What became of a month. `champion` answered in it; `after` is the champion at its end."""

    name: str
    story: str
    champion: str
    after: str
    verdict: str
    estimated: Figure90 | None = None
    realised: Figure90 | None = None
    retrained: str = ""
    """The version that a retraining gave, promoted or not; empty where there was none."""
    rolled_back: bool = False
    refused: str = ""
    """Why the predictor refused to answer, if it did."""


def plot_year(months: Sequence[Played], limit: float | None = None) -> "Figure":
    """Draw estimated and realised accuracy, the champion's versions, alarms and what followed."""
    drawn = new_figure("A school year of the closed loop", 12.5, 6.4)
    accuracy, events = drawn.subplots(2, 1, sharex=True, height_ratios=(3.2, 1.5))
    _champions(accuracy, months)
    if limit is not None:
        accuracy.axhline(limit, color=SOFT, linewidth=1, linestyle=(0, (1, 2)))
        accuracy.text(len(months) - 0.45, limit, "best\npossible", color=SOFT, va="center", fontsize=8.5)
    _dots(
        accuracy, [month.estimated for month in months], -APART, ESTIMATED, "s", "estimated, without grades"
    )
    _dots(accuracy, [month.realised for month in months], APART, MAIN, "o", "realised, once grades came")
    accuracy.set(ylabel="Accuracy of the month's forecasts", xlim=(-0.6, len(months) - 0.4))
    accuracy.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    accuracy.grid(axis="x", visible=False)
    accuracy.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)
    _events(events, months)
    return drawn


def _dots(
    axes: "Axes", figures: Sequence[Figure90 | None], shift: float, color: str, marker: str, label: str
) -> None:
    places = [place for place, figure in enumerate(figures) if figure is not None]
    known = [figure for figure in figures if figure is not None]
    values = [figure.value for figure in known]
    errors = [[f.value - f.low for f in known], [f.high - f.value for f in known]]
    axes.errorbar(
        [place + shift for place in places],
        values,
        yerr=errors,
        fmt=marker,
        color=color,
        markersize=7,
        capsize=0,
        label=label,
        elinewidth=1.6,
    )


def _champions(axes: "Axes", months: Sequence[Played]) -> None:
    """Shade every other champion's months and name its version at the top."""
    start = 0
    for place in range(1, len(months) + 1):
        if place < len(months) and months[place].champion == months[start].champion:
            continue
        if start:
            axes.axvline(start - 0.5, color=FAINT, linewidth=1.2)
        text = f"version {months[start].champion}"
        axes.text(
            (start + place - 1) / 2,
            1.015,
            text,
            transform=axes.get_xaxis_transform(),
            ha="center",
            color=INK,
            fontweight="bold",
            fontsize=9.5,
        )
        start = place


def _events(axes: "Axes", months: Sequence[Played]) -> None:
    """Mark, a row each: the monitor's alarms, what retraining gave, rollbacks and refusals."""
    rows = ("Alarm", "Retraining", "By hand, or refused")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(ylim=(len(rows) - 0.4, -0.6))
    axes.tick_params(axis="y", colors=INK)
    axes.grid(axis="x", visible=False)
    for place, month in enumerate(months):
        if month.verdict in ALARMS:
            _mark(axes, place, 0, "^", ACCENT, month.verdict)
        if month.retrained:
            promoted = month.after == month.retrained
            word = "promoted" if promoted else "kept out"
            color, marker = (PROMOTED, "D") if promoted else (KEPT, "X")
            _mark(axes, place, 1, marker, color, f"v{month.retrained} {word}")
        if month.rolled_back:
            _mark(axes, place, 2, "<", OKABE_ITO[4], f"back to v{month.champion}")
        if month.refused:
            _mark(axes, place, 2, "s", INK, "file refused")
    axes.set_xticks(range(len(months)), [f"{month.name[:3]}\n{_wrapped(month.story)}" for month in months])
    axes.tick_params(axis="x", labelsize=8)


def _mark(axes: "Axes", place: int, row: int, marker: str, color: str, text: str) -> None:
    axes.plot(place, row - 0.12, marker, color=color, markersize=9)
    axes.text(place, row + 0.42, text, ha="center", fontsize=8, color=INK)


def _wrapped(story: str) -> str:
    from textwrap import fill

    return fill(story, 14)
