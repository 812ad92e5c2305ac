"""A contract as a pandas frame: raw columns parsed to its kinds, and the float32 feature matrix."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.contract.columns import PSEUDONYM, Codes, Column, Kind, Role, repeated
from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.kinds import to_categories, to_ids, to_numbers
from data.rows.records import code_of, to_code
from data.rows.spreadsheets import FIRST_ROW


def needed_columns(contract: Contract, *, labelled: bool, pseudonymous: bool = False) -> list[str]:
    """List the columns that a file must have, to train on (labelled) or to score.

    With pseudonyms it is the log's, which has no ids, and audit columns where they were given.
    """
    if not labelled:
        return [column.name for column in contract.features]
    roles = (Role.FEATURE, Role.SCORE, *(() if pseudonymous else (Role.ID, Role.AUDIT)))
    needed = [column.name for column in contract.columns.values() if column.role in roles]
    return needed if contract.target.derived else [*needed, contract.target.column]


def parse(
    raw: pd.DataFrame,
    contract: Contract,
    *,
    labelled: bool = True,
    partial: bool = False,
    file: str | Path | None = None,
    first_row: int = FIRST_ROW,
) -> pd.DataFrame:
    """Return the declared columns in canonical types: what was written, not yet judged.

    Numbers become float64 (missing NaN), ids text, coded columns categories whose first ones are
    the contract's codes and whose last ones are what the contract does not know. Leaks and
    undeclared columns are left out; score and target too when the frame is only to be scored.
    Raises BadInput for a missing column, unless the frame may be partial, for one that is there twice,
    and for text in a number, whose row it counts from `first_row`.
    """
    names = [str(name) for name in raw.columns]
    if not partial:
        refuse_missing(names, contract, labelled=labelled, file=file)
    refuse_twice(names, file)
    barred = (Role.LEAK,) if labelled else (Role.LEAK, Role.SCORE)
    kept = [c for c in contract.columns.values() if c.role not in barred and c.name in raw.columns]
    parsed = {column.name: _parse_column(raw[column.name], column, file, first_row) for column in kept}
    frame = pd.DataFrame(parsed, index=pd.RangeIndex(len(raw)))
    return with_target(frame, raw, contract) if labelled else frame


def refuse_missing(
    names: list[str], contract: Contract, *, labelled: bool = True, file: str | Path | None = None
) -> None:
    """Raise BadInput where a column that must be there is not among the names."""
    needed = needed_columns(contract, labelled=labelled, pseudonymous=PSEUDONYM in names)
    missing = [name for name in needed if name not in names]
    if missing:
        noun, pronoun = ("column", "it") if len(missing) == 1 else ("columns", "them")
        raise BadInput(
            f"missing {noun} {', '.join(missing)}.",
            file=file,
            remedy=f"The contract {contract.name} asks for {pronoun}; found: {', '.join(names)}.",
        )


def refuse_twice(names: list[str], file: str | Path | None = None) -> None:
    """Raise BadInput where a column's name is there twice."""
    if twice := repeated(names):
        raise BadInput(
            f"the column {twice[0]!r} is there twice.", file=file, row=1, remedy="Keep one of them."
        )


def with_target(frame: pd.DataFrame, raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return the frame with the target column, read or derived from the score, where it can be had."""
    target = contract.target
    if target.derived:
        if contract.score is None or contract.score.name not in frame:
            return frame
        return frame.assign(**{target.column: class_of_score(frame[contract.score.name], contract)})
    if target.column not in raw:
        return frame
    return frame.assign(**{target.column: _classes(raw[target.column], target.classes)})


def _classes(series: pd.Series, classes: Codes) -> pd.Categorical:
    return to_categories(series, classes, functools.partial(to_code, classes))


def class_of_score(score: pd.Series, contract: Contract) -> pd.Categorical:
    """Return the class that the contract's rule gives each score; a missing score has none."""
    values = score.to_numpy(dtype=float)
    below = values[:, None] < np.asarray(contract.target.bounds)[None, :]
    codes = np.where(np.isnan(values), -1, below.sum(axis=1))
    return pd.Categorical.from_codes(codes.astype(np.int8), dtype=_dtype(contract.target.classes))


def matrix(frame: pd.DataFrame, contract: Contract) -> np.ndarray:
    """Return the float32 feature matrix (rows, float columns); a missing value is NaN."""
    parts = [_floats(frame[column.name], column) for column in contract.features]
    return np.concatenate(parts, axis=1)


def target_index(frame: pd.DataFrame, contract: Contract) -> np.ndarray:
    """Return the class index of each row, int64: 0 is the first (best) class, -1 none or unknown."""
    codes = frame[contract.target.column].cat.codes.to_numpy(dtype=np.int64)
    return np.where(codes < len(contract.target.classes), codes, -1)


def to_records(frame: pd.DataFrame, contract: Contract) -> list[dict[str, Any]]:
    """Return clean rows as the JSON records that ask for their forecast: features, what is there to audit."""
    asked = [column for column in contract.asked if column.name in frame or column in contract.features]
    columns = {column.name: _json_values(frame[column.name], column) for column in asked}
    unknown = {column.name for column in contract.audit}  # left out where it is not known of a student
    rows = (zip(columns, row, strict=True) for row in zip(*columns.values(), strict=True))
    return [{name: v for name, v in row if v is not None or name not in unknown} for row in rows]


def _json_values(series: pd.Series, column: Column) -> list[Any]:
    whole = column.kind is Kind.INTEGER
    values = series.astype(object).tolist()
    return [None if value != value else int(value) if whole else value for value in values]


def _floats(series: pd.Series, column: Column) -> np.ndarray:
    if not column.coded:
        return series.to_numpy(dtype=np.float32)[:, None]
    positions = series.cat.codes.to_numpy(dtype=np.float32)
    positions[(positions < 0) | (positions >= len(column.codes))] = np.nan
    if column.kind is not Kind.NOMINAL:
        return positions[:, None]
    one_hot = (positions[:, None] == np.arange(len(column.codes))).astype(np.float32)
    one_hot[np.isnan(positions)] = np.nan
    return one_hot


def _parse_column(series: pd.Series, column: Column, file: str | Path | None, first_row: int) -> pd.Series:
    if column.role is Role.ID:
        return to_ids(series, whole=column.kind is Kind.INTEGER)
    if column.coded:
        return pd.Series(
            to_categories(series, column.codes, functools.partial(code_of, column)), name=column.name
        )
    return _numbers(series, column.name, file, first_row)


def _numbers(series: pd.Series, name: str, file: str | Path | None, first_row: int) -> pd.Series:
    values, wrong = to_numbers(series)
    if not wrong.any():
        return values
    position = int(wrong.argmax())
    text = str(series.iloc[position])
    remedy = "Put a number there, or leave the cell empty."
    if "," in text:
        remedy = "Write decimals with a point, and thousands without a comma."
    raise BadInput(
        f"{text!r} is not a number.", file=file, row=position + first_row, column=name, remedy=remedy
    )


def _dtype(codes: Codes) -> pd.CategoricalDtype:
    return pd.CategoricalDtype(list(codes))
