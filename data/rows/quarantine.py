"""A contract as a pandera schema, and the rows that break it with the reason of each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from data.contract.columns import PSEUDONYM, Codes, Column, Kind, Role
from data.contract.contract import Contract
from data.rows.frames import class_of_score
from data.rows.ids import WHOLE_ID
from data.rows.spreadsheets import FIRST_ROW

DUPLICATE = "duplicate id"
REASONS = (
    "missing",
    "not finite",
    "not a whole number",
    "out of range",
    "unknown code",
    DUPLICATE,
    "label contradicts score",
)
COLUMNS = ["row", "column", "value", "reason"]


def frame_schema(
    contract: Contract, *, labelled: bool = True, pseudonymous: bool = False
) -> pa.DataFrameSchema:
    """Derive the pandera schema of a parsed frame; each check is named for its reason.

    A frame that is only to be scored needs its features alone; ids and audit columns may be absent. So
    they may where rows of the log, which have pseudonyms for ids, are to be trained on.
    """
    strict = labelled and not pseudonymous
    barred = (Role.LEAK,) if labelled else (Role.LEAK, Role.SCORE)
    columns = {
        name: pa.Column(
            checks=_checks(column),
            nullable=_may_be_missing(column, contract) or not (strict or column.role is Role.FEATURE),
            required=strict or column.role is Role.FEATURE,
        )
        for name, column in contract.columns.items()
        if column.role not in barred
    }
    if labelled:
        columns[contract.target.column] = pa.Column(checks=[_known_code(contract.target.classes)])
    return pa.DataFrameSchema(columns)


def quarantine(frame: pd.DataFrame, contract: Contract) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a parsed, labelled frame into the rows to keep and the table of what is wrong.

    The table has one line a fault: row (as a spreadsheet counts), column, value, reason. A later
    row with an id seen before is the duplicate; the first one stays. Where the frame has pseudonyms
    they are the ids.
    """
    faults = pd.concat(
        [
            schema_faults(frame, frame_schema(contract, pseudonymous=PSEUDONYM in frame)),
            _duplicates(frame, contract),
            _contradictions(frame, contract),
        ],
        ignore_index=True,
    )
    bad = (faults["row"] - FIRST_ROW).unique()
    return frame.loc[~frame.index.isin(bad)], faults.sort_values(["row", "column"], ignore_index=True)


def reasons_by_row(faults: pd.DataFrame) -> pd.Series:
    """Return each bad row's reasons as one text, indexed by row: "Absences: out of range"."""
    texts = faults["column"] + ": " + faults["reason"]
    return texts.groupby(faults["row"]).agg("; ".join)


def count_reasons(faults: pd.DataFrame) -> dict[str, int]:
    """Count the rows with each reason, most frequent first."""
    counts = faults.drop_duplicates(["row", "reason"])["reason"].value_counts()
    return {str(reason): int(count) for reason, count in counts.items()}


def _may_be_missing(column: Column, contract: Contract) -> bool:
    """Whether an empty cell is allowed: nullable features, and a score that nothing is derived from."""
    return column.nullable or (column.role is Role.SCORE and not contract.target.derived)


def _checks(column: Column) -> list[pa.Check]:
    if column.role is Role.ID:
        return _id_checks(column) if column.kind is Kind.INTEGER else []
    if column.coded:
        return [_known_code(column.codes)]
    low, high = column.limits
    checks = [
        _check("not finite", lambda s: ~np.isinf(s)),
        _check("out of range", lambda s: s.between(low, high) | s.isna() | np.isinf(s)),
    ]
    if column.kind is Kind.INTEGER:
        checks.append(_check("not a whole number", lambda s: (s % 1 == 0) | s.isna() | np.isinf(s)))
    return checks


def _id_checks(column: Column) -> list[pa.Check]:
    low, high = column.limits

    def allowed(ids: pd.Series) -> pd.Series:
        numbers = ids.where(ids.notna() & _whole_text(ids)).astype("float64")
        return numbers.between(low, high) | numbers.isna()

    return [_check("not a whole number", _whole_text), _check("out of range", allowed)]


def _check(reason: str, passes: Callable[[pd.Series], pd.Series]) -> pa.Check:
    return pa.Check(passes, name=reason, error=reason, ignore_na=False)


def _known_code(codes: Codes) -> pa.Check:
    """Parsed categories begin with the contract's codes: a later position is an unknown one."""
    return _check("unknown code", lambda s: s.cat.codes < len(codes))


def _whole_text(ids: pd.Series) -> pd.Series:
    return ids.isna() | ids.astype("string").str.fullmatch(WHOLE_ID.pattern).fillna(True).astype(bool)


def schema_faults(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Return what a schema finds wrong in a parsed frame: row, column, value, reason."""
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        if cases["index"].isna().any():  # a check itself failed, or a column is not there
            raise
        reasons = cases["check"].replace("not_nullable", "missing")
        return _table(cases["index"].astype("int64"), cases["column"], cases["failure_case"], reasons)
    return _no_faults()


def _duplicates(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    name = PSEUDONYM if PSEUDONYM in frame else contract.id.name if contract.id else None
    if name is None:
        return _no_faults()
    ids = frame[name]
    return _faults(ids[ids.notna() & ids.duplicated()], DUPLICATE)


def _contradictions(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Rows whose label is not the one that the contract's rule gives their score."""
    if contract.target.derived or contract.target.bounds is None or contract.score is None:
        return _no_faults()
    label = frame[contract.target.column]
    given = label.cat.codes.to_numpy()
    ruled = class_of_score(frame[contract.score.name], contract).codes
    known = (given >= 0) & (given < len(contract.target.classes)) & (ruled >= 0)
    return _faults(label[known & (given != ruled)], "label contradicts score")


def _faults(values: pd.Series, reason: str) -> pd.DataFrame:
    return _table(values.index, values.name, values.astype(object).to_numpy(), reason)


def _table(index: Any, column: Any, value: Any, reason: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"row": np.asarray(index) + FIRST_ROW, "column": column, "value": value, "reason": reason}
    )


def _no_faults() -> pd.DataFrame:
    return pd.DataFrame({"row": np.empty(0, np.int64), **{name: np.empty(0, object) for name in COLUMNS[1:]}})
