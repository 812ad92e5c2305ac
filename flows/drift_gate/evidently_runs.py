"""Evidently at work for the gate: scores without charts, charts of what is to be seen, its own pages.

Importing this takes seconds: import it where it is used.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.core.metric_types import SingleValueCalculation
from evidently.legacy.calculations.stattests import StatTest, register_stattest
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift
from evidently.metrics.column_statistics import ValueDriftCalculation
from evidently.ui.workspace import Workspace

from data.durable import file_lock
from flows.drift_gate.columns import KINDS, NUMBER, Plan


class DriftScore(ValueDrift):  # type: ignore[misc]
    """ValueDrift without its chart, which takes most of its time."""


class DriftScoreCalculation(SingleValueCalculation[DriftScore]):  # type: ignore[misc]
    """Calculates as ValueDrift does, and draws nothing."""

    calculate = ValueDriftCalculation.calculate
    display_name = ValueDriftCalculation.display_name

    def _render(self, *_: object) -> list[Any]:
        return []


def scores(reference: pd.DataFrame, batch: pd.DataFrame, plans: Sequence[Plan]) -> Any:
    """Run Evidently's drift tests as planned; give its snapshot, with the tests' results and no charts."""
    return _run(DriftScore, reference, batch, plans, tests=True)


def charts(reference: pd.DataFrame, batch: pd.DataFrame, plans: Sequence[Plan]) -> Any:
    """Give Evidently's snapshot with a chart of each planned column, in their order."""
    return _run(ValueDrift, reference, batch, plans, tests=False)


def keep(snapshot: Any, workspace: Path, project: str) -> None:
    """Keep a snapshot for Evidently's own pages: `evidently ui --workspace` shows them over time."""
    with file_lock(workspace / ".lock"):
        pages = Workspace.create(str(workspace))
        found = [known for known in pages.search_project(project) if known.name == project]
        pages.add_run((found[0] if found else pages.create_project(project)).id, snapshot)


def _run(
    metric: type[ValueDrift],
    reference: pd.DataFrame,
    batch: pd.DataFrame,
    plans: Sequence[Plan],
    *,
    tests: bool,
) -> Any:
    with warnings.catch_warnings():  # Evidently's own are not for our users
        warnings.simplefilter("ignore")
        _register()
        names = [plan.column for plan in plans]
        numbers = [plan.column for plan in plans if plan.kind == NUMBER]
        definition = DataDefinition(
            numerical_columns=numbers, categorical_columns=[name for name in names if name not in numbers]
        )
        metrics = [metric(column=p.column, method=p.test.name, threshold=p.limit) for p in plans]
        current, before = (
            Dataset.from_pandas(frame[names].reset_index(drop=True), data_definition=definition)
            for frame in (batch, reference)
        )
        return Report(metrics, include_tests=tests).run(current, before)


def _register() -> None:
    """Make our tests known to Evidently by name, which refuses a bare function."""
    for kind, tests in KINDS.items():
        column = ColumnType.Numerical if kind == NUMBER else ColumnType.Categorical
        for test in (tests.by_p, tests.by_distance):
            if test.score is not None:
                decide = partial(_decide, test.score, distance=test.distance)
                register_stattest(StatTest(test.name, test.title, [column]), default_impl=decide)


def _decide(
    score: Callable[[pd.Series, pd.Series], float],
    reference: pd.Series,
    current: pd.Series,
    _kind: Any,
    limit: float,
    *,
    distance: bool,
) -> tuple[float, bool]:
    """Give a score and whether it is beyond its limit, as Evidently asks for them."""
    found = score(reference, current)
    return found, bool(found > limit if distance else found < limit)
