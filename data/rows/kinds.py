"""The raw cells of one column as canonical values, and who a frame's students are."""

import re
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from data.contract.columns import FLOAT32_MAX, MISSING_TEXTS, Code, Codes
from data.contract.contract import Contract
from data.rows.ids import (
    WRITTEN_AS_FLOAT,
    canonical_id,
    canonical_text,
    pseudonym_maker,
    record_id,
    split_position,
)


def to_numbers(series: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """Return float64 values, missing ones NaN, and which cells are no number: text, a boolean, a date."""
    plain = series.reset_index(drop=True)
    if plain.dtype.kind in "iuf":
        return plain.astype("float64"), np.zeros(len(plain), dtype=bool)
    if isinstance(plain.dtype, pd.CategoricalDtype):
        table = [*map(_number, plain.cat.categories), np.nan]
        cells = np.array(table, dtype=object)[plain.cat.codes.to_numpy()]
    else:
        cells = np.array([_number(value) for value in plain], dtype=object)
    wrong = np.array([value is None for value in cells], dtype=bool)
    return pd.Series(np.where(wrong, np.nan, cells).astype("float64"), name=series.name), wrong


def within_reach(numbers: pd.Series) -> pd.Series:
    """Return numbers without those beyond what the model reads, float32: they are missing."""
    return numbers.where(numbers.abs() <= FLOAT32_MAX)


def to_ids(series: pd.Series, *, whole: bool) -> pd.Series:
    """Return ids as text, None where there is none; 1001, 1001.0 and "1001" are one student."""
    missing = series.isna().to_numpy()
    texts = [
        None if gone else canonical_id(v, whole=whole) or None
        for v, gone in zip(series, missing, strict=True)
    ]
    return pd.Series(texts, name=series.name, dtype=object)


def to_categories(
    series: pd.Series, codes: Codes, meaning: Callable[[Any], Code | None]
) -> "pd.Categorical[Any]":
    """Return the codes that raw values mean; what means none stays as unknown text, after the codes."""
    raw = _as_category(series)
    known = list(codes)
    meant = [_cell(value, meaning) for value in raw.categories]
    unknown = sorted({text for code, text in meant if code is None and text})
    place: dict[tuple[Code | None, str], int] = {(None, ""): -1}
    place |= {(code, ""): position for position, code in enumerate(known)}
    place |= {(None, text): len(known) + position for position, text in enumerate(unknown)}
    positions = np.asarray([*(place[cell] for cell in meant), -1], dtype=np.int64)[raw.codes.to_numpy()]
    return pd.Categorical.from_codes(positions.tolist(), dtype=pd.CategoricalDtype([*known, *unknown]))


def _as_category(series: pd.Series) -> Any:
    try:
        return series.astype("category").cat
    except TypeError:  # lists and the like, which Parquet can hold
        return series.map(str, na_action="ignore").astype("category").cat


def _cell(value: Any, meaning: Callable[[Any], Code | None]) -> tuple[Code | None, str]:
    """Return a cell's code, or its text where it means none, or neither where it is missing."""
    text = str(value).strip()
    if text in MISSING_TEXTS:
        return None, ""
    code = meaning(value)
    if code is not None:
        return code, ""
    number = WRITTEN_AS_FLOAT.fullmatch(text)
    return None, number[1] if number else text


def _number(value: Any) -> float | None:
    """Return the number that a cell holds, NaN where it is missing, None where it holds something else."""
    if isinstance(value, str):
        return _number_of_text(value.strip())
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, Real | Decimal):
        try:
            return float(value)
        except OverflowError:
            return -np.inf if str(value).startswith("-") else np.inf
    return np.nan if value is None or value is pd.NA or value is pd.NaT else None


def _number_of_text(text: str) -> float | None:
    if text in MISSING_TEXTS:
        return np.nan
    if "_" in text or not text.isascii():  # Python's way to write digits is not a spreadsheet's
        return None
    try:
        return float(text)
    except ValueError:
        return None


NAMES = re.compile(
    r"^(?:id|uuid)$|(?:student|pupil|learner|person|matriculation)[\w\s-]*(?:id|code|key|nr|no|number|uuid)$"
    r"|^(?:student|pupil|learner)$",
    re.IGNORECASE,
)
"""Names of columns that say who a student is."""
FEW = 7
"""Different values up to which a column of such a name may say something else: yes and no, or a level."""
ONE_ROW = "rows of one student may not stand on both sides of the split: keep one row of each"


def names_students(name: str) -> bool:
    """Tell whether a column's name says that it holds who a student is."""
    return NAMES.search(name.strip()) is not None


def count_again(cells: pd.Series) -> int:
    """Count the rows whose student has an earlier row, by raw cells of a column; 0 where it is a code."""
    ids = to_ids(cells, whole=False).dropna()
    return int(ids.duplicated().sum()) if ids.nunique() > FEW else 0


def pseudonyms(frame: pd.DataFrame, contract: Contract, key: str) -> np.ndarray:
    """Return each row's pseudonym (text); a row whose id is missing has an empty one."""
    make = pseudonym_maker(key)
    return np.array([make(student) if student else "" for student in student_ids(frame, contract)], object)


def student_ids(frame: pd.DataFrame, contract: Contract) -> list[str]:
    """Return each row's id: the contract's, or the SHA-256 of the canonical row where it has none.

    An audit column that a roster does not have is that of empty cells.
    """
    if contract.id is not None:
        return ["" if value is None else value for value in frame[contract.id.name]]
    nothing = pd.Series(None, frame.index, dtype=object)
    asked = [frame.get(column.name, nothing).astype(object) for column in contract.asked]
    columns = [[canonical_text(value) for value in cells] for cells in asked]
    return [record_id(list(values)) for values in zip(*columns, strict=True)]


def splits(pseudonyms_: np.ndarray, test_share: float) -> np.ndarray:
    """Return "train" or "test" for each pseudonym, by its hash alone."""
    positions = np.array([split_position(text) if text else 0.0 for text in pseudonyms_])
    return np.where(positions < test_share, "test", "train")
