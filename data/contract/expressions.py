"""What a contract is written with: strict models, their errors, and small expressions.

A condition (`where`) compares: names of columns, numbers and texts in quotes, with = != < <= > >=, `and`,
`or`, `not`, and + - * / on either side. A formula is names, numbers and + - * /. Both are read by Python's
own parser and never evaluated by Python.
"""

import ast
import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class ContractError(ValueError):
    """What is wrong with a contract, and at which keys below the model that finds it."""

    def __init__(self, message: str, *keys: object) -> None:
        super().__init__(message)
        self.keys = keys


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


QUOTED_OR_SINGLE = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"|(?<![<>=!])=(?!=)")
ARITHMETIC: dict[type[ast.AST], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
COMPARISONS: dict[type[ast.AST], str] = {
    ast.Eq: "=",
    ast.NotEq: "is distinct from",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
"""What is missing is different from everything, and otherwise compares with nothing."""
ONE_COLUMN = "put a name with spaces, or one that means something to Python, right by `rename` of its table"


@lru_cache(maxsize=1_000)
def parse_expression(text: str) -> ast.expr:
    """Parse a condition or a formula; raises ValueError where it is none."""
    try:
        return ast.parse(QUOTED_OR_SINGLE.sub(_as_python, text.strip()), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"{text!r} cannot be read; {ONE_COLUMN}") from error


def _as_python(found: re.Match[str]) -> str:
    """Write a text in quotes, doubled ones inside it for one, or a single =, as Python does."""
    single, double = found.groups()
    if single is None and double is None:
        return "=="
    return repr(double.replace('""', '"') if single is None else single.replace("''", "'"))


def check_formula(text: str) -> str:
    """Return the text of a formula; raises ValueError where it is none."""
    _check_value(parse_expression(text), text)
    return text


def check_condition(text: str) -> str:
    """Return the text of a condition; raises ValueError where it is none."""
    _check_condition(parse_expression(text), text)
    return text


def _check_value(node: ast.expr, text: str) -> None:
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        _check_value(node.left, text)
        _check_value(node.right, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        _check_value(node.operand, text)
    elif not isinstance(node, ast.Name) and not _is_number(node):
        raise ValueError(f"{text!r}: only names, numbers and + - * / can be here")


def _is_number(node: ast.expr) -> bool:
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return False
    return isinstance(node.value, int | float) and abs(node.value) < float("inf")


def _check_condition(node: ast.expr, text: str) -> None:
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _check_condition(value, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check_condition(node.operand, text)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        sides = [node.left, *node.comparators]
        for side in sides:
            if not _is_text(side):
                _check_value(side, text)
        if any(map(_is_text, sides)) and not any(isinstance(side, ast.Name) for side in sides):
            raise ValueError(f"{text!r}: a text is compared with a column")
    else:
        raise ValueError(f"{text!r}: write comparisons, column = 1, with and, or, not between them")


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def names_in(text: str) -> list[str]:
    """Return the names of an expression, each once, in the order of their first."""
    found = [node.id for node in ast.walk(parse_expression(text)) if isinstance(node, ast.Name)]
    return list(dict.fromkeys(found))


def texts_in(text: str) -> set[str]:
    """Return the names of a condition that are compared with a text."""
    return {name for sides, names in _comparisons(text) if any(map(_is_text, sides)) for name in names}


def compared_with(text: str, names: set[str]) -> set[str]:
    """Return the names of a condition that stand in one comparison with one of these."""
    return {name for _, found in _comparisons(text) if found & names for name in found}


def numbers_in(text: str) -> set[str]:
    """Return the names of a condition that stand in a comparison without a text."""
    return {name for sides, names in _comparisons(text) if not any(map(_is_text, sides)) for name in names}


@lru_cache(maxsize=1_000)
def _comparisons(text: str) -> list[tuple[list[ast.expr], set[str]]]:
    """Return the two sides of each comparison, and the names on them."""
    found = [node for node in ast.walk(parse_expression(text)) if isinstance(node, ast.Compare)]
    sides = [[node.left, *node.comparators] for node in found]
    return [
        (both, {node.id for side in both for node in ast.walk(side) if isinstance(node, ast.Name)})
        for both in sides
    ]


def to_sql(text: str, name: Callable[[str], str]) -> str:
    """Write an expression in SQL; `name` gives a column's. A division by nothing is missing."""
    return _sql(parse_expression(text), name)


def _sql(node: ast.expr, name: Callable[[str], str]) -> str:
    if isinstance(node, ast.Name):
        return name(node.id)
    if isinstance(node, ast.Constant):
        return _literal(node.value)
    if isinstance(node, ast.BinOp):
        left, right = _sql(node.left, name), _sql(node.right, name)
        right = f"nullif({right}, 0)" if isinstance(node.op, ast.Div) else right
        return f"({left} {ARITHMETIC[type(node.op)]} {right})"
    if isinstance(node, ast.UnaryOp):
        return f"({'-' if isinstance(node.op, ast.USub) else 'not '}{_sql(node.operand, name)})"
    if isinstance(node, ast.BoolOp):
        word = " and " if isinstance(node.op, ast.And) else " or "
        return f"({word.join(_sql(value, name) for value in node.values)})"
    if isinstance(node, ast.Compare):
        sides = _sql(node.left, name), _sql(node.comparators[0], name)
        return f"({sides[0]} {COMPARISONS[type(node.ops[0])]} {sides[1]})"
    raise ValueError(ast.unparse(node))


def _literal(value: Any) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def refuse_both(where: str, numbers: set[str], *keys: object) -> None:
    """Raise ContractError for a column that a condition takes for a text, and it or others for a number."""
    if both := texts_in(where) & (numbers_in(where) | numbers):
        raise ContractError(f"{min(both)!r} is compared with a text here and is a number there", *keys)


Condition = Annotated[Name, AfterValidator(check_condition)]
Formula = Annotated[Name, AfterValidator(check_formula)]


class Stat(StrEnum):
    """What is taken of the rows of a dated table that are known on a day."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    SHARE = "share"
    DAYS_SINCE = "days_since"
    TREND = "trend"


OF_ROWS = frozenset({Stat.COUNT, Stat.SHARE, Stat.DAYS_SINCE})
"""What needs no column, only rows."""


WEIGHTED = frozenset({Stat.SUM, Stat.MEAN})
"""What a column of weights may go with."""


class Taken(Strict):
    """How a column is taken from a dated table, or worked out of other columns."""

    stat: Stat | None = None
    of: Name | None = None
    less: Name | None = None
    """A column of the same table, taken from the value row by row: date_handed_in less date_due."""
    weight: Name | None = None
    """A column of the same table: sum and mean are weighted by it."""
    where: Condition | None = None
    formula: Formula | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.formula:
            if self.model_fields_set != {"formula"}:
                raise ContractError("a formula stands alone, without stat, of and the others", "formula")
            return self
        if not (self.stat and self.of):
            raise ContractError("give stat and of, {stat: mean, of: work.mark}, or a formula", "stat")
        if (self.column is None) is not (self.stat in OF_ROWS):
            what = "a table alone, {of: work}" if self.stat in OF_ROWS else "a column, {of: work.mark}"
            raise ContractError(f"{self.stat} is taken of {what}", "of")
        return self

    @model_validator(mode="after")
    def _what_goes_with_it(self) -> Self:
        if self.less and self.column is None:
            raise ContractError("less takes something from a column, {of: work.mark}", "less")
        if self.weight and self.stat not in WEIGHTED:
            raise ContractError("a sum or a mean can be weighted, nothing else", "weight")
        if self.stat is Stat.SHARE and not self.where:
            raise ContractError("a share needs a condition: the rows for which it holds", "where")
        if self.where:
            refuse_both(self.where, set(self.numbers), "where")
        return self

    @property
    def numbers(self) -> list[str]:
        """The columns of the table that numbers, or days, are read from."""
        return [name for name in (self.column, self.less, self.weight) if name]

    @property
    def table(self) -> str:
        """The table that it is taken from; empty for a formula."""
        return (self.of or "").partition(".")[0]

    @property
    def column(self) -> str | None:
        """The column of the table; None where rows are counted."""
        return (self.of or "").partition(".")[2] or None
