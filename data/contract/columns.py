"""What a column is, and the target: kinds, roles, codes and labels, ranges; classes, score and costs."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from data.contract.expressions import ContractError, Name, Stat, Strict, Taken

PSEUDONYM = "pseudonym"
PERSON = "person"
OF_COHORT = "of_cohort"
OWN = (PSEUDONYM, PERSON, OF_COHORT, "quarantine", "split")
"""Columns of ours that travel with a parsed frame."""
RESERVED = frozenset({*OWN, "row"})
"""Names that no column of a contract may have."""
ELAPSED = "elapsed"
"""What says, beside a record's columns, how much of the period has passed."""
FLOAT32_MAX = 3.4028234663852886e38
ALWAYS_MISSING = frozenset({"", "na", "n/a", "nan", "null"})
"""What no code or label of a contract may be, in any case."""
MISSING_MARKS = ALWAYS_MISSING | {
    *("-", "--", "–", "—", "?", ".", "..", "…", "\\n", "none", "nat", "missing", "(null)", "<null>", "<na>"),
    *("#n/a", "#na", "#nv", "#null!", "(blank)", "(leer)", "keine angabe", "n/d", "s/d"),
    *("n.a", "n.a.", "n. a.", "k.a", "k.a.", "k. a.", "n.d.", "n. d.", "s.d.", "s. d."),
}
"""What a cell that holds nothing may say, in any case, unless the contract has it as a code or a label."""


def _code(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PydanticCustomError("code", "a code is a whole number or a text; quote yes, no and the like")
    return value.strip() if isinstance(value, str) else value


def _fallback(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str | date):
        raise PydanticCustomError("fallback", "a fallback is a number, a code or a day")
    return value


Code = int | str
AnyCode = Annotated[Code, PlainValidator(_code)]
Codes = dict[AnyCode, Name]
Aliases = tuple[Name, ...]
"""Other headings under which a file may have a column."""
Also = dict[AnyCode, tuple[AnyCode, ...]]
"""What else stands for a code: other codes of the source, other words."""
OTHER = "other"


def check_codes(codes: dict[Code, str], key: str, also: dict[Code, tuple[Code, ...]]) -> None:
    """Raise ContractError where a text, code or label in any case, could mean two codes or nothing."""
    for code in also.keys() - codes.keys():
        raise ContractError(f"{code!r} is none of the {key}", "also", code)
    said = [(str(one), code, "also") for code, more in also.items() for one in more]
    said += [(text, code, key) for code, label in codes.items() for text in (str(code), label)]
    meanings: dict[str, Code] = {}
    for text, code, where in ((text.casefold(), code, where) for text, code, where in said):
        if text in ALWAYS_MISSING:
            raise ContractError(f"{text!r} stands for a missing value", where, code)
        if meanings.setdefault(text, code) != code:
            raise ContractError(f"{text!r} could mean {meanings[text]!r} or {code!r}", where, code)


def is_missing(text: str) -> bool:
    """Tell whether a cell's text is a mark of the usual programs for nothing."""
    return text.strip().casefold() in MISSING_MARKS


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that are there more than once, each once, in the order of their first."""
    return [name for name, count in Counter(names).items() if count > 1]


class Kind(StrEnum):
    """What a column's values are."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    ORDINAL = "ordinal"
    NOMINAL = "nominal"
    DATE = "date"


class Role(StrEnum):
    """What a column may be used for."""

    FEATURE = "feature"
    AUDIT = "audit"
    ID = "id"
    LEAK = "leak"
    SCORE = "score"


class Column(Strict):
    """One column: its kind, role, codes or range, and what people are told about it."""

    name: Name
    title: Name
    kind: Kind
    role: Role = Role.FEATURE
    codes: Codes = Field(default_factory=dict)
    also: Also = Field(default_factory=dict)
    other: bool = False
    min: FiniteFloat | None = None
    max: FiniteFloat | None = None
    unit: str = ""
    help: str = ""
    effect: Literal["raises", "lowers"] | None = None
    actionable: bool = False
    nullable: bool = False
    audited: bool = False
    accumulates: bool = False
    age_at: date | None = None
    days_since: date | None = None
    day_first: bool | None = None
    aliases: Aliases = ()
    fallback: Annotated[Code | float | date | None, PlainValidator(_fallback)] = None
    group: Name | None = None
    several: bool = False
    strong: Name | None = None
    taken: Taken | None = None

    @model_validator(mode="before")
    @classmethod
    def _booleans_are_no_and_yes(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("kind") == Kind.BOOLEAN and "codes" not in raw:
            return {**raw, "codes": {0: "No", 1: "Yes"}}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _the_rest_has_a_code(cls, raw: Any) -> Any:
        if (
            not isinstance(raw, dict)
            or raw.get("other") is not True
            or not isinstance(raw.get("codes"), dict)
        ):
            return raw
        codes = raw["codes"]
        if OTHER in {str(text).casefold() for pair in codes.items() for text in pair}:
            return raw
        return {**raw, "codes": {**codes, OTHER: "Other"}}

    @model_validator(mode="before")
    @classmethod
    def _dates_count_in_years_or_days(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("kind") == Kind.DATE and "unit" not in raw:
            return {**raw, "unit": "years" if raw.get("age_at") else "days"}
        return raw

    @model_validator(mode="after")
    def _codes_and_ranges_fit_the_kind(self) -> Self:
        if self.name in RESERVED:
            raise ContractError("Gradecast keeps a column of its own under this name")
        if self.role is Role.ID:
            self._check_id()
        else:
            self._check_values()
        if self.kind is Kind.NOMINAL and self.effect:
            raise ContractError("a nominal column has no order and so no direction of effect", "effect")
        if self.nullable and self.role is not Role.FEATURE:
            raise ContractError("only a feature can be nullable", "nullable")
        if self.audited and self.role is not Role.FEATURE:
            raise ContractError(
                "this is for a feature; a column with the role audit is audited anyway", "audited"
            )
        if self.strong and self.role is not Role.FEATURE:
            raise ContractError("only a feature can be strong", "strong")
        self._check_accumulates()
        self._check_date()
        self._check_fallback()
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ContractError(f"min {self.min:g} is not below max {self.max:g}", "min")
        check_codes(self.codes, "codes", self.also)
        return self

    def _check_id(self) -> None:
        if self.kind not in (Kind.INTEGER, Kind.NOMINAL) or self.codes:
            raise ContractError(
                "an id is of kind integer, or of kind nominal for any text; it has no codes", "kind"
            )
        if self.kind is Kind.NOMINAL and (self.min is not None or self.max is not None):
            raise ContractError("an id of kind nominal has no min and max", "kind")

    def _check_values(self) -> None:
        if self.several:
            raise ContractError("this is for the id of students with several rows", "several")
        coded = self.kind in (Kind.BOOLEAN, Kind.ORDINAL, Kind.NOMINAL)
        if coded and (self.min is not None or self.max is not None):
            raise ContractError(f"a column of kind {self.kind} has codes, not min and max", "kind")
        if not coded and self.codes:
            raise ContractError(f"a column of kind {self.kind} has min and max, not codes", "codes")
        if self.other and self.kind is not Kind.NOMINAL:
            raise ContractError("the rest of the codes has a place among names alone: kind nominal", "other")
        if coded and len(self.codes) < 2:
            raise ContractError(f"a column of kind {self.kind} needs at least two codes", "codes")
        if self.kind is Kind.BOOLEAN and len(self.codes) != 2:
            raise ContractError("a boolean has exactly two codes: no first, then yes", "codes")

    def _check_accumulates(self) -> None:
        if not self.accumulates:
            return
        if self.role is not Role.FEATURE:
            raise ContractError("only a feature can accumulate", "accumulates")
        if self.kind not in (Kind.INTEGER, Kind.NUMBER):
            raise ContractError("what accumulates is of kind integer or number", "accumulates")
        if self.min != 0:
            raise ContractError("what accumulates begins at nothing: give min: 0", "accumulates")

    def _check_date(self) -> None:
        given = [key for key in ("age_at", "days_since", "day_first") if getattr(self, key) is not None]
        if self.kind is not Kind.DATE:
            if given:
                raise ContractError("this is for a column of kind date", given[0])
            return
        if (self.age_at is None) == (self.days_since is None):
            raise ContractError("say what is taken from a date: age_at: DAY, or days_since: DAY", "kind")
        if self.role is Role.SCORE:
            raise ContractError("a score is of kind number or integer", "kind")
        if self.actionable:
            raise ContractError("nobody can change a date", "actionable")

    def _check_fallback(self) -> None:
        value = self.fallback
        if value is None:
            return
        if self.role is not Role.FEATURE or self.nullable:
            raise ContractError("a fallback is for a feature that is not nullable", "fallback")
        if self.coded and value not in self.codes:
            raise ContractError(f"{value!r} is none of the codes", "fallback")
        if self.dated != isinstance(value, date):
            raise ContractError("write a day for a date, 2025-09-01, and for nothing else", "fallback")
        if not (self.coded or self.dated):
            number = math.nan if isinstance(value, str | date) else value
            low, high = self.limits
            if not low <= number <= high or (self.whole and number % 1):
                raise ContractError(f"{value!r} is not what the column can be", "fallback")

    @property
    def only_grows(self) -> bool:
        """Whether what it counts until a day cannot be undone: a count or a sum of dated records."""
        return self.taken is not None and self.taken.stat in (Stat.COUNT, Stat.SUM)

    @property
    def coded(self) -> bool:
        """Whether the values are codes with labels."""
        return bool(self.codes)

    @property
    def other_code(self) -> Code | None:
        """The code of all that is none of the codes, where there is one."""
        named = (
            code for code, label in self.codes.items() if OTHER in (str(code).casefold(), label.casefold())
        )
        return next(named, None) if self.other else None

    @property
    def dated(self) -> bool:
        """Whether the cells are dates, from which a number is taken."""
        return self.kind is Kind.DATE

    @property
    def required(self) -> bool:
        """Whether there is no forecast without a value."""
        return self.role is Role.FEATURE and not self.nullable and self.fallback is None

    @property
    def instead(self) -> Code | float | None:
        """What is taken where there is no value, as one of the column's values; None for nothing."""
        value = self.fallback
        if isinstance(value, date):
            return value.isoformat()
        return int(value) if self.whole and value is not None else value

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers, not codes for something else."""
        return self.kind is Kind.INTEGER

    @property
    def decimal(self) -> bool:
        """Whether the values are numbers that need not be whole."""
        return self.kind is Kind.NUMBER

    @property
    def unordered(self) -> bool:
        """Whether the values are names, of which none is more than another."""
        return self.kind is Kind.NOMINAL

    @property
    def limits(self) -> tuple[float, float]:
        """The range of a number, within that of float32, which the model reads."""
        low = -FLOAT32_MAX if self.min is None else max(self.min, -FLOAT32_MAX)
        return low, FLOAT32_MAX if self.max is None else min(self.max, FLOAT32_MAX)


DERIVATION = re.compile(r"^\s*(?P<score>\S+)\s*(?P<sign>[<>])=\s*(?P<bound>-?\d+(?:\.\d+)?)\s*$")
LONGEST_LABEL = 200  # it is part of the names of metrics, which the registry holds to 250


class Costs(Strict):
    """What the two mistakes of calling students at risk cost, in any one unit.

    missed: a student who ends at risk and was not called so; false_alarm: one called so who does not.
    """

    missed: Annotated[FiniteFloat, Field(gt=0, le=1e100)]
    false_alarm: Annotated[FiniteFloat, Field(gt=0, le=1e100)]


class Target(Strict):
    """The class to forecast; ordered classes are listed best first."""

    column: Name
    title: Name
    ordered: bool = True
    classes: Codes
    also: Also = Field(default_factory=dict)
    at_risk: tuple[str, ...]
    at_least: dict[str, FiniteFloat] = Field(default_factory=dict)
    at_most: dict[str, FiniteFloat] = Field(default_factory=dict)
    aliases: Aliases = ()
    waiting: bool | tuple[Name, ...] = False
    derive: str | None = None
    train_on_score: bool = True
    unit: str = "points"
    costs: Costs | None = None

    @model_validator(mode="after")
    def _classes_risk_and_rule_agree(self) -> Self:
        labels = self.labels
        if self.column in RESERVED:
            raise ContractError("Gradecast keeps a column of its own under this name", "column")
        if len(labels) < 2:
            raise ContractError("there must be at least two", "classes")
        check_codes(self.classes, "classes", self.also)
        if max(map(len, labels)) > LONGEST_LABEL:
            raise ContractError(f"a label has at most {LONGEST_LABEL} characters", "classes")
        rules = (("at_least", self.at_least), ("at_most", self.at_most))
        for key, named in (("at_risk", self.at_risk), *rules):
            unknown = next((label for label in named if label not in labels), None)
            if unknown is not None:
                raise ContractError(f"{unknown!r} is not one of the classes {', '.join(labels)}", key)
        if not self.at_risk or set(self.at_risk) == set(labels):
            raise ContractError("name some of the classes, but not all", "at_risk")
        if len(set(self.at_risk)) < len(self.at_risk):
            raise ContractError("name each class once", "at_risk")
        self._check_derivation(labels)
        self._check_bounds(labels)
        return self

    def _check_derivation(self, labels: tuple[str, ...]) -> None:
        if self.derive is None:
            return
        if not self.derive_rule and self.derive not in ("at_least", "at_most"):
            raise ContractError(
                "write COLUMN >= NUMBER or COLUMN <= NUMBER, or at_least or at_most to derive from that rule",
                "derive",
            )
        if self.derive_rule and not math.isfinite(float(self.derive_rule["bound"])):
            raise ContractError("write a finite number", "derive")
        if self.derive_rule and (self.at_least or self.at_most):
            raise ContractError("give the rule once: either at_least, or derive: COLUMN >= NUMBER", "derive")
        if self.derive_rule and len(labels) != 2:
            raise ContractError("COLUMN >= NUMBER makes two classes, the first where it holds", "derive")
        if not self.derive_rule and not getattr(self, str(self.derive)):
            raise ContractError(f"this needs {self.derive}, the bound of each class but the last", "derive")
        if not self.ordered:
            raise ContractError("an unordered target has no rule on a score", "derive")

    def _check_bounds(self, labels: tuple[str, ...]) -> None:
        if self.at_least and self.at_most:
            raise ContractError("a score is better when high or when low: give one of the two", "at_most")
        for key, bounds, side in (
            ("at_least", self.at_least, "a lower"),
            ("at_most", self.at_most, "an upper"),
        ):
            if not bounds:
                continue
            if tuple(bounds) != labels[:-1]:
                raise ContractError(
                    f"give {side} bound for each of {', '.join(labels[:-1])}, in this order", key
                )
            if any(worse >= better for better, worse in pairwise(self.bounds or ())):
                way = "fall" if key == "at_least" else "rise"
                raise ContractError(f"the bounds must {way} from one class to the next", key)
            if not self.ordered:
                raise ContractError("an unordered target has no rule on a score", key)

    @cached_property
    def as_column(self) -> Column:
        """The class as a column of codes: it is read and judged as one."""
        kind = Kind.ORDINAL if self.ordered else Kind.NOMINAL
        codes, also = {**self.classes}, {**self.also}
        return Column(name=self.column, title=self.title, kind=kind, role=Role.AUDIT, codes=codes, also=also)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class labels, best first where ordered."""
        return tuple(self.classes.values())

    @property
    def derive_rule(self) -> re.Match[str] | None:
        """The parts of `derive: COLUMN >= NUMBER`."""
        return DERIVATION.match(self.derive) if self.derive else None

    @property
    def derived(self) -> bool:
        """Whether the class is computed from the score instead of read from the file."""
        return self.derive is not None

    @property
    def sign(self) -> int:
        """What a score is multiplied with so that more is better: 1, or -1 where low is good."""
        low = self.derive_rule["sign"] == "<" if self.derive_rule else bool(self.at_most)
        return -1 if low else 1

    @property
    def bounds(self) -> tuple[float, ...] | None:
        """Lower bounds of score times `sign` for all classes but the last, falling; None without a rule."""
        if self.derive_rule:
            return (self.sign * float(self.derive_rule["bound"]),)
        return tuple(self.at_least.values()) or tuple(-bound for bound in self.at_most.values()) or None

    @property
    def waiting_words(self) -> frozenset[str]:
        """What a cell may say, in lower case, of an outcome that is not yet known."""
        return frozenset(map(str.casefold, self.waiting if isinstance(self.waiting, tuple) else ()))

    @property
    def call_from(self) -> float:
        """The probability of the at-risk classes from which a student is called at risk.

        Where probabilities are calibrated, false_alarm / (missed + false_alarm) makes the expected cost
        least (Elkan 2001, "The Foundations of Cost-Sensitive Learning"); 0.5 without costs.
        """
        costs = self.costs
        return 0.5 if costs is None else costs.false_alarm / (costs.missed + costs.false_alarm)
