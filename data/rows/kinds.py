"""The one table of kinds: how a cell of each is read, judged, explained, encoded and described.

`rule_of` gives the rule of a column. Whatever carries a cell (JSON, a CSV, a form, a frame, an Arrow
column) asks this rule. One value is a float or an int, a code of the contract, or an id as text. An array
of them is float64 (missing NaN), the positions of codes (int64, missing -1, unknown at their number or
above it), or text (missing None). A date is ISO text as a value, and in an array the number taken from it.
"""

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from numbers import Real
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from data.contract.columns import ELAPSED, Code, Column, Kind, Role, Target, is_missing
from data.rows.ids import WHOLE_ID, canonical_id

WHOLE = re.compile(r"(-?[0-9]{1,18})(?:\.0+|,0{1,2})?")
CLOCK = r"[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
ISO_DATE = re.compile(rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:{CLOCK})?")
SHORT = 38  # digits, that a float32 reaches beyond
HALF = re.compile("[\ud800-\udfff]")  # of a character: JSON can hold it, UTF-8 cannot


class Reason(StrEnum):
    """Why a cell breaks the contract, in the words that people read; of several the first one counts."""

    MISSING = "missing"
    NOT_A_NUMBER = "not a number"
    NOT_A_DATE = "not a date"
    NOT_FINITE = "not finite"
    NOT_WHOLE = "not a whole number"
    OUT_OF_RANGE = "out of range"
    UNKNOWN_CODE = "unknown code"
    DUPLICATE = "duplicate id"
    WAITING = "outcome not yet known"
    CONTRADICTION = "label contradicts score"


Broken = Iterator[tuple[Reason, Any]]
"""Reasons, the first ones first, and whether each holds: of a value, or of which in an array (n,)."""


class Rule(ABC):
    """What the cells of one column mean."""

    def __init__(self, column: Column) -> None:
        self.column, self.whole = column, column.whole
        self.low, self.high = column.limits

    @abstractmethod
    def read(self, cell: Any) -> Any:
        """Return the value that a raw cell means, None where it is missing, or the Reason why it has none."""

    @abstractmethod
    def faults(self, values: Any) -> Broken:
        """Say what is wrong with values that are there; what is missing is none of them."""

    @property
    def float_names(self) -> list[str]:
        """Names of the float columns that the model sees."""
        return [self.column.name]

    def array_of(self, values: Sequence[Any]) -> np.ndarray:
        """Return values, one by one, as an array of them."""
        return np.array(values, dtype=float)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Return an array of values (n,) as their float32 columns (n, d); a missing one is NaN in each."""
        return values.astype(np.float32)[:, None]

    def floats(self) -> Mapping[Any, tuple[float, ...]]:
        """Return the table from one value to its float columns; a number stands for itself."""
        return _Itself()

    @abstractmethod
    def field(self) -> Any:
        """Return the type by which pydantic checks a value of JSON, and describes it in a schema."""


class _Itself(dict[Any, tuple[float, ...]]):
    def __missing__(self, value: float | None) -> tuple[float, ...]:
        return (math.nan if value is None else float(value),)


class NumberRule(Rule):
    """A number within its limits."""

    unread = Reason.NOT_A_NUMBER

    def number_of(self, cell: Any) -> float | None:
        """Return the number that a raw cell holds, NaN where it is missing, None where it holds none."""
        return number_of(cell)

    def read(self, cell: Any) -> Any:
        """Return a float, or an int where the column is whole."""
        number = self.number_of(cell)
        if number is None:
            return self.unread
        if math.isnan(number):
            return self.column.instead
        reason = next((reason for reason, broken in self.faults(number) if broken), None)
        return reason or self.value_of(number)

    def value_of(self, number: float) -> Any:
        """Return a number of an array as one value."""
        return int(number) if self.whole else number

    def faults(self, values: Any) -> Broken:
        """Compare with the limits; NaN is missing and fails no comparison."""
        yield Reason.NOT_FINITE, abs(values) == np.inf
        if self.whole:
            yield Reason.NOT_WHOLE, np.floor(values) < values
        yield Reason.OUT_OF_RANGE, (values < self.low) | (values > self.high)

    def field(self) -> Any:
        """Return a strict type: in JSON a text is no number, and 3.0 no whole one."""
        about = Field(title=self.column.title, description=self.column.help)
        if self.whole:
            return Annotated[int, Field(strict=True, ge=math.ceil(self.low), le=math.floor(self.high)), about]
        return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=self.low, le=self.high), about]


DAYS_A_YEAR = 365.25


class DateRule(NumberRule):
    """A date, from which the years until a day are taken, or the days since one, within their limits."""

    unread = Reason.NOT_A_DATE

    def number_of(self, cell: Any) -> float | None:
        """Return the number taken from a raw cell, NaN where it is missing, None where it is no date."""
        day = date_of(cell)
        if not isinstance(day, date):
            return day
        if self.column.age_at is not None:
            return (self.column.age_at - day).days / DAYS_A_YEAR
        return float((day - self.column.days_since).days) if self.column.days_since else math.nan

    def value_of(self, number: float) -> Any:
        """Return the date that a number was taken from, as ISO 8601."""
        if self.column.age_at is not None:
            return (self.column.age_at - timedelta(round(number * DAYS_A_YEAR))).isoformat()
        return ((self.column.days_since or date.min) + timedelta(round(number))).isoformat()

    def array_of(self, values: Sequence[Any]) -> np.ndarray:
        """Return the numbers that are taken from dates."""
        return np.array([self.number_of(value) for value in values], dtype=float)

    def floats(self) -> Mapping[Any, tuple[float, ...]]:
        """Return what gives each date its number."""
        return _Taken(self)

    def field(self) -> Any:
        """Return a type that takes a date as ISO 8601 has it, 2007-05-31."""

        def check(value: Any) -> str:
            found = self.read(value) if isinstance(value, str) else None
            if found is None or found is self.unread:
                raise PydanticCustomError("date_type", "give a date, 2007-05-31")
            if isinstance(found, Reason):
                raise PydanticCustomError("date_range", "this date is out of range")
            return str(found)

        about = {"title": self.column.title, "description": self.column.help}
        return Annotated[
            str,
            BeforeValidator(check),
            WithJsonSchema({**about, "type": "string", "format": "date"}),
        ]


class _Taken(dict[Any, tuple[float, ...]]):
    def __init__(self, rule: DateRule) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, value: str | None) -> tuple[float, ...]:
        return (self._rule.number_of(value) or 0.0,)


PASSED = Column(
    name=ELAPSED,
    title="How much of the period has passed",
    kind=Kind.NUMBER,
    role=Role.AUDIT,
    min=0,
    max=1,
    help="A part above 0 and up to 1; all of it where this is left out.",
)
"""What may be said beside a record's own columns where one of them accumulates."""


class PassedRule(NumberRule):
    """A part of the period: at its very beginning there is nothing to forecast from."""

    def faults(self, values: Any) -> Broken:
        """Leave 0 out of the range."""
        yield from super().faults(values)
        yield Reason.OUT_OF_RANGE, values <= 0

    def field(self) -> Any:
        """Return a strict type."""
        about = Field(title=self.column.title, description=self.column.help)
        return Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=1), about]


class CodeRule(Rule):
    """One of the contract's codes, in order: written as itself, as a number, or as its label in any case."""

    _words: tuple[type, ...] = (str,)
    """What JSON may say beside whole numbers."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        codes = column.codes
        self._numbers: dict[int, Code] = {code: code for code in codes if isinstance(code, int)}
        self._texts: dict[str, Code] = {str(code): code for code in codes}
        self._labels: dict[str, Code] = {label.casefold(): code for code, label in codes.items()}
        for code, more in column.also.items():
            self._numbers |= {one: code for one in more if isinstance(one, int)}
            self._labels |= {str(one).casefold(): code for one in more}
        self._other = column.other_code
        self._places: dict[Code | None, int] = {code: n for n, code in enumerate(codes)} | {None: -1}

    def read(self, cell: Any) -> Any:
        """Return a code: 2, 2.0, "2", "2.0" and "Moderate" may all mean 2."""
        text = "" if cell is None else str(cell).strip()
        code = self._texts.get(text)
        if code is None:
            code = self._labels.get(text.casefold())
        if code is None and (whole := WHOLE.fullmatch(text)):
            code = self._numbers.get(int(whole[1]))
        if code is None and is_missing(text):
            return self.column.instead
        code = self._other if code is None else code
        return Reason.UNKNOWN_CODE if code is None else code

    def faults(self, values: Any) -> Broken:
        """Tell the positions behind those of the codes."""
        yield Reason.UNKNOWN_CODE, values >= len(self.column.codes)

    def array_of(self, values: Sequence[Any]) -> np.ndarray:
        """Return the positions of codes."""
        return np.array([self._places[code] for code in values], dtype=np.int64)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Return the rows of the table; an unknown code is as a missing one."""
        return self._table.take(np.minimum(values, len(self._table) - 1), axis=0)

    def floats(self) -> Mapping[Any, tuple[float, ...]]:
        """Return the same table by code."""
        return dict(zip([*self.column.codes, None], map(tuple, self._table.tolist()), strict=True))

    @cached_property
    def _table(self) -> np.ndarray:
        """Each code's float columns (codes + 1, d), float32; the last row is for what is missing."""
        return np.vstack([self._encoded(), np.full(len(self.float_names), np.nan)]).astype(np.float32)

    def _encoded(self) -> np.ndarray:
        return np.arange(len(self.column.codes))[:, None]

    def field(self) -> Any:
        """Return a type that takes a code or its label; of numbers whole ones alone."""
        allowed = ", ".join(f"{code} ({label})" for code, label in self.column.codes.items())
        exact = {label: code for code, label in self.column.codes.items()} | self._texts
        numbers, words = self._numbers, self._words

        def check(value: Any) -> Any:
            code: Any = None
            if type(value) is int:
                code = numbers.get(value, self._other)
            elif isinstance(value, words):
                code = exact[value] if value in exact else self.read(value)
            if code is None or code is Reason.UNKNOWN_CODE:
                raise PydanticCustomError("unknown_code", "give one of {allowed}", {"allowed": allowed})
            return code

        return Annotated[Any, BeforeValidator(check), WithJsonSchema(self._schema())]

    def _schema(self) -> dict[str, Any]:
        unique = {json.dumps(choice): choice for choice in self._choices()}
        return {"title": self.column.title, "description": self.column.help, "enum": list(unique.values())}

    def _choices(self) -> list[Any]:
        return [*self.column.codes, *self.column.codes.values()]


NO_WORDS = ("0", "false", "f", "n", "no", "nein", "non", "não", "nao", "falsch", "faux", "falso", "off")
YES_WORDS = (
    *("1", "true", "t", "y", "yes", "j", "ja", "oui", "sí", "si", "sim", "s", "wahr", "vrai", "verdadero"),
    *("verdadeiro", "on", "x", "✓"),
)


class BooleanRule(CodeRule):
    """No or yes, in the words of several languages where the contract's labels are such words.

    They are not where it says Male and Female: there f is not false.
    """

    _words = (str, bool)

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        no, yes = column.codes
        said = {"false": no, "true": yes}
        if column.codes[no].casefold() in NO_WORDS and column.codes[yes].casefold() in YES_WORDS:
            said = dict.fromkeys(NO_WORDS, no) | dict.fromkeys(YES_WORDS, yes)
        self._labels = said | self._labels  # the contract's own words win

    def _choices(self) -> list[Any]:
        return [*super()._choices(), False, True]


class NominalRule(CodeRule):
    """A name: each has a float column of its own, in which it alone is 1."""

    @property
    def float_names(self) -> list[str]:
        """Names of the float columns: one a code."""
        return [f"{self.column.name}={code}" for code in self.column.codes]

    def _encoded(self) -> np.ndarray:
        return np.eye(len(self.column.codes))


class IdRule(Rule):
    """Who a student is: any text, or a whole number within its limits."""

    def read(self, cell: Any) -> Any:
        """Return the canonical id."""
        text = "" if cell is None or cell != cell else canonical_id(cell, whole=self.whole)
        return (self._fault(text) or text) if text else None

    def faults(self, values: Any) -> Broken:
        """Judge all at one look where they are numbers that are not long, else text by text."""
        if not self.whole or (self._unbounded and self._are_short_numbers(values)):
            return
        found = [None if text is None else self._fault(text) for text in values]
        for reason in (Reason.NOT_WHOLE, Reason.OUT_OF_RANGE):
            yield reason, np.array([one is reason for one in found], dtype=bool)

    def _are_short_numbers(self, texts: Iterable[str | None]) -> bool:
        known = list(filter(None, texts))
        together = "".join(known)
        plain = together.isdecimal() and together.isascii() and "0" not in known
        return plain and max(map(len, known)) <= SHORT

    @property
    def _unbounded(self) -> bool:
        return self.low <= 1 and self.column.max is None

    def _fault(self, text: str) -> Reason | None:
        if not self.whole:
            return None
        if not WHOLE_ID.fullmatch(text):
            return Reason.NOT_WHOLE
        return None if self.low <= float(text) <= self.high else Reason.OUT_OF_RANGE

    def field(self) -> Any:
        """Return a type that takes whole numbers too, and gives text."""
        wanted = f"give the id as {'' if self.whole else 'text or as '}a whole number"

        def check(value: Any) -> str:
            given = type(value) is int or (isinstance(value, str) and not HALF.search(value))
            text = self.read(value) if given else None
            if text is Reason.OUT_OF_RANGE:
                raise PydanticCustomError("id_range", "this id is out of range")
            if text is None or isinstance(text, Reason):
                raise PydanticCustomError("id_type", wanted)
            return str(text)

        return Annotated[int | str, BeforeValidator(check), Field(title=self.column.title)]


RULES: dict[Kind, type[Rule]] = {
    Kind.NUMBER: NumberRule,
    Kind.INTEGER: NumberRule,
    Kind.BOOLEAN: BooleanRule,
    Kind.ORDINAL: CodeRule,
    Kind.NOMINAL: NominalRule,
    Kind.DATE: DateRule,
}


def rule_of(column: Column) -> Rule:
    """Return the rule of a column: that of its kind, that of ids, or that of `PASSED`."""
    if column is PASSED:
        return PassedRule(column)
    return (IdRule if column.role is Role.ID else RULES[column.kind])(column)


def number_of(cell: Any) -> float | None:
    """Return the number that a raw cell holds, NaN where it is missing, None where it holds something else.

    Not Python's way to write digits, which is not a spreadsheet's, nor a text that float() makes a NaN of.
    """
    if isinstance(cell, str):
        text = cell.strip()
        if is_missing(text):
            return math.nan
        try:
            number = float(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            return None
        return None if math.isnan(number) else number
    if isinstance(cell, bool | np.bool_):
        return None
    if isinstance(cell, Real | Decimal):
        try:
            return float(cell)
        except OverflowError:
            return -math.inf if str(cell).startswith("-") else math.inf
    return math.nan if cell is None else None


def date_of(cell: Any) -> date | float | None:
    """Return the date that a raw cell holds, NaN where it is missing, None where it holds none.

    A text is one as ISO 8601 has it; the clock behind it is left out.
    """
    if cell is None or cell != cell:
        return math.nan
    if isinstance(cell, date):  # a datetime is one too, of pandas as well
        return cell.date() if isinstance(cell, datetime) else cell
    if isinstance(cell, np.datetime64):
        return date.fromisoformat(str(cell.astype("datetime64[D]")))
    text = cell.strip() if isinstance(cell, str) else ""
    if is_missing(text) and isinstance(cell, str):
        return math.nan
    found = ISO_DATE.fullmatch(text)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def class_places(scores: Sequence[float] | np.ndarray, target: Target) -> np.ndarray:
    """Return the position of the class (n,) that the target's rule gives each score (n,); -1 for NaN."""
    values = target.sign * np.asarray(scores, dtype=float)
    below = values[:, None] < np.asarray(target.bounds)
    return np.where(np.isnan(values), -1, below.sum(axis=1))
