"""The float columns that the model sees, derived from a contract's features."""

import re
from dataclasses import dataclass
from typing import Any

from data.columns import Code, Column, Kind
from data.contract import Contract

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
