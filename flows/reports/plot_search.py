"""Plots of what the model was chosen from."""

from typing import TYPE_CHECKING

from flows.reports.evidence import Evidence
from flows.reports.leaderboard import Line, lines_of
from flows.reports.plot_style import FAINT, INK, MAIN, OKABE_ITO, new_figure
from flows.reports.wording import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def candidates(evidence: Evidence) -> "Figure":
    """Draw the cross-validated log loss of every candidate by depth and, within a depth, by rounds."""
    board = evidence.candidates.sort_values("rounds", kind="stable").reset_index(drop=True)
    drawn = new_figure(f"The grid: {plural(len(board), 'candidate')}", 8.6, 5.2)
    axes = drawn.subplots()
    depths = sorted(board["max_depth"].unique())
    ranks = board.groupby("max_depth")["rounds"].rank(method="first", pct=True)
    places = board["max_depth"].map(depths.index) + 0.7 * (ranks - 0.5)
    dots = axes.scatter(
        places, board["cv_log_loss"], c=board["rounds"], cmap="viridis_r", s=42, edgecolor="white"
    )
    drawn.colorbar(dots, ax=axes, label="Rounds (trees)", shrink=0.6, aspect=16).outline.set_visible(False)
    best = int(board["cv_log_loss"].argmin())
    axes.plot(places[best], board["cv_log_loss"][best], "o", markersize=15, markerfacecolor="none", color=INK)
    axes.set_xticks(range(len(depths)), [f"{depth:g}" for depth in depths])
    axes.set(xlabel="Depth of a tree; within a depth, more rounds to the right")
    axes.set(xlim=(-0.6, len(depths) - 0.4), ylabel="Cross-validated log loss, lower is better")
    axes.grid(axis="x", visible=False)
    varies = (
        f", {board['cv_log_loss_std'][best]:.3f} between folds (one sd)" if "cv_log_loss_std" in board else ""
    )
    axes.set_title(f"Ringed, the chosen one: {board['cv_log_loss'][best]:.4f}{varies}")
    return drawn


def leaderboard(evidence: Evidence) -> "Figure":
    """Draw log loss and accuracy of the chosen model beside the baselines, on the same folds."""
    lines = lines_of(evidence.leaderboard)
    drawn = new_figure("Beside simpler and usual models", 10, 1.7 + 0.42 * len(lines))
    losses, accuracies = drawn.subplots(1, 2, sharey=True)
    _dots(losses, lines, [line.log_loss for line in lines], "Log loss, lower is better")
    _dots(accuracies, lines, [line.accuracy for line in lines], "Accuracy, higher is better")
    losses.set_yticks(range(len(lines)), [_named(line) for line in lines])
    losses.tick_params(axis="y", colors=INK)
    losses.invert_yaxis()
    return drawn


def _named(line: Line) -> str:
    return f"{line.name}  ({line.mark})" if line.mark else line.name


def _dots(axes: "Axes", lines: list[Line], values: list[float], title: str) -> None:
    axes.set_title(f"{title}; cross-validated")
    span = max(values) - min(values) or 1.0
    axes.set_xlim(min(values) - 0.08 * span, max(values) + 0.22 * span)
    axes.hlines(range(len(lines)), *axes.get_xlim(), color=FAINT, linewidth=1)
    for place, (line, value) in enumerate(zip(lines, values, strict=True)):
        color = MAIN if line.chosen else OKABE_ITO[1] if line.as_good else "#888888"
        axes.plot(value, place, "D" if line.chosen else "o", color=color, markersize=9)
        axes.annotate(
            f"{value:.3f}",
            (value, place),
            (10, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            fontweight="bold" if line.chosen else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    axes.grid(axis="y", visible=False)
