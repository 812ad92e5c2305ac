"""One column of a contract."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainValidator,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

PSEUDONYM = "pseudonym"
OWN = (PSEUDONYM, "quarantine", "split")
"""Columns of ours that travel with a parsed frame."""
RESERVED = frozenset({*OWN, "row"})
"""Names that no column of a contract may have."""
FLOAT32_MAX = 3.4028234663852886e38
MISSING_TEXTS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
"""What a cell that holds nothing may say."""

Name = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Misfit(ValueError):
    """What is wrong with a contract, and at which keys below the model that finds it."""

    def __init__(self, message: str, *keys: object) -> None:
        super().__init__(message)
        self.keys = keys


def _code(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PydanticCustomError("code", "a code is a whole number or a text; quote yes, no and the like")
    return value.strip() if isinstance(value, str) else value


Code = int | str
Codes = dict[Annotated[Code, PlainValidator(_code)], Name]


def check_codes(codes: dict[Code, str], key: str) -> None:
    """Raise Misfit where a text could mean two codes (as a code or a label, in any case) or nothing."""
    meanings: dict[str, Code] = {}
    for code, label in codes.items():
        for text in dict.fromkeys((str(code).casefold(), label.casefold())):
            if text in {missing.casefold() for missing in MISSING_TEXTS}:
                raise Misfit(f"{text!r} stands for a missing value", key, code)
            if meanings.setdefault(text, code) != code:
                raise Misfit(f"{text!r} could mean {meanings[text]!r} or {code!r}", key, code)


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


class Role(StrEnum):
    """What a column may be used for."""

    FEATURE = "feature"
    AUDIT = "audit"
    ID = "id"
    LEAK = "leak"
    SCORE = "score"


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(Strict):
    """One column: its kind, role, codes or range, and what people are told about it."""

    name: Name
    title: Name
    kind: Kind
    role: Role = Role.FEATURE
    codes: Codes = Field(default_factory=dict)
    min: FiniteFloat | None = None
    max: FiniteFloat | None = None
    unit: str = ""
    help: str = ""
    effect: Literal["raises", "lowers"] | None = None
    actionable: bool = False
    nullable: bool = False
    audited: bool = False
    strong: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _booleans_are_no_and_yes(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("kind") == Kind.BOOLEAN and "codes" not in raw:
            return {**raw, "codes": {0: "No", 1: "Yes"}}
        return raw

    @model_validator(mode="after")
    def _codes_and_ranges_fit_the_kind(self) -> Self:
        if self.name in RESERVED:
            raise Misfit("Gradecast keeps a column of its own under this name")
        if self.role is Role.ID:
            self._check_id()
        else:
            self._check_values()
        if self.kind is Kind.NOMINAL and self.effect:
            raise Misfit("a nominal column has no order and so no direction of effect", "effect")
        if self.nullable and self.role is not Role.FEATURE:
            raise Misfit("only a feature can be nullable", "nullable")
        if self.audited and self.role is not Role.FEATURE:
            raise Misfit("this is for a feature; a column with the role audit is audited anyway", "audited")
        if self.strong and self.role is not Role.FEATURE:
            raise Misfit("only a feature can be strong", "strong")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise Misfit(f"min {self.min:g} is not below max {self.max:g}", "min")
        check_codes(self.codes, "codes")
        return self

    def _check_id(self) -> None:
        if self.kind not in (Kind.INTEGER, Kind.NOMINAL) or self.codes:
            raise Misfit("an id is of kind integer, or of kind nominal for any text; it has no codes", "kind")
        if self.kind is Kind.NOMINAL and (self.min is not None or self.max is not None):
            raise Misfit("an id of kind nominal has no min and max", "kind")

    def _check_values(self) -> None:
        coded = self.kind in (Kind.BOOLEAN, Kind.ORDINAL, Kind.NOMINAL)
        if coded and (self.min is not None or self.max is not None):
            raise Misfit(f"a column of kind {self.kind} has codes, not min and max", "kind")
        if not coded and self.codes:
            raise Misfit(f"a column of kind {self.kind} has min and max, not codes", "codes")
        if coded and len(self.codes) < 2:
            raise Misfit(f"a column of kind {self.kind} needs at least two codes", "codes")
        if self.kind is Kind.BOOLEAN and len(self.codes) != 2:
            raise Misfit("a boolean has exactly two codes: no first, then yes", "codes")

    @property
    def coded(self) -> bool:
        """Whether the values are codes with labels."""
        return bool(self.codes)

    @property
    def limits(self) -> tuple[float, float]:
        """The range of a number, within that of float32, which the model reads."""
        low = -FLOAT32_MAX if self.min is None else max(self.min, -FLOAT32_MAX)
        return low, FLOAT32_MAX if self.max is None else min(self.max, FLOAT32_MAX)
