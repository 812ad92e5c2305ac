"""Rows to forecasts in whole columns: parsed, judged, asked, as lines of the log."""

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.bundle.answers import grade_sets, risk_of
from data.bundle.bundle import Bundle
from data.contract.columns import MISSING_TEXTS, Column, Role
from data.contract.contract import Contract
from data.log.database import DIGITS as ID_DIGITS
from data.log.entries import prediction_fields
from data.rows.frames import matrix, parse
from data.rows.ids import pseudonym_maker
from data.rows.kinds import student_ids, to_categories, to_numbers
from data.rows.records import code_of
from data.rows.spreadsheets import FIRST_ROW

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
    if column.whole:
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
    if column.whole:
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


NOT_A_NUMBER = "not a number"


def examine(chunk: pa.Table, contract: Contract) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a chunk as parsed, and each row's errors as one text, empty where the row is sound.

    Rows whose every cell is plainly written are read column by column; the others are looked at closely.
    """
    asked = {column.name: column for column in (*contract.asked, *([contract.id] if contract.id else []))}
    columns = {name: column for name, column in asked.items() if name in chunk.column_names}
    read = {name: read_plainly(chunk[name], column) for name, column in columns.items()}
    odd = np.flatnonzero(~np.logical_and.reduce([plain.sound for plain in read.values()]))
    values = {name: plain.cells for name, plain in read.items()}
    errors = np.full(len(chunk), "", dtype=object)
    if len(odd):
        frame, texts = examine_closely(chunk.take(pa.array(odd)), contract)
        errors[odd] = texts
        for name, column in columns.items():
            values[name][odd] = values_of(frame[name], column)
    return frame_of(values, columns), errors


def examine_closely(chunk: pa.Table, contract: Contract) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the same by way of the contract's own parser and schema, which know every way to write."""
    from data.rows.quarantine import frame_schema, reasons_by_row, schema_faults  # pandera takes a second

    declared = [name for name in chunk.column_names if name in contract.readable]
    raw = pd.DataFrame({name: _cells(chunk[name]) for name in declared})
    wrong = {}
    for column in contract.asked:
        if not column.coded and column.name in raw:
            raw[column.name], wrong[column.name] = to_numbers(raw[column.name])
    frame = parse(raw, contract, labelled=False)
    faults = schema_faults(frame, frame_schema(contract, labelled=False))
    for name, cells in wrong.items():
        at = faults["row"].to_numpy() - FIRST_ROW
        faults.loc[(faults["column"] == name) & cells[at], "reason"] = NOT_A_NUMBER
    faults = pd.concat([faults, _audit_that_is_no_number(wrong, faults)], ignore_index=True)
    texts = reasons_by_row(faults.drop_duplicates(["row", "column"]))
    return frame, texts.reindex(frame.index + FIRST_ROW, fill_value="").to_numpy(dtype=object)


def present(contract: Contract, rows: pd.DataFrame) -> Contract:
    """Return a contract without the audit columns that the rows do not have."""
    kept = {n: c for n, c in contract.columns.items() if n in rows or c.role is Role.FEATURE}
    return contract.model_copy(update={"columns": kept})


def _audit_that_is_no_number(wrong: dict[str, np.ndarray], faults: pd.DataFrame) -> pd.DataFrame:
    """Return the faults of cells that are no number where a missing one would have been allowed."""
    rows: list[dict[str, Any]] = [
        {"row": int(place) + FIRST_ROW, "column": name, "value": None, "reason": NOT_A_NUMBER}
        for name, cells in wrong.items()
        for place in np.flatnonzero(cells)
    ]
    return pd.DataFrame(rows, columns=list(faults.columns)).astype(faults.dtypes.to_dict())


def _cells(column: pa.ChunkedArray) -> pd.Series:
    """Return a column for pandas; text as categories, whose few values are understood once each."""
    if is_text(column.type):
        column = column.dictionary_encode().unify_dictionaries()
    return column.to_pandas(integer_object_nulls=True)


DIGITS = 6  # of a probability, as POST /predict/batch has them
PLACE_DIGITS = 8  # hexadecimal, of a row's place in its chunk: the end of its prediction's id


@dataclass(frozen=True)
class ChunkForecasts:
    """The sound rows of a chunk as parsed, what was forecast of them, and every row's errors."""

    bundle: Bundle
    version: str
    rows: pd.DataFrame
    places: np.ndarray
    shares: np.ndarray
    ids: list[str]
    errors: np.ndarray

    @property
    def bad(self) -> int:
        """Return how many rows have an error."""
        return len(self.errors) - len(self.places)

    @cached_property
    def tops(self) -> np.ndarray:
        """Return the position of each sound row's likeliest class."""
        return self.shares.argmax(axis=1)

    @cached_property
    def at_risk(self) -> np.ndarray:
        """Return each sound row's probability of the contract's classes at risk, float64."""
        return risk_of(self.shares, self.bundle.contract.target)

    def classes(self) -> pa.Array:
        """Return the label of each sound row's likeliest class."""
        return pa.array(self.bundle.manifest.labels, pa.string()).take(pa.array(self.tops))

    def sets(self) -> tuple[list[list[str]], pa.Array]:
        """Return the sets of labels that there are, and which of them is each sound row's."""
        labels = np.array(self.bundle.manifest.labels)
        inside = grade_sets(self.shares, self.bundle.manifest.set_thresholds)
        packed = np.packbits(inside, axis=1)
        kind = pa.binary(packed.shape[1])
        kinds = pa.FixedSizeBinaryArray.from_buffers(
            kind, len(packed), [None, pa.py_buffer(packed.tobytes())]
        )
        which = kinds.dictionary_encode()
        bits = [
            np.unpackbits(np.frombuffer(one, np.uint8))[: len(labels)] for one in which.dictionary.to_pylist()
        ]
        return [labels[one.astype(bool)].tolist() for one in bits], which.indices

    def added(self) -> pa.Table:
        """Return the columns to add to the chunk, null where a row has an error."""
        columns = self._columns()
        if self.bad:
            answered = np.full(len(self.errors), -1)
            answered[self.places] = np.arange(len(self.places))
            take = pa.array(answered, mask=answered < 0)
            columns = {name: column.take(take) for name, column in columns.items()}
        return pa.table({**columns, "error": pa.array(self.errors, pa.string())})

    def _columns(self) -> dict[str, pa.Array]:
        labels = self.bundle.manifest.labels
        each = {f"probability_{label}": _rounded(self.shares[:, n]) for n, label in enumerate(labels)}
        kinds, which = self.sets()
        return {
            "grade_class": self.classes(),
            "grade_class_index": pa.array(self.tops),
            **each,
            "at_risk": _rounded(self.at_risk),
            "grade_set": pa.array(["|".join(kind) for kind in kinds], pa.string()).take(which),
            "model_version": pa.repeat(self.version, len(self.shares)),
            "prediction_id": pa.array(self.ids, pa.string()),
        }


def forecast(chunk: pa.Table, bundle: Bundle, version: str, seed: str) -> ChunkForecasts:
    """Forecast the rows of a chunk; equal places under an equal seed get equal ids.

    The ids of a chunk follow one another: the log's database writes them side by side.
    """
    frame, errors = examine(chunk, bundle.contract)
    places = np.flatnonzero(errors == "")
    rows = frame if len(places) == len(frame) else frame.iloc[places].reset_index(drop=True)
    shares = np.empty((0, len(bundle.manifest.labels)), dtype=np.float32)
    if len(rows):
        shares = bundle.probabilities(matrix(rows, bundle.contract))
    own = hashlib.sha256(seed.encode()).hexdigest()[: ID_DIGITS - PLACE_DIGITS]
    ids = [f"{own}{place:0{PLACE_DIGITS}x}" for place in places.tolist()]
    return ChunkForecasts(bundle, version, rows, places, shares, ids, errors)


def _rounded(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float64).round(DIGITS))


def log_columns(found: ChunkForecasts, key: str) -> dict[str, Any]:
    """Return the columns of the log's rows; one value stands for a whole column of it, JSON is text."""
    bundle = found.bundle
    kinds, which = found.sets()
    sets = pa.array([json.dumps(kind, ensure_ascii=False) for kind in kinds], pa.string()).take(which)
    return prediction_fields(
        at=datetime.now(UTC),
        contract=bundle.contract.name,
        student=_students(found, key),
        record=records_as_json(found.rows, present(bundle.contract, found.rows)).to_pylist(),
        prediction_id=found.ids,
        model_version=found.version,
        grade_class=found.classes().to_pylist(),
        grade_class_index=found.tops.tolist(),
        probabilities=_shares(found).to_pylist(),
        at_risk=found.at_risk.tolist(),
        grade_set=sets.to_pylist(),
        via="score",
    )


def records_as_json(rows: pd.DataFrame, contract: Contract) -> pa.Array:
    """Return clean rows as the JSON of the records that ask for their forecast.

    The same as `to_records` says row by row; an audit column that is not known of a student is left out.
    """
    asked = sorted(contract.asked, key=lambda column: column.role is Role.AUDIT)
    pieces = [_piece(rows[column.name], column, first=n == 0) for n, column in enumerate(asked)]
    return _joined(["{", *pieces, "}"])


def _piece(values: pd.Series, column: Column, *, first: bool) -> pa.Array:
    """Return each row's `"name":value`, with the comma before it."""
    begin = f"{'' if first else ','}{json.dumps(column.name, ensure_ascii=False)}:"
    text = _coded(values, column) if column.coded else _number(values.to_numpy(), column)
    if column.role is Role.AUDIT:
        return pc.fill_null(_joined([begin, text]), "")
    return _joined([begin, pc.fill_null(text, "null")])


def _coded(values: pd.Series, column: Column) -> pa.Array:
    codes = values.cat.codes.to_numpy(dtype=np.int64)
    written = pa.array([json.dumps(code, ensure_ascii=False) for code in column.codes], pa.string())
    return written.take(pa.array(codes, mask=codes < 0))


def _number(values: np.ndarray, column: Column) -> pa.Array:
    empty = np.isnan(values)
    if column.whole and (np.abs(values[~empty]) < 2**53).all():
        whole = np.where(empty, 0, values).astype(np.int64)
        return pc.cast(pa.array(whole, mask=empty), pa.string())
    return pc.cast(pa.array(values, mask=empty), pa.string())


def _shares(found: ChunkForecasts) -> pa.Array:
    labels = [json.dumps(label, ensure_ascii=False) for label in found.bundle.manifest.labels]
    parts: list[str | pa.Array] = []
    for place, label in enumerate(labels):
        share = found.shares[:, place].astype(np.float64)
        parts += [f"{',' if place else '{'}{label}:", pc.cast(pa.array(share), pa.string())]
    return _joined([*parts, "}"])


def _joined(parts: Iterable[str | pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _students(found: ChunkForecasts, key: str) -> Sequence[str | None]:
    contract = found.bundle.contract
    if contract.id is not None and contract.id.name not in found.rows:
        return [None] * len(found.rows)
    make = pseudonym_maker(key)
    return [make(student) if student else None for student in student_ids(found.rows, contract)]
