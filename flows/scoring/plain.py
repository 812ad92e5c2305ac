"""What the cells of a column say where they are plainly written, for all rows at once.

Whatever is not plain (a fault, a number with a space before it, an id as 1001.0) is left to the closer look
of `forecasts`, which says what is wrong with it: what is plain here is sound there, with the same value.
"""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.cells import to_categories
from data.columns import MISSING_TEXTS, Column, Kind, Role
from data.features import code_of

WHOLE_ID = r"^[1-9][0-9]{0,14}$"
TEXT_ID = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


class Plain(NamedTuple):
    """A column's values, and which of them are plainly written and sound.

    Numbers are float64 (missing NaN), codes their positions (missing -1), ids text (missing None).
    """

    cells: np.ndarray
    sound: np.ndarray


def read_plainly(cells: pa.ChunkedArray, column: Column) -> Plain:
    """Read the cells of a column that is asked for, or of the id."""
    whole = cells.combine_chunks() if cells.num_chunks != 1 else cells.chunk(0)
    if column.role is Role.ID:
        return _ids(whole, column)
    return _codes(whole, column) if column.coded else _numbers(whole, column)


def may_be_missing(column: Column) -> bool:
    """Tell whether a row without it can be scored."""
    return column.nullable or column.role is not Role.FEATURE


def _codes(cells: pa.Array, column: Column) -> Plain:
    if not (is_text(cells.type) or pa.types.is_integer(cells.type) or pa.types.is_boolean(cells.type)):
        return Plain(np.full(len(cells), -1, dtype=np.int64), np.zeros(len(cells), dtype=bool))
    encoded = cells.dictionary_encode()
    written = encoded.dictionary.to_pandas()
    meant = to_categories(written, column.codes, functools.partial(code_of, column)).codes
    table = np.append(meant.astype(np.int64), -1)
    values = table[encoded.indices.fill_null(len(written)).to_numpy(zero_copy_only=False)]
    least = -1 if may_be_missing(column) else 0
    return Plain(values, (values >= least) & (values < len(column.codes)))


def _numbers(cells: pa.Array, column: Column) -> Plain:
    odd: np.ndarray | bool = False
    if is_text(cells.type):
        read, odd = _numbers_of_texts(cells)
    elif pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type):
        read = pc.cast(cells, pa.float64(), safe=False)
    else:
        return Plain(np.full(len(cells), np.nan), np.zeros(len(cells), dtype=bool))
    values = np.array(read.to_numpy(zero_copy_only=False))
    low, high = column.limits
    sound = (values >= low) & (values <= high)
    if column.kind is Kind.INTEGER:
        sound &= values == np.floor(values)
    if may_be_missing(column):
        sound |= np.isnan(values) & ~np.asarray(odd)
    return Plain(values, sound)


def _numbers_of_texts(cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return float64 numbers, and which cells are neither one nor empty."""
    try:
        read = pc.cast(cells, pa.float64())
        if read.null_count == cells.null_count and not pc.any(pc.is_nan(read)).as_py():
            return read, np.zeros(len(cells), dtype=bool)
    except pa.ArrowInvalid:
        pass  # some cell is no number, and this does not say which
    missing = pc.or_(pc.is_null(cells), pc.is_in(cells, pa.array(MISSING_TEXTS, cells.type)))
    number = pc.fill_null(pc.match_substring_regex(cells, NUMBER), False)
    kept = pc.if_else(number, cells, pa.scalar(None, cells.type))
    odd = pc.invert(pc.or_(missing, number)).to_numpy(zero_copy_only=False)
    return pc.cast(kept, pa.float64()), odd


def _ids(cells: pa.Array, column: Column) -> Plain:
    if pa.types.is_integer(cells.type):
        cells = pc.cast(cells, pa.string())
    if not is_text(cells.type):
        return Plain(np.full(len(cells), None, dtype=object), np.zeros(len(cells), dtype=bool))
    whole = pc.fill_null(pc.match_substring_regex(cells, WHOLE_ID), False)
    if column.kind is Kind.INTEGER:
        low, high = column.limits
        number = pc.cast(pc.if_else(whole, cells, pa.scalar(None, cells.type)), pa.float64())
        sound = pc.fill_null(pc.and_(pc.greater_equal(number, low), pc.less_equal(number, high)), False)
    else:
        empty = pc.is_in(cells, pa.array(MISSING_TEXTS, cells.type))
        word = pc.and_not(pc.fill_null(pc.match_substring_regex(cells, TEXT_ID), False), empty)
        sound = pc.or_(whole, word)
    values = np.array(cells.to_numpy(zero_copy_only=False), dtype=object)
    return Plain(values, sound.to_numpy(zero_copy_only=False))


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def values_of(series: pd.Series, column: Column) -> np.ndarray:
    """Return the values of a column that was parsed, as `Plain` has them; an unknown code is missing."""
    if not column.coded:
        return series.to_numpy()
    codes = series.cat.codes.to_numpy(dtype=np.int64)
    return np.where(codes < len(column.codes), codes, -1)


def frame_of(values: dict[str, np.ndarray], columns: dict[str, Column]) -> pd.DataFrame:
    """Return values as the frame that parsing makes."""
    made = {name: _series(cells, columns[name]) for name, cells in values.items()}
    return pd.DataFrame(made, copy=False)


def _series(values: np.ndarray, column: Column) -> pd.Series:
    if column.role is Role.ID:
        return pd.Series(values, dtype=object)
    if not column.coded:
        return pd.Series(values)
    kind = pd.CategoricalDtype(list(column.codes))
    return pd.Series(pd.Categorical.from_codes(values, dtype=kind))
