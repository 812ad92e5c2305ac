"""All plots of a model: its quality, what it goes by, the groups, the search."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.bundle.answers import risk_of, risky
from data.bundle.bundle import ALIKE, BETTER, TITLES
from data.bundle.card import ACCURACY, FALSE_POSITIVE_RATE, RECALL, Audit, ComparedModel, Price
from data.bundle.manifest import FamilyName
from data.bundle.reasons import effect_in_words
from data.contract.columns import Column
from data.rows.frames import labelled, labels_of
from data.statistics import proportion_ci
from data.words import count, figure, listed, percent, plural
from flows.reports.by_day import how_early
from flows.reports.evidence import Evidence, lines_of, risks
from flows.reports.fairness import fairness_audits
from flows.reports.figures import GRID, flagging_of, risk_counts
from flows.reports.style import (
    ACCENT,
    FAINT,
    INK,
    MAIN,
    OKABE_ITO,
    SOFT,
    bare,
    class_style,
    new_figure,
    share_axes,
    side_legend,
    styled,
)
from flows.training.metrics import ECE_BINS, FEW, chosen_of, confusion_matrix

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
    from sklearn.metrics import average_precision_score

    drawn = new_figure("Precision and recall of each class", 9.2, 5.8)
    axes = drawn.subplots()
    for position, label, truth, scores in _classes(evidence, axes):
        mean = average_precision_score(truth, scores)
        name = f"{label}: {mean:.3f}  (guessing {truth.mean():.3f})"
        _precision_by_recall(axes, truth, scores, label=name, **class_style(position))
    share_axes(axes, "Recall: of this class, found", "Precision: of those forecast as it, right")
    side_legend(axes, "Average precision")
    return drawn


def _precision_by_recall(axes: "Axes", true: np.ndarray, scores: np.ndarray, **style: Any) -> None:
    """Draw the curve where it says something: once all are found precision only falls."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(true, scores)
    some = slice(np.flatnonzero(recall == 1)[-1], np.flatnonzero(recall > 0)[-1] + 1)
    axes.plot(recall[some], precision[some], linewidth=2, drawstyle="steps-post", **style)


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
    risk, true = risks(evidence)
    share_axes(axes, "Recall: of those who ended at risk, called", "Precision: of those called, ended so")
    if true.all() or not true.any():
        axes.set_title("Not drawn: all test students ended alike")
        return
    _precision_by_recall(axes, true, risk, color=MAIN)
    axes.axhline(true.mean(), color=FAINT, linewidth=1.5)
    axes.annotate(f"guessing {percent(true.mean())}", (0, true.mean()), (4, 4), color=SOFT, ha="left",
                  textcoords="offset points", fontsize=9)  # fmt: skip
    axes.set_title("On the test split")
    flagged = risk >= threshold
    if flagged.any():
        _mark(axes, flagged[true].mean(), true[flagged].mean(), f"from {percent(threshold)} on")


def _costs(axes: "Axes", evidence: Evidence, price: Price, threshold: float) -> None:
    target, (probabilities, y) = evidence.contract.target, evidence.pooled
    if target.costs is None:
        return
    own = risk_counts(risk_of(probabilities, target), risky(target)[y]).cost(target.costs)
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
        _effect_panel(axes, column, evidence.frame[column.name].iloc[: len(own)], own)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    left = len(columns) - len(shown)
    more = f" {plural(left, 'weaker column')} not shown." if left else ""
    drawn.supylabel(f"Effect {effect_in_words(evidence.scale)}", fontsize=10)
    note = f"One dot a student of the test split. Line: mean. Grey: how many students.{more}"
    drawn.supxlabel(note, fontsize=9, color=SOFT)
    return drawn


def _effect_panel(axes: "Axes", column: Column, values: pd.Series, own: np.ndarray) -> None:
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
    places = labelled(values, column.codes, str).cat.codes.to_numpy().astype(float)
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


DRAWN = {
    RECALL: "Found, of those at risk",
    FALSE_POSITIVE_RATE: "False alarms, of the others",
    ACCURACY: "Right class",
}
COLORS = {RECALL: MAIN, FALSE_POSITIVE_RATE: ACCENT, ACCURACY: OKABE_ITO[2]}


def fairness(evidence: Evidence) -> "Figure":
    """Draw found, false alarms and accuracy of each group of the audited columns, with 90 % intervals."""
    audits = fairness_audits(evidence)
    lines = [(audit, group) for audit in audits for group in audit.groups]
    drawn = new_figure("Fair to all? Each group of the test students", 11, 1.6 + 0.34 * len(lines))
    panels = drawn.subplots(1, len(DRAWN), sharey=True)
    for axes, name in zip(panels, DRAWN, strict=True):
        _rate_panel(axes, audits, name)
    titles = {audit.column: evidence.contract.columns[audit.column].title for audit in audits}
    panels[0].set_yticks(
        range(len(lines)),
        [f"{titles[a.column]}: {g.wrong.label}  ({count(g.wrong.n)})" for a, g in lines],
    )
    panels[0].invert_yaxis()
    drawn.supxlabel("Bars: 90 % intervals. Nothing is drawn of too few students.", fontsize=9, color=SOFT)
    return drawn


def _rate_panel(axes: "Axes", audits: tuple[Audit, ...], name: str) -> None:
    share_axes(axes, "", "")
    axes.yaxis.set_major_formatter(lambda _, __: "")
    axes.set_title(DRAWN[name])
    rates = [group.rate(name) for audit in audits for group in audit.groups]
    for place, rate in enumerate(rates):
        if rate is None or rate.value is None:
            continue
        if rate.low is not None and rate.high is not None:
            axes.plot([rate.low, rate.high], [place, place], color=COLORS[name], alpha=0.45, linewidth=3)
        axes.plot(rate.value, place, "o", color=COLORS[name], markersize=7, markeredgecolor="white")
    axes.set_ylim(-0.6, len(rates) - 0.4)


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
    best = int(chosen_of(board).index[0])
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


def _named(line: ComparedModel) -> str:
    said = "chosen" if line.chosen else line.comparison if line.comparison in (BETTER, ALIKE) else ""
    return f"{line.name}  ({said})" if said else line.name


def _dots(axes: "Axes", lines: list[ComparedModel], values: list[float], title: str) -> None:
    axes.set_title(f"{title}; cross-validated")
    span = max(values) - min(values) or 1.0
    axes.set_xlim(min(values) - 0.08 * span, max(values) + 0.22 * span)
    axes.hlines(range(len(lines)), *axes.get_xlim(), color=FAINT, linewidth=1)
    for place, (line, value) in enumerate(zip(lines, values, strict=True)):
        color = MAIN if line.chosen else OKABE_ITO[1] if line.comparison in (BETTER, ALIKE) else "#888888"
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


QUALITY = (reliability, confusion, roc, precision_recall, at_risk)
GOES_BY = (importance, effects)


def plots_of(evidence: Evidence) -> list[Callable[[Evidence], "Figure"]]:
    """Return the plots that the evidence allows."""
    draw: list[Callable[[Evidence], Figure]] = [how_early] if evidence.days else []
    draw += QUALITY if len(evidence.y) else ()
    draw += [fairness] if len(evidence.y) and fairness_audits(evidence) else []
    draw += GOES_BY if evidence.effects.size else ()
    draw += [candidates] if len(evidence.candidates) else []
    draw += [leaderboard] if len(evidence.leaderboard) else []
    return draw


def write_plots(evidence: Evidence, folder: Path) -> list[Path]:
    """Write every plot that the evidence allows as PNG, and return their paths."""
    written = []
    with styled():
        for plot in plots_of(evidence):
            path = folder / f"{plot.__name__}.png"
            plot(evidence).savefig(path, facecolor="white")
            written.append(path)
    return written
