"""Plots of what the forecasts go by."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.columns import Column
from data.reasons import effect_in_words
from flows.reports.evidence import Evidence
from flows.reports.plot_style import ACCENT, FAINT, INK, MAIN, SOFT, bare, new_figure
from flows.reports.wording import labels_of, plural, relabelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN, ACROSS = 12, 4
LONGEST_LABEL, LONGEST_LABELS = 12, 24  # characters of one tick and of all, before they are cut or tilted
DISTINCT, PARTS = 40, 20  # a column with more distinct values is averaged in parts


def _ranked(evidence: Evidence) -> tuple[list[Column], np.ndarray]:
    """Return features and their mean absolute effects, largest first."""
    mean = np.abs(evidence.effects).mean(axis=0)
    order = np.argsort(-mean, kind="stable")
    return [evidence.contract.features[k] for k in order], mean[order]


def importance(evidence: Evidence) -> "Figure":
    """Draw the mean absolute effect of each feature."""
    columns, mean = _ranked(evidence)
    drawn = new_figure("What the forecasts go by", 8.2, 1.3 + 0.36 * len(columns))
    axes = drawn.subplots()
    places = range(len(columns))
    axes.barh(places, mean, color=MAIN, height=0.62)
    for place, value in zip(places, mean, strict=True):
        end = (value, place)
        axes.annotate(f"{value:.3f}", end, (5, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(places, [column.title for column in columns])
    axes.set_ylim(len(columns) - 0.4, -0.6)
    axes.set_xticks([])
    bare(axes)
    axes.tick_params(axis="y", colors=INK)
    axes.set_title(f"Mean size of a column's effect on a student, {effect_in_words(evidence.scale)}")
    return drawn


def effects(evidence: Evidence) -> "Figure":
    """Draw each feature's effect on the latent score against its value, the strongest first."""
    columns, _ = _ranked(evidence)
    shown = columns[:SHOWN]
    across = min(ACROSS, len(shown))
    down = -(-len(shown) // across)
    drawn = new_figure("How each column moves the forecast", 3.1 * across, 1.0 + 2.6 * down)
    panels = drawn.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axes, column in zip(panels, shown, strict=False):
        own = evidence.effects[:, evidence.contract.features.index(column)]
        _panel(axes, column, evidence.frame[column.name].iloc[: len(own)], own)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    left = len(columns) - len(shown)
    more = f" {plural(left, 'weaker column')} not shown." if left else ""
    drawn.supylabel(f"Effect {effect_in_words(evidence.scale)}", fontsize=10)
    note = f"One dot a student of the test split. Line: mean. Grey: how many students.{more}"
    drawn.supxlabel(note, fontsize=9, color=SOFT)
    return drawn


def _panel(axes: "Axes", column: Column, values: pd.Series, own: np.ndarray) -> None:
    places, width = _coded(axes, column, values) if column.coded else _measured(axes, column, values)
    known = np.isfinite(places)
    places, own = places[known], own[known]
    axes.set_title(column.title, color=INK, fontweight="bold")
    axes.tick_params(labelsize=8.5)
    axes.axhline(0, color="#AAAAAA", linewidth=1)
    if not len(places):
        return
    spread = np.random.default_rng(0).uniform(-0.7, 0.7, len(places)) * width * column.coded
    axes.plot(places + spread, own, ".", color=MAIN, alpha=0.3, markersize=4, markeredgewidth=0)
    by_place = pd.Series(own).groupby(_gathered(places))
    means, students = by_place.mean(), by_place.size()
    height = 0.2 * students / students.max()
    axes.bar(
        students.index, height, width=2 * width, color=FAINT, transform=axes.get_xaxis_transform(), zorder=0.6
    )
    if column.coded:
        axes.hlines(means, means.index - width, means.index + width, color=ACCENT, linewidth=2.5)
    else:
        axes.plot(means.index, means, color=ACCENT, linewidth=2)


def _coded(axes: "Axes", column: Column, values: pd.Series) -> tuple[np.ndarray, float]:
    """Label the codes along the axis; return each row's place on it (NaN for none) and half a bar's width."""
    labels = [_shortened(label) for label in labels_of(column.codes)]
    tilt: dict[str, Any] = {"rotation": 25, "ha": "right"} if sum(map(len, labels)) > LONGEST_LABELS else {}
    axes.set_xticks(range(len(labels)), labels, **tilt)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    places = relabelled(values, column.codes).cat.codes.to_numpy().astype(float)
    return np.where((places >= 0) & (places < len(labels)), places, np.nan), 0.34


def _measured(axes: "Axes", column: Column, values: pd.Series) -> tuple[np.ndarray, float]:
    axes.set_xlabel(column.unit or " ", fontsize=9, color=SOFT)
    places = values.to_numpy(dtype=float)
    finite = _gathered(places[np.isfinite(places)])
    distinct = np.unique(finite)
    return places, 0.4 * float(np.diff(distinct).min()) if len(distinct) > 1 else 0.4


def _gathered(places: np.ndarray) -> np.ndarray:
    """Return each place, or the middle of its part of the range where there are too many to tell apart."""
    if len(np.unique(places)) <= DISTINCT:
        return places
    low, part = places.min(), (places.max() - places.min()) / PARTS
    return low + part * (np.minimum((places - low) // part, PARTS - 1) + 0.5)


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
