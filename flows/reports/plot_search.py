"""Plots of what the model was chosen from."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from data.card import Rival
from data.manifest import FamilyName
from data.model_words import ALIKE, BETTER, TITLES
from flows.reports.evidence import Evidence
from flows.reports.leaderboard import lines_of
from flows.reports.plot_style import FAINT, INK, MAIN, OKABE_ITO, new_figure
from flows.reports.wording import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


DEPTHS = ("max_depth", "depth")


def candidates(evidence: Evidence) -> "Figure":
    """Draw the cross-validated log loss of every candidate by kind and, within a kind, by rounds."""
    board = evidence.candidates.sort_values("rounds", kind="stable").reset_index(drop=True)
    drawn = new_figure(f"The grid: {plural(len(board), 'candidate')}", 8.6, 5.2)
    axes = drawn.subplots()
    kinds = _kinds(board)
    names = list(dict.fromkeys(kinds.sort_values(key=lambda named: named.map(_in_order))))
    ranks = board.groupby(kinds)["rounds"].rank(method="first", pct=True)
    places = kinds.map(names.index) + 0.7 * (ranks - 0.5)
    dots = axes.scatter(
        places, board["cv_log_loss"], c=board["rounds"], cmap="viridis_r", s=42, edgecolor="white"
    )
    drawn.colorbar(dots, ax=axes, label="Rounds", shrink=0.6, aspect=16).outline.set_visible(False)
    best = int(board["cv_log_loss"].argmin())
    axes.plot(places[best], board["cv_log_loss"][best], "o", markersize=15, markerfacecolor="none", color=INK)
    axes.set_xticks(range(len(names)), [_shown(name) for name in names])
    axes.set(xlabel="Family and depth of its trees; within one, more rounds to the right")
    axes.set(xlim=(-0.6, len(names) - 0.4), ylabel="Cross-validated log loss, lower is better")
    axes.grid(axis="x", visible=False)
    varies = (
        f", {board['cv_log_loss_std'][best]:.3f} between folds (one sd)" if "cv_log_loss_std" in board else ""
    )
    axes.set_title(f"Ringed, the chosen one: {board['cv_log_loss'][best]:.4f}{varies}")
    return drawn


def _kinds(board: pd.DataFrame) -> "pd.Series[Any]":
    """Return each candidate's family and the depth of its trees, 0 where it has none."""
    depths = board.reindex(columns=list(DEPTHS)).max(axis=1).fillna(0)
    families = board["family"] if "family" in board else ["xgboost"] * len(board)
    return pd.Series([*zip(families, depths, strict=True)], index=board.index)


def _in_order(kind: tuple[FamilyName, float]) -> tuple[int, float]:
    return list(TITLES).index(kind[0]), kind[1]


def _shown(kind: tuple[FamilyName, float]) -> str:
    family, depth = kind
    return f"{TITLES[family]}\ndepth {depth:g}" if depth else TITLES[family].replace(" ", "\n")


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


def _named(line: Rival) -> str:
    said = "chosen" if line.chosen else line.standing if line.standing in (BETTER, ALIKE) else ""
    return f"{line.name}  ({said})" if said else line.name


def _dots(axes: "Axes", lines: list[Rival], values: list[float], title: str) -> None:
    axes.set_title(f"{title}; cross-validated")
    span = max(values) - min(values) or 1.0
    axes.set_xlim(min(values) - 0.08 * span, max(values) + 0.22 * span)
    axes.hlines(range(len(lines)), *axes.get_xlim(), color=FAINT, linewidth=1)
    for place, (line, value) in enumerate(zip(lines, values, strict=True)):
        color = MAIN if line.chosen else OKABE_ITO[1] if line.standing in (BETTER, ALIKE) else "#888888"
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
