"""What the data report adds to Evidently. Importing this takes seconds: import it where it is used."""

import json
from collections.abc import Sequence

from evidently.core.container import MetricContainer, MetricOrContainer
from evidently.core.metric_types import CountValue, Metric, MetricId, SingleValue
from evidently.core.report import Context
from evidently.legacy.model.widget import BaseWidgetInfo
from evidently.legacy.renderers.html_widgets import CounterData, counter, rich_data, table_data, text_widget
from evidently.metrics import (
    CategoryCount,
    DatasetMissingValueCount,
    DuplicatedRowCount,
    MaxValue,
    MeanValue,
    MinValue,
    MissingValueCount,
    OutRangeValueCount,
    QuantileValue,
    RowCount,
    StdValue,
)

from flows.reports.wording import count, percent

Rendered = list[tuple[MetricId | None, list[BaseWidgetInfo]]]
SHOWN_LABELS = 8


class Overview(MetricContainer):
    """The head of the report: counters of the data set, and tables made elsewhere."""

    title: str
    note: str
    quarantined: int
    tables: str
    """As JSON: [title, column names, rows] of each table."""

    def generate_metrics(self, context: Context) -> Sequence[MetricOrContainer]:
        """Count rows, missing cells and rows that are there twice."""
        return [RowCount(tests=[]), DatasetMissingValueCount(tests=[]), DuplicatedRowCount(tests=[])]

    def render(self, context: Context, child_widgets: Rendered | None = None) -> list[BaseWidgetInfo]:
        """Draw counters, a note and the tables."""
        rows, missing, twice = (context.get_metric_result(metric) for metric in self.metrics(context))
        counters = {
            "rows looked at": count(int(_single(rows))),
            "missing cells": _counted(missing),
            "rows there twice, but for their id": count(int(_single(twice))),
            "rows in quarantine": count(self.quarantined),
        }
        tables = [
            table_data(title=title, column_names=names, data=lines)
            for title, names, lines in json.loads(self.tables)
        ]
        head = counter(title=self.title, counters=[CounterData(k, v) for k, v in counters.items()])
        return [head, text_widget(text=self.note), *tables]


class ColumnCard(MetricContainer):
    """One column: its figures by Evidently, and its distribution split by class."""

    column: str
    about: str
    figure: str
    """A plotly figure as JSON."""
    allowed: tuple[float, float] | None
    fence: tuple[float, float] | None
    labels: list[str]
    extra: list[str]
    """Further lines: name, text, name, text …"""

    def named_metrics(self) -> dict[str, Metric]:
        """Return Evidently's metrics by the name that they are shown under."""
        column = self.column
        found: dict[str, Metric] = {
            "rows": RowCount(tests=[]),
            "missing": MissingValueCount(column=column, tests=[]),
        }
        for label in self.labels[:SHOWN_LABELS]:
            found[label] = CategoryCount(column=column, category=label, tests=[])
        if self.fence is None:
            return found
        quartiles = {
            name: QuantileValue(column=column, quantile=share, tests=[])
            for name, share in (("first quartile", 0.25), ("median", 0.5), ("third quartile", 0.75))
        }
        found |= {
            "smallest": MinValue(column=column, tests=[]),
            **quartiles,
            "largest": MaxValue(column=column, tests=[]),
        }
        found |= {
            "mean": MeanValue(column=column, tests=[]),
            "standard deviation": StdValue(column=column, tests=[]),
        }
        for name, ends in (
            ("outliers, beyond 1.5 IQR", self.fence),
            ("outside the contract's range", self.allowed),
        ):
            if ends is not None:
                found[name] = OutRangeValueCount(column=column, left=ends[0], right=ends[1], tests=[])
        return found

    def generate_metrics(self, context: Context) -> Sequence[MetricOrContainer]:
        """Return the metrics of the column's kind."""
        return list(self.named_metrics().values())

    def render(self, context: Context, child_widgets: Rendered | None = None) -> list[BaseWidgetInfo]:
        """Draw one card with the figures at the left and the distribution at the right."""
        lines = {
            name: _shown(context.get_metric_result(metric)) for name, metric in self.named_metrics().items()
        }
        lines |= dict(zip(self.extra[::2], self.extra[1::2], strict=True))
        return [
            rich_data(
                title=self.column,
                description=self.about,
                header=[""],
                metrics=[{"label": name, "values": [text]} for name, text in lines.items()],
                graph=json.loads(self.figure),
            )
        ]


def _shown(result: object) -> str:
    return _counted(result) if isinstance(result, CountValue) else f"{_single(result):,.5g}"


def _counted(result: object) -> str:
    assert isinstance(result, CountValue)  # noqa: S101 - which metrics were asked for is known here
    number = int(result.count.value)
    return f"{count(number)} ({percent(result.share.value, 1)})" if number else "0"


def _single(result: object) -> float:
    assert isinstance(result, SingleValue)  # noqa: S101 - as above
    return float(result.value)
