"""Counterfactual flips: what becomes of forecasts when a student's audited column alone is changed."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from data.card_audit import Flips
from data.columns import Column, Kind
from data.contract import Contract
from flows.reports.groups import PARTS, risk_of

ROWS = 5_000
Forecast = Callable[[pd.DataFrame], np.ndarray]


def count_flips(frame: pd.DataFrame, contract: Contract, forecast: Forecast) -> dict[str, Flips]:
    """Return the flips of each audited column of a parsed frame, whose first 5,000 rows are asked.

    `forecast` gives the class probabilities (n, K) of a frame. A column that is no feature flips nothing
    by construction; it is asked all the same.
    """
    asked = frame.head(ROWS)
    before = forecast(asked)
    columns = [column for column in contract.audited if column.name in asked]
    return {column.name: _flips(asked, column, contract, before, forecast) for column in columns}


def _flips(
    asked: pd.DataFrame, column: Column, contract: Contract, before: np.ndarray, forecast: Forecast
) -> Flips:
    target = contract.target
    risk = risk_of(before, target)
    classes, calls, most = np.zeros(len(asked), dtype=bool), np.zeros(len(asked), dtype=bool), 0.0
    for changed in variants(asked[column.name], column):
        after = forecast(asked.assign(**{column.name: changed}))
        other = risk_of(after, target)
        classes |= after.argmax(axis=1) != before.argmax(axis=1)
        calls |= (other >= target.call_from) != (risk >= target.call_from)
        most = max(most, float(np.abs(other - risk).max()))
    return Flips(
        feature=column in contract.features,
        n=len(asked),
        classes=float(classes.mean()),
        calls=float(calls.mean()),
        most=most,
    )


def variants(values: pd.Series, column: Column) -> Iterator[pd.Series]:
    """Yield the column with everyone at each of its codes, or at the middle of each third."""
    if column.coded:
        for code in column.codes:
            yield pd.Series(code, index=values.index).astype(values.dtype)
        return
    middles = values.quantile((np.arange(PARTS) + 0.5) / PARTS)
    for middle in (middles.round() if column.kind is Kind.INTEGER else middles).unique():
        yield pd.Series(middle, index=values.index)
