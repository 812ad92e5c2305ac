"""The data report: what the records look like before anything is trained, as one HTML file."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.contract import Contract
from flows.reports.column_view import (
    ColumnView,
    association,
    figure_by_class,
    views_of,
)
from flows.reports.wording import count, figure, plural

Faults = Mapping[tuple[str, str], int]
"""Rows by reason of quarantine and column."""


def write_sample_report(
    sample: pd.DataFrame, rows: int, bad: int, faults: Faults, contract: Contract, path: Path
) -> None:
    """Write the report on a sample of `rows` rows that were read, of which `bad` are in quarantine.

    `faults` has the rows by reason and column, all of them counted.
    """
    views = views_of(sample, contract)
    overview = _overview(views, rows, bad, faults, contract)
    path.write_text(_html(views, overview, _cards(views, ordered=contract.target.ordered)), encoding="utf-8")


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
    views: list[ColumnView], rows: int, bad: int, faults: Faults, contract: Contract
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
        "tables": json.dumps([*_quarantine_table(faults, contract), _strength_table(views)]),
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


def _strength_table(views: list[ColumnView]) -> list[Any]:
    target, *others = views
    strengths = sorted(((view.title, association(view, target)) for view in others), key=_strongest_first)
    lines = [[title, figure(strength, 2)] for title, strength in strengths]
    return [f"Each column against {target.title}: Cramér's V, from 0 to 1", ["column", "strength"], lines]


def _strongest_first(line: tuple[str, float]) -> float:
    return -line[1] if line[1] == line[1] else 1.0


def _cards(views: list[ColumnView], *, ordered: bool) -> list[dict[str, Any]]:
    target = views[0]
    return [
        {
            "column": view.title,
            "about": view.about,
            "figure": json.dumps(figure_by_class(view, target, ordered=ordered)),
            "allowed": view.allowed,
            "fence": view.fence,
            "labels": view.labels if view.coded else [],
            "extra": {} if view is target else {"strength": figure(association(view, target), 2)},
        }
        for view in views
    ]
