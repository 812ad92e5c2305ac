"""A contract as a pandas frame: raw columns parsed to its kinds, the float32 matrix, who the students are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.contract.columns import FLOAT32_MAX, MISSING_MARKS, PERSON, PSEUDONYM, Codes, Column, Role, repeated
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.errors import BadInput
from data.rows.ids import (
    WRITTEN_AS_FLOAT,
    are_plain,
    canonical_id,
    canonical_text,
    pseudonym_maker,
    record_id,
    split_position,
)
from data.rows.kinds import IdRule, NumberRule, Reason, Rule, class_places, number_of, rule_of
from data.rows.notation import Notation
from data.rows.spreadsheets import FIRST_ROW, did_you_mean, nearly

if TYPE_CHECKING:
    import pyarrow as pa

MANY = 90  # columns
NotNumbers = dict[str, np.ndarray]
"""By column, which cells (n,) of numbers hold something else; only where there are some."""


def needed_columns(contract: Contract, *, labelled: bool, pseudonymous: bool = False) -> list[str]:
    """List the columns that a file must have, to train on (labelled) or to score.

    With pseudonyms it is the log's, which has no ids, and audit columns where they were given.
    """
    if not labelled:
        return [column.name for column in contract.features if column.fallback is None]
    roles = (Role.FEATURE, Role.SCORE, *(() if pseudonymous else (Role.ID, Role.AUDIT)))
    needed = [c.name for c in contract.columns.values() if c.role in roles and c.fallback is None]
    return needed if contract.target.derived else [*needed, contract.target.column]


def refuse_missing(
    names: list[str], contract: Contract, *, labelled: bool = True, file: str | Path | None = None
) -> None:
    """Raise BadInput where a column that must be there is not among the names."""
    needed = needed_columns(contract, labelled=labelled, pseudonymous=PSEUDONYM in names)
    missing = [name for name in needed if name not in names]
    if missing:
        noun, pronoun = ("column", "it") if len(missing) == 1 else ("columns", "them")
        asks = f"The contract {contract.name} asks for {pronoun}; found: {', '.join(names)}."
        near = [did_you_mean(name, other) for name, other in nearly(missing, names, contract).items()]
        raise BadInput(f"missing {noun} {', '.join(missing)}.", file=file, remedy=" ".join([asks, *near]))


def refuse_twice(names: list[str], file: str | Path | None = None) -> None:
    """Raise BadInput where a column's name is there twice."""
    if twice := repeated(names):
        raise BadInput(
            f"the column {twice[0]!r} is there twice.", file=file, row=1, remedy="Keep one of them."
        )


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

    Args:
        raw: columns of any types, as they were read; it is not changed.
        contract: what the columns are.
        labelled: with score and target, to train on; without them, to score.
        partial: whether columns may be missing.
        file: told where something is wrong.
        first_row: the number of the first row in that file.

    Returns:
        Numbers as float64 (missing NaN), ids as text, coded columns as categories whose first ones are the
        contract's codes and whose last ones are what the contract does not know. Leaks and undeclared
        columns are left out.

    Raises:
        BadInput: for a missing column, for one that is there twice, and for what is no number.
    """
    names = [str(name) for name in raw.columns]
    if not partial:
        refuse_missing(names, contract, labelled=labelled, file=file)
    refuse_twice(names, file)
    if not partial:
        raw = with_fallbacks(raw, contract)
    frame, not_numbers = parse_cells(raw, contract, labelled=labelled)
    for name, wrong in not_numbers.items():
        position = int(wrong.argmax())
        text = str(raw[name].iloc[position])
        unread = Reason.NOT_A_DATE if contract.columns[name].dated else Reason.NOT_A_NUMBER
        remedy = f"Put {unread.removeprefix('not ')} there, or leave the cell empty."
        if "," in text:
            remedy = "Write decimals with a point, and thousands without a comma."
        row = position + first_row
        raise BadInput(f"{text!r} is {unread}.", file=file, row=row, column=name, remedy=remedy)
    return frame


def parse_cells(raw: pd.DataFrame, contract: Contract, *, labelled: bool) -> tuple[pd.DataFrame, NotNumbers]:
    """Return what `parse` does, cells that are no number as missing ones, and which those are."""
    barred = (Role.LEAK,) if labelled else (Role.LEAK, Role.SCORE)
    raw = _without_waiting(raw, contract) if labelled else raw
    parsed: dict[str, Any] = {}
    not_numbers: NotNumbers = {}
    for column in contract.columns.values():
        if column.role in barred or column.name not in raw:
            continue
        parsed[column.name], wrong = _read(raw[column.name], rule_of(column))
        if wrong is not None and wrong.any():
            not_numbers[column.name] = wrong
    many = len(parsed) > MANY  # which pandas would have in one piece before it takes more
    frame = pd.DataFrame(parsed, index=pd.RangeIndex(len(raw)), copy=many)
    return (_with_target(frame, raw, contract) if labelled else frame), not_numbers


def _read(cells: pd.Series, rule: Rule) -> tuple[Any, np.ndarray | None]:
    """Return a raw column as parsed, and which cells of a number or a date are none."""
    wrong = None
    if isinstance(rule, IdRule):
        return to_ids(cells, whole=rule.whole), None
    if isinstance(rule, NumberRule):
        if rule.column.dated and cells.dtype.kind in "iuf":  # numbers, of which none is a date
            cells = cells.astype(object)
        values, wrong = to_numbers(cells, rule.number_of)
        instead = None if rule.column.instead is None else rule.array_of([rule.column.instead])[0]
    else:
        values, instead = pd.Series(_to_codes(cells, rule)), rule.column.instead
    filled = values if instead is None else values.fillna(instead)
    return filled if isinstance(rule, NumberRule) else filled.array, wrong


def with_fallbacks(raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return raw rows with the columns that they lack, and that have a fallback, empty."""
    return raw.assign(**{column.name: None for column in contract.fallbacks if column.name not in raw})


def _without_waiting(raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return raw rows in which an outcome that is said not to be known yet is missing."""
    target, words = contract.target, contract.target.waiting_words
    of_score = [contract.score.name] if contract.score else []
    names = [name for name in (target.column, *of_score) if words and name in raw]
    said = {name: raw[name].astype("string").str.strip().str.casefold().isin(words) for name in names}
    return raw.assign(**{name: raw[name].mask(waits.to_numpy(dtype=bool)) for name, waits in said.items()})


def _with_target(frame: pd.DataFrame, raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return the frame with the target column, read or derived from the score, where it can be had."""
    target = contract.target
    if not target.derived and target.column in raw:
        classes = _to_codes(raw[target.column], rule_of(target.as_column))
    elif target.derived and contract.score is not None and contract.score.name in frame:
        places = class_places(frame[contract.score.name].to_numpy(), target)
        classes = pd.Categorical.from_codes(places.tolist(), dtype=pd.CategoricalDtype([*target.classes]))
    else:
        return frame
    return frame.assign(**{target.column: classes})


def to_numbers(
    series: pd.Series, read: Callable[[Any], float | None] = number_of
) -> tuple[pd.Series, np.ndarray]:
    """Return float64 values, missing ones NaN, and which cells are no number: text, a boolean, a date."""
    plain = series.reset_index(drop=True)
    if plain.dtype.kind in "iuf":
        return plain.astype("float64"), np.zeros(len(plain), dtype=bool)
    if isinstance(plain.dtype, pd.CategoricalDtype):
        cells = np.array([*map(read, plain.cat.categories), np.nan], dtype=object)[plain.cat.codes]
    else:
        both = zip(plain, plain.isna(), strict=True)
        cells = np.fromiter((np.nan if gone else read(v) for v, gone in both), object, count=len(plain))
    wrong = np.array([value is None for value in cells], dtype=bool)
    return pd.Series(np.where(wrong, np.nan, cells).astype("float64"), name=series.name), wrong


def within_reach(numbers: pd.Series) -> pd.Series:
    """Return numbers without those beyond what the model reads, float32: they are missing."""
    return numbers.where(numbers.abs() <= FLOAT32_MAX)


def to_ids(series: pd.Series, *, whole: bool) -> pd.Series:
    """Return ids as text, None where there is none; 1001, 1001.0 and "1001" are one student."""
    texts = series.tolist()
    if not are_plain(texts):
        cells = zip(texts, series.isna(), strict=True)
        texts = [None if gone else canonical_id(v, whole=whole) or None for v, gone in cells]
    return pd.Series(texts, name=series.name, dtype=object)


def _to_codes(series: pd.Series, rule: Rule) -> "pd.Categorical[Any]":
    """Return the codes that raw values mean; what means none stays as unknown text, after the codes."""
    try:
        raw = series.astype("category").cat
    except TypeError:  # lists and the like, which Parquet can hold
        raw = series.map(str, na_action="ignore").astype("category").cat
    codes = list(rule.column.codes)
    meant = [rule.read(value) for value in raw.categories]
    both = zip(meant, raw.categories, strict=True)
    texts = [_text_of(value) if code is Reason.UNKNOWN_CODE else None for code, value in both]
    unknown = sorted({text for text in texts if text is not None})
    known: dict[Any, int] = {None: -1} | {code: n for n, code in enumerate(codes)}
    others = {text: n for n, text in enumerate(unknown, start=len(codes))}
    cells = zip(meant, texts, strict=True)
    places = [*(known[code] if text is None else others[text] for code, text in cells), -1]
    positions = np.array(places, dtype=np.int64)[raw.codes.to_numpy()]
    return pd.Categorical.from_codes(positions, dtype=pd.CategoricalDtype([*codes, *unknown]), validate=False)


def _text_of(value: Any) -> str:
    text = str(value).strip()
    number = WRITTEN_AS_FLOAT.fullmatch(text)
    return number[1] if number else text


NOTATION = b"notation"


def with_notations(table: "pa.Table", notations: Mapping[str, Notation]) -> "pa.Table":
    """Return a table whose columns say how they write their numbers, wherever it is sent."""
    import pyarrow as pa

    fields = [
        field.with_metadata({NOTATION: json.dumps(asdict(notations[field.name]))})
        if field.name in notations
        else field
        for field in table.schema
    ]
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields))


def notation_in(table: "pa.Table", name: str) -> Notation | None:
    """Return how a column of a table writes its numbers, where it says so."""
    told = (table.schema.field(name).metadata or {}).get(NOTATION)
    return Notation(**json.loads(told)) if told else None


def from_arrow(
    cells: "pa.ChunkedArray", column: Column | None, notation: Notation | None = None
) -> pd.Series:
    """Return a column for pandas: of texts, numbers where each is one; ids; else categories, looked at once.

    No column stands for one that the contract does not have: the target. The notation is that of numbers,
    of a file whose columns have one.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        return cells.to_pandas(integer_object_nulls=True)
    if column is not None and column.role is Role.ID:
        special = notation is not None and notation.special
        return pd.Series((_plain_texts(cells, notation) if special else cells).to_numpy(), dtype=object)
    if column is not None and column.dated:
        return _plain_texts(cells, notation).combine_chunks().dictionary_encode().to_pandas()
    if column is not None and not column.coded:
        numbers = _arrow_numbers(cells) if notation is None or notation.reads_plainly else None
        if numbers is None:
            missing = pc.is_in(_folded(cells), pa.array(MISSING_MARKS, cells.type))
            cells = _plain_texts(pc.if_else(missing, None, cells), notation)
            numbers = _arrow_numbers(cells)
        if numbers is not None:
            return numbers.to_pandas()
    return cells.combine_chunks().dictionary_encode().to_pandas()


def _folded(cells: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow.compute as pc

    return pc.utf8_lower(pc.utf8_trim_whitespace(cells))


def _plain_texts(cells: "pa.ChunkedArray", notation: Notation | None) -> "pa.ChunkedArray":
    import pyarrow as pa

    return cells if notation is None else pa.chunked_array([in_plain(cells.combine_chunks(), notation)])


def in_plain(cells: "pa.Array", notation: Notation | None) -> "pa.Array":
    """Return texts with their numbers and dates as programs write them, each text looked at once."""
    import pyarrow as pa

    if notation is None:
        return cells
    found = cells.dictionary_encode()
    plain = [notation.plain(text) for text in found.dictionary.to_pylist()]
    return pa.array(plain, pa.string()).take(found.indices)


def _arrow_numbers(texts: "pa.ChunkedArray") -> "pa.ChunkedArray | None":
    """Return texts as float64, or nothing where one is no number, or one that this would call missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return None if pc.any(pc.is_nan(numbers)).as_py() else numbers


def values_of(series: pd.Series, column: Column) -> np.ndarray:
    """Return a parsed column as the array that its rule judges and encodes."""
    return series.cat.codes.to_numpy(dtype=np.int64) if column.coded else series.to_numpy()


def matrix(frame: pd.DataFrame, contract: Contract) -> np.ndarray:
    """Return the float32 feature matrix (rows, float columns); a missing value is NaN."""
    parts = [rule_of(column).encode(values_of(frame[column.name], column)) for column in contract.features]
    return np.concatenate(parts, axis=1)


def target_index(frame: pd.DataFrame, contract: Contract) -> np.ndarray:
    """Return the class index of each row, int64: 0 is the first (best) class, -1 none or unknown."""
    codes = frame[contract.target.column].cat.codes.to_numpy(dtype=np.int64)
    return np.where(codes < len(contract.target.classes), codes, -1)


def to_records(frame: pd.DataFrame, contract: Contract) -> list[dict[str, Any]]:
    """Return clean rows as the JSON records that ask for their forecast: features, what is there to audit."""
    asked = [column for column in contract.asked if column.name in frame or column in contract.features]
    columns = {column.name: json_values(frame[column.name], column) for column in asked}
    unknown = {column.name for column in contract.audit}  # left out where it is not known of a student
    rows = (zip(columns, row, strict=True) for row in zip(*columns.values(), strict=True))
    return [{name: v for name, v in row if v is not None or name not in unknown} for row in rows]


def json_values(series: pd.Series, column: Column) -> list[Any]:
    """Return the values of a parsed column as JSON has them: whole numbers, codes, dates; None for none."""
    values, rule = series.astype(object).tolist(), rule_of(column)
    if isinstance(rule, NumberRule):
        return [None if value != value else rule.value_of(value) for value in values]
    return [None if value != value else value for value in values]


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
    asked = [
        json_values(frame[column.name], column)
        if column.dated and column.name in frame
        else frame.get(column.name, nothing).astype(object)
        for column in contract.asked
    ]
    columns = [[canonical_text(value) for value in cells] for cells in asked]
    return [record_id(list(values)) for values in zip(*columns, strict=True)]


def students_of(frame: pd.DataFrame) -> np.ndarray | None:
    """Return whose each row is (n,), uint64, where a student may have several; None where each has one."""
    if PERSON not in frame:
        return None
    return np.array([int(name[:16] or "0", 16) for name in frame[PERSON]], dtype=np.uint64)


def one_row_each(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return a frame with one row of each student, on a day drawn at random; as it is without dates.

    Rows of one student are alike: a test that counts each of them as new evidence would find too much.
    """
    if PERSON not in frame:
        return frame
    drawn = frame.sample(frac=1, random_state=seed).drop_duplicates(PERSON)
    return frame.loc[drawn.index.sort_values()]


def of_days(reference: pd.DataFrame, days: pd.Series) -> pd.DataFrame:
    """Return the rows of a reference whose day is, among its own, the nearest to one of these days."""
    own, asked = np.unique(reference[AS_OF]), days.dropna().unique()
    return reference[reference[AS_OF].isin(nearest(asked, own) if len(own) else own)]


def nearest(days: np.ndarray, among: npt.ArrayLike) -> np.ndarray:
    """Return which of some rising days (m,) each day (n,) is nearest to, the earlier one of two."""
    at = np.asarray(among)
    return np.asarray(at[np.abs(days[:, None] - at).argmin(axis=1)])


def splits(pseudonyms_: np.ndarray, test_share: float) -> np.ndarray:
    """Return "train" or "test" for each pseudonym, by its hash alone."""
    positions = np.array([split_position(text) if text else 0.0 for text in pseudonyms_])
    return np.where(positions < test_share, "test", "train")


def labels_of(codes: Codes) -> list[str]:
    """Return the label of each code, with the code beside it where two labels are the same."""
    labels = list(codes.values())
    return [f"{label} ({code})" if labels.count(label) > 1 else label for code, label in codes.items()]


def labelled(series: pd.Series, codes: Codes, unknown: Callable[[str], str]) -> pd.Series:
    """Return a parsed coded column with its labels as categories, in the contract's order.

    What is no code stands behind them, under the name that `unknown` gives its text; several may have one.
    """
    known, texts, places = labels_of(codes), series.cat.categories, series.cat.codes.to_numpy()
    extra = [place for place in np.unique(places).tolist() if place >= len(known)]
    named = known + [unknown(str(texts[place])) for place in extra]
    labels = list(dict.fromkeys(named))
    found = np.full(len(texts) + 1, -1)  # the last for what is missing, whose place is -1
    found[[*range(len(known)), *extra]] = [labels.index(name) for name in named]
    return pd.Series(
        pd.Categorical.from_codes(found[places], dtype=pd.CategoricalDtype(labels)), index=series.index
    )
