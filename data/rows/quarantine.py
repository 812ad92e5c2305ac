"""Rows of a parsed frame that break the contract, with the reason of each cell."""

import numpy as np
import pandas as pd

from data.contract.columns import PSEUDONYM, Column, Role
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.rows.frames import NotNumbers, values_of
from data.rows.kinds import Reason, class_places, rule_of
from data.rows.spreadsheets import FIRST_ROW

UNREAD = (Reason.NOT_A_NUMBER, Reason.NOT_A_DATE)
REASONS = tuple(reason for reason in Reason if reason not in (*UNREAD, Reason.WAITING))
"""What a row is set aside for; a cell that is no number or no date ends the reading of a file to train on."""
ONE_ROW = "rows of one student may not stand on both sides of the split: keep one row of each"
"""What to do about duplicates."""


def quarantine(
    frame: pd.DataFrame, contract: Contract, not_numbers: NotNumbers | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a parsed, labelled frame into the rows to keep and the table of what is wrong.

    The table has one line a fault: row (as a spreadsheet counts), column, value, reason. A later
    row with an id seen before is the duplicate; the first one stays. Where the frame has pseudonyms
    they are the ids.
    """
    waits = _waiting(frame, contract)
    cells = cell_faults(frame, contract, not_numbers=not_numbers)
    found = [cells, _duplicates(frame, contract), _contradictions(frame, contract)]
    faults = pd.concat(found, ignore_index=True)
    faults = pd.concat([faults[~faults["row"].isin(waits["row"])], waits], ignore_index=True)
    faults = faults.sort_values(["row", "column"], ignore_index=True)
    return frame.loc[~frame.index.isin(faults["row"] - FIRST_ROW)], faults


def cell_faults(
    frame: pd.DataFrame,
    contract: Contract,
    *,
    labelled: bool = True,
    not_numbers: NotNumbers | None = None,
) -> pd.DataFrame:
    """Return what is wrong with the cells of a parsed frame: one line for each, with its first reason.

    `not_numbers` are the cells that parsing found to be none. A frame that is only to be scored needs its
    features alone; ids and audit columns may be absent. So they may where rows of the log, which have
    pseudonyms for ids, are to be trained on.
    """
    barred = (Role.LEAK,) if labelled else (Role.LEAK, Role.SCORE)
    judged = [column for column in contract.columns.values() if column.role not in barred]
    strict = labelled and PSEUDONYM not in frame
    parts = []
    for column in [*judged, *([contract.target.as_column] if labelled else [])]:
        if column.name not in frame and column.role is not Role.FEATURE and not strict:
            continue
        series, taken = frame[column.name], np.zeros(len(frame), dtype=bool)
        missing = series.isna().to_numpy() & (not _may_be_missing(column, contract, strict))
        wrong = (not_numbers or {}).get(column.name, taken)
        rules = rule_of(column).faults(values_of(series, column))
        unread = UNREAD[column.dated]
        for reason, broken in ((unread, wrong), (Reason.MISSING, missing), *rules):
            rows = np.flatnonzero(broken & ~taken)
            if len(rows):
                parts.append(_faults(series.iloc[rows], reason))
                taken = taken | broken
    return pd.concat(parts, ignore_index=True) if parts else _faults(frame.iloc[:0, 0], Reason.MISSING)


def reasons_by_row(faults: pd.DataFrame) -> pd.Series:
    """Return each bad row's reasons as one text, indexed by row: "Absences: out of range"."""
    texts = faults["column"] + ": " + faults["reason"]
    return texts.groupby(faults["row"]).agg("; ".join)


def count_reasons(faults: pd.DataFrame) -> dict[str, int]:
    """Count the rows with each reason, most frequent first."""
    counts = faults.drop_duplicates(["row", "reason"])["reason"].value_counts()
    return {str(reason): int(count) for reason, count in counts.items()}


def _may_be_missing(column: Column, contract: Contract, strict: bool) -> bool:
    """Whether an empty cell is allowed: of a nullable feature, or a score that nothing is derived from."""
    if column.name == contract.target.column:
        return False
    given = column.role is Role.SCORE and not contract.target.derived
    return given or not (column.required or (strict and column.role is not Role.FEATURE))


def _waiting(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Rows whose outcome is not yet known, where the contract has such: they are not bad, and wait."""
    label = frame[contract.target.column]
    return _faults(label[label.isna()] if contract.target.waiting else label.iloc[:0], Reason.WAITING)


def _duplicates(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    name = PSEUDONYM if PSEUDONYM in frame else contract.id.name if contract.id else None
    name = None if contract.id and contract.id.several else name
    ids = frame[name] if name else pd.Series(dtype=object)
    again = frame.duplicated([name, AS_OF]) if name and contract.dated else ids.duplicated()
    return _faults(ids[ids.notna() & again], Reason.DUPLICATE)


def _contradictions(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Rows whose label is not the one that the contract's rule gives their score."""
    label = frame[contract.target.column]
    if contract.target.derived or contract.target.bounds is None or contract.score is None:
        return _faults(label.iloc[:0], Reason.CONTRADICTION)
    given = label.cat.codes.to_numpy()
    ruled = class_places(frame[contract.score.name].to_numpy(), contract.target)
    known = (given >= 0) & (given < len(contract.target.classes)) & (ruled >= 0)
    return _faults(label[known & (given != ruled)], Reason.CONTRADICTION)


def _faults(values: pd.Series, reason: Reason) -> pd.DataFrame:
    rows = np.asarray(values.index, dtype=np.int64) + FIRST_ROW
    cells = values.astype(object).to_numpy()
    table = {"row": rows, "column": str(values.name), "value": cells, "reason": str(reason)}
    return pd.DataFrame(table).astype({"column": object, "reason": object})
