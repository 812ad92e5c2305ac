"""The data report: what the records look like before anything is trained, as one HTML file."""

import json
import warnings
from pathlib import Path

import pandas as pd

from data.contract import Contract
from flows.reports.column_view import ColumnView, association, figure_by_class, sample_of, views_of
from flows.reports.wording import NOTHING, count, figure, plural

EMPTY = "no value"


def write_data_report(parsed: pd.DataFrame, faults: pd.DataFrame, contract: Contract, path: Path) -> None:
    """Write the report of a parsed frame and its faults: all rows, or a seeded sample of 20,000.

    Distributions, missing values, outliers and each column against the target; quarantine by reason.
    The file needs nothing but itself.
    """
    views = views_of(sample_of(parsed), contract)
    overview = _overview(views, parsed, faults, contract)
    path.write_text(_html(views, overview, _cards(views, ordered=contract.target.ordered)), encoding="utf-8")


def _html(views: list[ColumnView], overview: dict, cards: list[dict]) -> str:
    """Run Evidently, which takes seconds to import, and render its report."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "numpy.core is deprecated", DeprecationWarning)
        from evidently import DataDefinition, Dataset, Report

        from flows.reports.evidently_cards import ColumnCard, Overview

        frame = pd.DataFrame({view.title: view.values.astype(object if view.coded else float) for view in views})
        definition = DataDefinition(
            categorical_columns=[view.title for view in views if view.coded],
            numerical_columns=[view.title for view in views if not view.coded],
        )
        metrics = [Overview(**overview, include_tests=False)]
        metrics += [ColumnCard(**card, include_tests=False) for card in cards]
        snapshot = Report(metrics, include_tests=False).run(Dataset.from_pandas(frame, definition), None)
        return snapshot.get_html_str(as_iframe=False)


def _overview(
    views: list[ColumnView], parsed: pd.DataFrame, faults: pd.DataFrame, contract: Contract
) -> dict:
    looked_at = len(views[0].values)
    note = f"All {plural(looked_at, 'row')} that were read, quarantined ones included, before anything is trained."
    if looked_at < len(parsed):
        note = (
            f"A random sample of {count(looked_at)} of the {count(len(parsed))} rows that were read, quarantined "
            "ones included. Quarantine is counted over all rows."
        )
    return {
        "title": contract.title.replace("<", "‹"),
        "note": note,
        "quarantined": int(faults["row"].nunique()),
        "tables": json.dumps([*_quarantine_table(faults), _strength_table(views)]),
    }


def _quarantine_table(faults: pd.DataFrame) -> list[list]:
    if faults.empty:
        return []
    counts = faults.groupby(["reason", "column"], sort=False)["row"].nunique().sort_values(ascending=False)
    lines = [[reason, column, count(int(rows))] for (reason, column), rows in counts.items()]
    return [["Quarantine, by reason", ["reason", "column", "rows"], lines]]


def _strength_table(views: list[ColumnView]) -> list:
    target, *others = views
    strengths = sorted(((view.title, association(view, target)) for view in others), key=_strongest_first)
    lines = [[title, figure(strength, 2)] for title, strength in strengths]
    return [f"Each column against {target.title}: Cramér's V, 0 none to 1 all", ["column", "strength"], lines]


def _strongest_first(line: tuple[str, float]) -> float:
    return -line[1] if line[1] == line[1] else 1.0


def _cards(views: list[ColumnView], *, ordered: bool) -> list[dict]:
    target = views[0]
    cards = []
    for view in views:
        strength = NOTHING if view is target else figure(association(view, target), 2)
        cards.append({
            "column": view.title,
            "about": view.about,
            "figure": json.dumps(figure_by_class(view, target, ordered=ordered)),
            "allowed": view.allowed,
            "fence": view.fence,
            "labels": view.labels if view.coded else [],
            "extra": [] if view is target else [f"against {target.title}", strength],
        })  # fmt: skip
    return cards
