"""What the data report adds to Evidently. Importing this takes seconds: import it where it is used."""

# Evidently calls containers with more than these need.
# ruff: noqa: ARG002

import json
import math
from collections.abc import Sequence

from evidently.core.container import MetricContainer, MetricOrContainer
from evidently.core.metric_types import CountValue, Metric, MetricId, MetricResult, SingleValue
from evidently.core.report import Context
from evidently.legacy.model.widget import BaseWidgetInfo
from evidently.legacy.renderers.html_widgets import CounterData, counter, rich_data, table_data, text_widget
from evidently.metrics import (
    CategoryCount,
    MissingValueCount,
    OutRangeValueCount,
    RowCount,
)

from data.words import count, percent

Rendered = list[tuple[MetricId | None, list[BaseWidgetInfo]]]
SHOWN_LABELS = 8


class Overview(MetricContainer):  # type: ignore[misc]
    """The head of the report: counters of the data set, and tables made elsewhere."""

    title: str
    note: str
    columns: list[str]
    counters: dict[str, str]
    """Further counters: name and text."""
    tables: str
    """As JSON: title, column names and rows of each table."""

    def generate_metrics(self, context: Context) -> Sequence[MetricOrContainer]:
        """Count rows, and what is missing in each column."""
        return [RowCount(tests=[]), *(MissingValueCount(column=name, tests=[]) for name in self.columns)]

    def render(self, context: Context, child_widgets: Rendered | None = None) -> list[BaseWidgetInfo]:
        """Draw counters, a note and the tables."""
        rows, *missing = (context.get_metric_result(metric) for metric in self.metrics(context))
        gone = sum(int(result.count.value) for result in missing)
        counters = {"rows looked at": _shown(rows), "missing cells": count(gone), **self.counters}
        tables = [
            table_data(title=title, column_names=names, data=lines)
            for title, names, lines in json.loads(self.tables)
        ]
        head = counter(title=self.title, counters=[CounterData(k, v) for k, v in counters.items()])
        return [head, text_widget(text=self.note), *tables]


class ColumnCard(MetricContainer):  # type: ignore[misc]
    """One column: its figures by Evidently, and its distribution split by class."""

    column: str
    about: str
    figure: str
    """A plotly figure as JSON."""
    allowed: tuple[float, float] | None
    fence: tuple[float, float] | None
    labels: list[str]
    figures: dict[str, str]
    """Lines of a column of numbers: Evidently would draw a histogram for each figure, and show none."""
    extra: dict[str, str]
    """Further lines: name and text."""

    def lines(self) -> dict[str, list[Metric]]:
        """Return Evidently's metrics by the name of the line that they are shown in."""
        column = self.column
        found: dict[str, list[Metric]] = {
            "rows": [RowCount(tests=[])],
            "missing": [MissingValueCount(column=column, tests=[])],
        }
        for label in self.labels[:SHOWN_LABELS]:
            found[label] = [CategoryCount(column=column, category=label, tests=[])]
        if self.fence is not None:
            found["outliers, beyond 1.5 IQR"] = [_outside(column, self.fence)]
            if self.allowed is not None and any(map(math.isfinite, self.allowed)):
                found["outside the contract's range"] = [_outside(column, self.allowed)]
        return found

    def generate_metrics(self, context: Context) -> Sequence[MetricOrContainer]:
        """Return the metrics of the column's kind."""
        return [metric for metrics in self.lines().values() for metric in metrics]

    def render(self, context: Context, child_widgets: Rendered | None = None) -> list[BaseWidgetInfo]:
        """Draw one card with the figures at the left and the distribution at the right."""
        lines = {
            name: ", ".join(_shown(context.get_metric_result(metric)) for metric in metrics)
            for name, metrics in self.lines().items()
        }
        return [
            rich_data(
                title=self.column,
                description=self.about,
                header=[""],
                metrics=[
                    {"label": name, "values": [text]}
                    for name, text in (lines | self.figures | self.extra).items()
                ],
                graph=json.loads(self.figure),
            )
        ]


def _outside(column: str, ends: tuple[float, float]) -> Metric:
    return OutRangeValueCount(column=column, left=ends[0], right=ends[1], tests=[])


def _shown(result: MetricResult) -> str:
    if isinstance(result, CountValue):
        number = int(result.count.value)
        return f"{count(number)} ({percent(result.share.value, 1)})" if number else "0"
    return f"{result.value:,.4g}" if isinstance(result, SingleValue) else str(result)
