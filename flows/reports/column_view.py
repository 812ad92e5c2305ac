"""A parsed frame as the data report shows it: titles, labels, limits, and each column by class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data.cells import within_reach
from data.columns import Codes, Column
from data.contract import Contract
from flows.reports.plot_style import OKABE_ITO
from flows.reports.wording import labels_of, with_unit

SAMPLE_ROWS = 20_000
PARTS = 30  # bars of a number's histogram
TENTHS = 10
UNKNOWN, NO_CLASS = "unknown code", "no known class"
VIRIDIS = ("#fde725", "#5ec962", "#21918c", "#3b528b", "#440154")  # the best class is the lightest


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
            titled = _plain(with_unit(column.title, column.unit))
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
    labels = [*map(_plain, labels_of(codes)), otherwise]
    positions = np.minimum(series.cat.codes.to_numpy(dtype=np.int64), len(codes))
    used = labels if (positions == len(codes)).any() else labels[:-1]
    return pd.Series(
        pd.Categorical.from_codes(positions, dtype=pd.CategoricalDtype(used)), index=series.index
    )


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
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    squared = ((counts - expected) ** 2 / expected).sum() / n
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
    known = view.series.dropna()
    if known.empty:
        return np.full(len(view.series), -1), []
    distinct = np.unique(known)
    if len(distinct) <= PARTS:
        found = np.searchsorted(distinct, view.series.fillna(distinct[0]).to_numpy())
        return np.where(view.series.isna(), -1, found), distinct.tolist()
    edges = np.linspace(known.min(), known.max(), PARTS + 1)
    found = np.clip(
        np.searchsorted(edges, view.series.fillna(edges[0]).to_numpy(), side="right") - 1, 0, PARTS - 1
    )
    return np.where(view.series.isna(), -1, found), ((edges[1:] + edges[:-1]) / 2).tolist()


def _color(position: int, classes: int, *, ordered: bool) -> str:
    if not ordered:
        return OKABE_ITO[position % len(OKABE_ITO)]
    place = position / max(classes - 1, 1) * (len(VIRIDIS) - 1)
    low = min(int(place), len(VIRIDIS) - 2)
    mixed = (_mix(VIRIDIS[low], VIRIDIS[low + 1], place - low, channel) for channel in range(3))
    return f"rgb({', '.join(map(str, mixed))})"


def _mix(first: str, second: str, share: float, channel: int) -> int:
    one, two = (int(color[1 + 2 * channel : 3 + 2 * channel], 16) for color in (first, second))
    return round(one + share * (two - one))


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
