"""Which rows are compared, and each column as the tests take it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.contract.columns import Codes, Column
from data.contract.contract import Contract
from data.rows.frames import labelled, within_reach
from data.rows.quarantine import REASONS, reasons_by_row
from data.rows.spreadsheets import FIRST_ROW

YES = "yes"
QUARANTINE = "quarantine"
BATCH_ROWS = 20_000
LOOKED_AT = 200_000
"""Rows that the gate reads at most: of more, a sample that keeps the shares of classes and of sound rows."""
MOST_UNKNOWN = 20  # unknown texts told apart; with more, the column holds something else altogether


@dataclass(frozen=True)
class Reference:
    """What the champion was trained on.

    `sample` holds rows as parsed, and in `quarantine` the text of what was wrong with each, "" for nothing;
    `trained_rows` is the number of rows of the fit.
    """

    sample: pd.DataFrame
    trained_rows: int


def draw(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Draw rows without replacement, in their order; all of them if there are no more."""
    if len(frame) <= rows:
        return frame
    chosen = np.random.default_rng(seed).choice(len(frame), rows, replace=False)
    return frame.iloc[np.sort(chosen)]


def faults_text(parsed: pd.DataFrame, faults: pd.DataFrame) -> pd.Series:
    """Say of each parsed row what is wrong with it, "" for nothing: "Ethnicity: unknown code"."""
    ours = faults[faults["row"].isin(parsed.index + FIRST_ROW)]
    if ours.empty:
        return pd.Series("", index=parsed.index, dtype=object)
    texts = reasons_by_row(ours)
    return pd.Series(parsed.index + FIRST_ROW, index=parsed.index).map(texts).fillna("").astype(object)


def sound_rows(reference: Reference) -> pd.DataFrame:
    """Give the rows of the reference that were not quarantined."""
    return reference.sample[reference.sample[QUARANTINE] == ""]


def without_unasked(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Leave out audit columns of which nothing is known: who asks for a forecast may withhold them."""
    unasked = [c.name for c in contract.audit if c.name in frame and frame[c.name].isna().all()]
    return frame.drop(columns=unasked)


def tested(frame: pd.DataFrame, faults: pd.Series, contract: Contract) -> pd.DataFrame:
    """Give the columns to test: numbers as finite floats or NaN, codes as labels, indicators as yes or no.

    They are the features and audit columns, the target, one indicator for each reason of quarantine and one
    for what is missing of each nullable feature; a column that the frame lacks is lacking here too.
    """
    columns = {c.name: _values(frame[c.name], c) for c in contract.asked if c.name in frame}
    target = contract.target
    if target.column in frame:
        columns[target.column] = _labels(frame[target.column], target.classes)
    for reason in REASONS:
        columns[indicator(reason)] = _yes(has_reason(faults, reason, contract))
    for column in contract.features:
        if column.nullable and column.name in frame:
            columns[missing_indicator(column.name)] = _yes(frame[column.name].isna())
    return pd.DataFrame(columns, index=frame.index)


def indicator(reason: str) -> str:
    """Name the column that says whether a row is quarantined for a reason."""
    return f"quarantined: {reason}"


def missing_indicator(name: str) -> str:
    """Name the column that says whether a nullable feature is missing."""
    return f"missing: {name}"


def has_reason(faults: pd.Series, reason: str, contract: Contract) -> pd.Series:
    """Say which rows have a reason; a label that has not come is no fault of the row here."""
    waiting = f"{contract.target.column}: missing"
    distinct = {
        text: any(part.endswith(f": {reason}") and part != waiting for part in text.split("; "))
        for text in faults.unique()
    }
    return faults.map(distinct).astype(bool)


def _values(series: pd.Series, column: Column) -> pd.Series:
    if column.coded:
        return _labels(series, column.codes)
    return within_reach(series.astype(float))


def _labels(series: pd.Series, codes: Codes) -> pd.Series:
    """Give the labels of parsed codes; what the contract does not know is called unknown."""
    few = len(series.cat.categories) - len(codes) <= MOST_UNKNOWN
    named = labelled(series, codes, lambda text: f"unknown {_harmless(text)}" if few else "unknown")
    return named.astype(object).where(named.notna(), None)


def _harmless(text: str) -> str:
    """Shorten a text of the records and take its angle brackets: Evidently's page would run scripts in it."""
    return text[:40].translate(str.maketrans("<>", "‹›"))


def _yes(flags: pd.Series) -> pd.Series:
    return pd.Series(np.where(flags.to_numpy(dtype=bool), YES, "no"), index=flags.index, dtype=object)
