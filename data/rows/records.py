"""One record: checked by the contract, and as the features that a model takes."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from data.contract.columns import Code, Column, Kind, Role
from data.contract.contract import Contract
from data.rows.ids import WHOLE_ID, canonical_id

WHOLE = re.compile(r"(-?[0-9]{1,18})(?:\.0+)?")
DIRECTION = {"raises": 1, "lowers": -1, None: 0}


@dataclass(frozen=True)
class FeatureSpace:
    """Names, directions and groups of the feature matrix's columns, in their order.

    `groups` holds, for each contract feature of `columns`, the positions of its float columns:
    one for numbers, booleans and ordinals, one a code for nominals.
    """

    names: tuple[str, ...]
    monotone: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    columns: tuple[str, ...]


def feature_space(contract: Contract) -> FeatureSpace:
    """Derive the feature space of a contract."""
    names: list[str] = []
    monotone: list[int] = []
    groups: list[tuple[int, ...]] = []
    for column in contract.features:
        own = float_names(column)
        groups.append(tuple(range(len(names), len(names) + len(own))))
        names += own
        monotone += [DIRECTION[column.effect]] * len(own)
    columns = tuple(column.name for column in contract.features)
    return FeatureSpace(tuple(names), tuple(monotone), tuple(groups), columns)


def float_names(column: Column) -> list[str]:
    """Name the float columns of one feature."""
    if column.kind is Kind.NOMINAL:
        return [f"{column.name}={code}" for code in column.codes]
    return [column.name]


def to_code(column_codes: dict[Code, str], value: Any) -> Code | None:
    """Return the code that a raw value means: the code itself, its text, or its label; else None.

    `2`, `2.0`, `"2"`, `"2.0"` and `"Moderate"` all mean code 2; labels match in any case.
    """
    if value is None:  # whose text may be a label
        return None
    text = str(value).strip()
    label_text = text.casefold()
    for code, label in column_codes.items():
        if text == str(code) or label_text == label.casefold():
            return code
    whole = WHOLE.fullmatch(text)
    number = int(whole[1]) if whole else None
    return next((code for code in column_codes if code == number), None)


def code_of(column: Column, value: Any) -> Code | None:
    """Return the code that a raw value means in a column; true and false too where that is boolean."""
    code = to_code(column.codes, value)
    if code is None and column.kind is Kind.BOOLEAN:
        no, yes = column.codes
        return {"false": no, "true": yes}.get(str(value).strip().casefold())
    return code


Record = dict[str, Any]
HALF = re.compile("[\ud800-\udfff]")


def record_adapter(contract: Contract) -> TypeAdapter[Record]:
    """Derive the validator of one record: a dict of canonical codes and numbers.

    Features are required; id and audit columns optional; anything else is refused. A missing
    value is null, and only where the contract says nullable.
    """
    fields: dict[str, Any] = {}
    for column in contract.columns.values():
        if column.role is Role.FEATURE:
            fields[column.name] = _field(column)
        elif column.role in (Role.ID, Role.AUDIT):
            fields[column.name] = NotRequired[_field(column)]
    make_type: Any = TypedDict  # from a contract's name, which mypy would have be a literal
    record = make_type(f"{contract.name}_record", fields)
    record.__pydantic_config__ = ConfigDict(extra="forbid")
    return TypeAdapter(record)


def row_maker(contract: Contract) -> Callable[[Record], list[float]]:
    """Return the function that turns a validated record into its float columns."""
    makers = [(column.name, _floats(column)) for column in contract.features]

    def to_row(record: Record) -> list[float]:
        return [value for name, floats in makers for value in floats[record[name]]]

    return to_row


def matrix_maker(contract: Contract) -> Callable[[Iterable[Record]], np.ndarray]:
    """Return the function that turns validated records into the float32 matrix (rows, float columns)."""
    to_row, width = row_maker(contract), len(feature_space(contract).names)

    def to_matrix(records: Iterable[Record]) -> np.ndarray:
        return np.array([to_row(record) for record in records], dtype=np.float32).reshape(-1, width)

    return to_matrix


def typical_record(contract: Contract) -> Record:
    """Return a record that shows how one is written: the middle of what each feature can be."""
    return {column.name: typical_value(column) for column in contract.features}


def typical_value(column: Column) -> Any:
    """Return the middle of what a column can be; where it has no end, one at its beginning."""
    if column.coded:
        return list(column.codes)[len(column.codes) // 2]
    low, high = column.limits
    bounded = column.min is not None and column.max is not None
    middle = (low + high) / 2 if bounded else min(max(low, 1.0), high)
    return math.ceil(middle) if column.kind is Kind.INTEGER else middle


class _Number(dict[Any, tuple[float, ...]]):
    """Looks like the table of a coded column: a number stands for itself."""

    def __missing__(self, value: float | None) -> tuple[float, ...]:
        return (float("nan") if value is None else float(value),)


def _floats(column: Column) -> Mapping[Any, tuple[float, ...]]:
    """Return the table from a column's value to its float columns."""
    if not column.coded:
        return _Number()
    count = len(column.codes)
    table: dict[Any, tuple[float, ...]]
    if column.kind is Kind.NOMINAL:
        table = {code: tuple(float(i == j) for j in range(count)) for i, code in enumerate(column.codes)}
    else:
        table = {code: (float(i),) for i, code in enumerate(column.codes)}
    return {**table, None: (float("nan"),) * len(float_names(column))}


def _field(column: Column) -> Any:
    if column.role is Role.ID:
        kind: Any = Annotated[int | str, BeforeValidator(_id_reader(column)), Field(title=column.title)]
    elif column.coded:
        kind = Annotated[Any, BeforeValidator(_code_reader(column)), WithJsonSchema(_code_schema(column))]
    else:
        kind = _number(column)
    return kind | None if column.nullable else kind


def _number(column: Column) -> Any:
    low, high = column.limits
    about = Field(title=column.title, description=column.help)
    if column.kind is Kind.INTEGER:
        return Annotated[int, Field(strict=True, ge=math.ceil(low), le=math.floor(high)), about]
    return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=low, le=high), about]


def _id_reader(column: Column) -> Callable[[Any], str]:
    whole = column.kind is Kind.INTEGER
    wanted = "give the id as a whole number" if whole else "give the id as text or as a whole number"
    low, high = column.limits

    def read(value: Any) -> str:
        given = isinstance(value, int | str) and not isinstance(value, bool) and _is_text(value)
        text = canonical_id(value, whole=whole) if given else ""
        if not text or (whole and not WHOLE_ID.fullmatch(text)):
            raise PydanticCustomError("id_type", wanted)
        if whole and not low <= float(text) <= high:
            raise PydanticCustomError("id_range", "this id is out of range")
        return text

    return read


def _is_text(value: int | str) -> bool:
    """Tell whether a value can be written in UTF-8: JSON can hold half of a character."""
    return isinstance(value, int) or not HALF.search(value)


def _code_reader(column: Column) -> Callable[[Any], Any]:
    allowed = ", ".join(f"{code} ({label})" for code, label in column.codes.items())
    exact: dict[Any, Any] = {label: code for code, label in column.codes.items()}
    exact |= {code: code for code in column.codes}
    whole = tuple(code for code in column.codes if isinstance(code, int))

    def read(value: Any) -> Any:
        if isinstance(value, str) or (isinstance(value, bool) and column.kind is Kind.BOOLEAN):
            code = exact[value] if isinstance(value, str) and value in exact else code_of(column, value)
        else:
            code = value if type(value) is int and value in whole else None
        if code is None:
            raise PydanticCustomError("unknown_code", "give one of {allowed}", {"allowed": allowed})
        return code

    return read


def _code_schema(column: Column) -> dict[str, Any]:
    choices: list[Any] = [*column.codes, *column.codes.values()]
    if column.kind is Kind.BOOLEAN:
        choices += [False, True]
    unique = list({json.dumps(choice): choice for choice in choices}.values())
    return {"title": column.title, "description": column.help, "enum": unique}
