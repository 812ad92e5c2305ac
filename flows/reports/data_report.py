"""The data report: a page on the records as they came, column by column."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from data.contract.columns import Codes, Column
from data.contract.contract import Contract
from data.rows.frames import labelled, within_reach
from data.words import count, figure, plural
from flows.reports.style import OKABE_ITO

SAMPLE_ROWS = 20_000
PARTS = 30  # bars of a number's histogram
TENTHS = 10
UNKNOWN, NO_CLASS = "unknown code", "no known class"


@dataclass(frozen=True)
class ColumnView:
    """One column as shown: `series` holds numbers (finite or NaN), or categories in the contract's order.

    `allowed` is the contract's range, `fence` 1.5 interquartile ranges beyond the quartiles; both None
    for coded columns, and `fence` where there is no value.
    """

    title: str
    about: str
    series: pd.Series
    allowed: tuple[float, float] | None
    fence: tuple[float, float] | None

    @property
    def coded(self) -> bool:
        """Whether the values are categories."""
        return self.allowed is None

    @property
    def labels(self) -> list[str]:
        """The categories in their order."""
        return [str(label) for label in self.series.cat.categories]


def views_of(parsed: pd.DataFrame, contract: Contract) -> list[ColumnView]:
    """Return the target, then features, audit columns and the score as shown; ids are left out."""
    target = contract.target
    classes = _named(parsed[target.column], target.classes, NO_CLASS)
    views = [ColumnView(_plain(target.title), "target", classes, None, None)]
    for column in (*contract.asked, *([contract.score] if contract.score else [])):
        if column.name in parsed:
            titled = _plain(f"{column.title} ({column.unit})" if column.unit else column.title)
            taken = titled in {view.title for view in views}
            views.append(_view(parsed[column.name], column, f"{titled}, {column.name}" if taken else titled))
    return views


def _view(series: pd.Series, column: Column, title: str) -> ColumnView:
    about = f"{column.role}, {column.kind}"
    if column.coded:
        return ColumnView(title, about, _named(series, column.codes, UNKNOWN), None, None)
    numbers = series.astype(float)
    finite = within_reach(numbers)
    low = -np.inf if column.min is None else column.min
    high = np.inf if column.max is None else column.max
    return ColumnView(title, about, finite, (low, high), _fence(finite))


def _fence(values: pd.Series) -> tuple[float, float] | None:
    if not values.notna().any():
        return None
    low, high = values.quantile([0.25, 0.75])
    return low - 1.5 * (high - low), high + 1.5 * (high - low)


def _named(series: pd.Series, codes: Codes, otherwise: str) -> pd.Series:
    """Return labels for codes, and one word for all that is none."""
    named = labelled(series, codes, lambda _: otherwise)
    return named.cat.rename_categories([_plain(label) for label in named.cat.categories])


def _plain(text: str) -> str:
    """Keep a text from ending the script that the report carries it in."""
    return text.replace("<", "‹")


def association(view: ColumnView, target: ColumnView) -> float:
    """Return how much a column and the target go together: Cramér's V, corrected for bias; NaN if unknown.

    Numbers are taken in tenths. Bergsma 2013, "A bias-correction for Cramér's V and Tschuprow's T".
    """
    values = view.series if view.coded else pd.qcut(view.series, TENTHS, duplicates="drop")
    counts = pd.crosstab(values, target.series).to_numpy()
    n, (rows, columns) = counts.sum(), counts.shape
    if min(rows, columns) < 2 or n < 2:
        return float("nan")
    squared = chi2_contingency(counts, correction=False).statistic / n
    corrected = max(0.0, squared - (rows - 1) * (columns - 1) / (n - 1))
    side = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1))
    return float(np.sqrt(corrected / (side - 1)))


def figure_by_class(view: ColumnView, target: ColumnView, *, ordered: bool) -> dict[str, Any]:
    """Return a plotly figure as a dict: rows by value, stacked by class, as counts or as shares."""
    places, names = _places(view)
    classes = target.series.cat.codes.to_numpy()
    bars = []
    for position, label in enumerate(target.labels):
        counts = np.bincount(places[(classes == position) & (places >= 0)], minlength=len(names))
        color = _color(position, len(target.labels), ordered=ordered)
        bars.append(
            {"type": "bar", "name": label, "x": names, "y": counts.tolist(), "marker": {"color": color}}
        )
    return {"data": bars, "layout": _layout(target.title)}


def _places(view: ColumnView) -> tuple[np.ndarray, list[Any]]:
    """Return each row's bar (-1 for none) and the name or middle of each bar."""
    if view.coded:
        return view.series.cat.codes.to_numpy().astype(int), view.labels
    places, distinct = pd.factorize(view.series, sort=True)
    if len(distinct) <= PARTS:
        return places, distinct.tolist()
    parts, edges = pd.cut(view.series, PARTS, labels=False, retbins=True)
    return parts.fillna(-1).to_numpy(dtype=int), ((edges[1:] + edges[:-1]) / 2).tolist()


def _color(position: int, classes: int, *, ordered: bool) -> str:
    """Return a class's colour; of ordered ones the best is the lightest."""
    if not ordered:
        return OKABE_ITO[position % len(OKABE_ITO)]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps["viridis_r"](position / max(classes - 1, 1)))


def _layout(legend: str) -> dict[str, Any]:
    buttons = [
        {"label": label, "method": "relayout", "args": [{"barnorm": norm, "yaxis.title.text": title}]}
        for label, norm, title in (("rows", "", "Rows"), ("shares", "percent", "Share, %"))
    ]
    return {
        "barmode": "stack",
        "bargap": 0.12,
        "plot_bgcolor": "white",
        "legend": {"title": {"text": legend}, "traceorder": "normal"},
        "xaxis": {"automargin": True},
        "yaxis": {"title": {"text": "Rows"}, "gridcolor": "#eeeeee", "automargin": True},
        "margin": {"l": 40, "r": 10, "t": 40, "b": 30},
        "updatemenus": [{"type": "buttons", "direction": "right", "x": 0, "xanchor": "left", "y": 1.02,
                         "yanchor": "bottom", "buttons": buttons}],
    }  # fmt: skip


Faults = Mapping[tuple[str, str], int]
"""Rows by reason of quarantine and column."""


def write_sample_report(
    sample: pd.DataFrame, rows: int, bad: int, faults: Faults, contract: Contract, path: Path
) -> None:
    """Write the report on a sample of `rows` rows that were read, of which `bad` are in quarantine.

    `faults` has the rows by reason and column, all of them counted.
    """
    views = views_of(sample, contract)
    strengths = {view.title: association(view, views[0]) for view in views[1:]}
    tables = [*_quarantine_table(faults, contract), _strength_table(views[0], strengths)]
    overview = _overview(views, rows, bad, tables, contract)
    cards = _cards(views, strengths, ordered=contract.target.ordered)
    path.write_text(_html(views, overview, cards), encoding="utf-8")


def _html(views: list[ColumnView], overview: dict[str, Any], cards: list[dict[str, Any]]) -> str:
    """Run Evidently, which takes seconds to import, and render its report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Evidently's own imports
        from evidently import DataDefinition, Dataset, Report

        from flows.reports.evidently_cards import ColumnCard, Overview

    frame = pd.DataFrame({view.title: view.series.astype(object if view.coded else float) for view in views})
    definition = DataDefinition(
        categorical_columns=[view.title for view in views if view.coded],
        numerical_columns=[view.title for view in views if not view.coded],
    )
    metrics = [Overview(**overview, include_tests=False)]
    metrics += [ColumnCard(**card, include_tests=False) for card in cards]
    with np.errstate(invalid="ignore", divide="ignore"):  # Evidently divides by the values of an empty column
        snapshot = Report(metrics, include_tests=False).run(Dataset.from_pandas(frame, definition), None)
    return snapshot.get_html_str(as_iframe=False)


def _overview(
    views: list[ColumnView], rows: int, bad: int, tables: list[list[Any]], contract: Contract
) -> dict[str, Any]:
    shown = pd.DataFrame({view.title: view.series for view in views})
    return {
        "title": contract.title.replace("<", "‹"),
        "note": _note(len(shown), rows),
        "columns": list(shown),
        "counters": {
            "rows like another": count(int(shown.duplicated().sum())),
            "rows in quarantine": count(bad),
        },
        "tables": json.dumps(tables),
    }


def _note(looked_at: int, read: int) -> str:
    if looked_at == read:
        return f"All {plural(read, 'row')} that were read, quarantined ones included; nothing is trained yet."
    return (
        f"A random sample of {count(looked_at)} of the {count(read)} rows that were read, quarantined ones "
        "included; nothing is trained yet. Quarantine is counted over all rows."
    )


def _quarantine_table(faults: Faults, contract: Contract) -> list[list[Any]]:
    if not faults:
        return []
    titles = {name: column.title for name, column in contract.columns.items()}
    titles[contract.target.column] = contract.target.title
    ranked = sorted(faults.items(), key=lambda found: -found[1])
    lines = [[reason, titles.get(column, ""), count(rows)] for (reason, column), rows in ranked]
    return [["Quarantine, by reason", ["reason", "column", "rows"], lines]]


def _strength_table(target: ColumnView, strengths: Mapping[str, float]) -> list[Any]:
    ranked = sorted(strengths.items(), key=_strongest_first)
    lines = [[title, figure(strength, 2)] for title, strength in ranked]
    return [f"Each column against {target.title}: Cramér's V, from 0 to 1", ["column", "strength"], lines]


def _strongest_first(line: tuple[str, float]) -> float:
    return -line[1] if line[1] == line[1] else 1.0


def figures_of(values: pd.Series) -> dict[str, str]:
    """Return the figures of a column of numbers as the lines that show them; none where it has no value."""
    if not values.notna().any():
        return {}
    parts = {
        "smallest, largest": [values.min(), values.max()],
        "quartiles": values.quantile([0.25, 0.5, 0.75]).tolist(),
        "mean, sd": [values.mean(), values.std()],
    }
    return {name: ", ".join(f"{number:,.4g}" for number in numbers) for name, numbers in parts.items()}


def _cards(views: list[ColumnView], strengths: Mapping[str, float], *, ordered: bool) -> list[dict[str, Any]]:
    target = views[0]
    return [
        {
            "column": view.title,
            "about": view.about,
            "figure": json.dumps(figure_by_class(view, target, ordered=ordered)),
            "allowed": view.allowed,
            "fence": view.fence,
            "labels": view.labels if view.coded else [],
            "figures": {} if view.coded else figures_of(view.series),
            "extra": {} if view is target else {"strength": figure(strengths[view.title], 2)},
        }
        for view in views
    ]
