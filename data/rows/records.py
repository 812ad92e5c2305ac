"""One record: checked by the contract, and as the features that a model takes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import BeforeValidator, ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from data.contract.columns import ELAPSED, Column, Role
from data.contract.contract import Contract
from data.rows.kinds import PASSED, NumberRule, rule_of

DIRECTION = {"raises": 1, "lowers": -1, None: 0}
MANY = 20  # records, from which on they are taken column by column

Record = dict[str, Any]


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
        own = rule_of(column).float_names
        groups.append(tuple(range(len(names), len(names) + len(own))))
        names += own
        monotone += [DIRECTION[column.effect]] * len(own)
    columns = tuple(column.name for column in contract.features)
    return FeatureSpace(tuple(names), tuple(monotone), tuple(groups), columns)


def record_adapter(contract: Contract) -> TypeAdapter[Record]:
    """Derive the validator of one record: a dict of canonical codes and numbers.

    Features are required; id and audit columns optional, and how much of the period has passed where a
    column accumulates; anything else is refused. A missing value is null, and only where the contract says
    nullable.
    """
    fields: dict[str, Any] = {}
    for column in contract.columns.values():
        kind = rule_of(column).field()
        if column.role is Role.FEATURE:
            kind = kind | None if column.nullable else kind
            fields[column.name] = kind if column.fallback is None else NotRequired[kind]
        elif column.role in (Role.ID, Role.AUDIT):
            fields[column.name] = NotRequired[kind]
    if contract.accumulating:
        fields[ELAPSED] = NotRequired[rule_of(PASSED).field()]
    make_type: Any = TypedDict  # from a contract's name, which mypy would have be a literal
    record = make_type(f"{contract.name}_record", fields)
    record.__pydantic_config__ = ConfigDict(extra="forbid")
    lenient: Any = Annotated[record, BeforeValidator(partial(filled, contract=contract))]
    return TypeAdapter(lenient)


def filled(raw: Any, contract: Contract) -> Any:
    """Return a record with the contract's fallbacks where it says nothing."""
    instead = taken_instead(raw, contract)
    return {**raw, **instead} if instead else raw


def taken_instead(raw: Any, contract: Contract) -> Record:
    """Return the fallbacks that are taken for what a record lacks, by column."""
    if not isinstance(raw, dict):
        return {}
    return {column.name: column.instead for column in contract.fallbacks if raw.get(column.name) is None}


def asking(contract: Contract) -> Contract:
    """Return the contract of rows to forecast, which may say how much of the period has passed."""
    if not contract.accumulating:
        return contract
    return contract.model_copy(update={"columns": {**contract.columns, ELAPSED: PASSED}})


def settle_elapsed(records: Sequence[Record], contract: Contract, elapsed: float | None = None) -> None:
    """Let each validated record say how much of the period has passed, unless it is all of it.

    `elapsed` is for those that do not say it themselves.
    """
    if not contract.accumulating:
        return
    for record in records:
        passed = record.pop(ELAPSED, elapsed)
        if passed is not None and passed < 1:
            record[ELAPSED] = passed


def matrix_maker(contract: Contract) -> Callable[[Sequence[Record]], np.ndarray]:
    """Return the function that turns validated records into the float32 matrix (rows, float columns)."""
    rules = [(column.name, rule_of(column)) for column in contract.features]
    tables = [(name, rule.floats()) for name, rule in rules]
    width = len(feature_space(contract).names)

    def to_matrix(records: Sequence[Record]) -> np.ndarray:
        if len(records) < MANY:
            rows = [[value for name, table in tables for value in table[record[name]]] for record in records]
            return np.array(rows, dtype=np.float32).reshape(-1, width)
        columns = [rule.encode(rule.array_of([record[name] for record in records])) for name, rule in rules]
        return np.concatenate(columns, axis=1)

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
    rule = rule_of(column)
    number = math.ceil(middle) if column.whole else middle
    return rule.value_of(number) if isinstance(rule, NumberRule) else number
