"""What a contract is written with: strict models, their errors, and small expressions.

A condition (`where`) or a formula has names of columns, numbers and texts, + - * /, comparisons, `and`,
`or`, `not`. It is read by Python's own parser and never evaluated by Python.
"""

import ast
import re
from collections.abc import Callable
from enum import StrEnum
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


SINGLE = re.compile(r"(?<![<>=!])=(?!=)")
ARITHMETIC: dict[type[ast.AST], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
COMPARISONS: dict[type[ast.AST], str] = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


def parse_expression(text: str) -> ast.expr:
    """Parse an expression; raises ValueError where it is none, or has more in it than is allowed."""
    try:
        tree = ast.parse(SINGLE.sub("==", text.strip()), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r} cannot be read: write a formula or a comparison") from error
    _check(tree, text)
    return tree


def _check(node: ast.expr, text: str) -> None:
    """Raise ValueError for whatever an expression may not have in it."""
    plain = isinstance(node, ast.Constant) and isinstance(node.value, int | float | str)
    if isinstance(node, ast.Name) or plain:
        return
    for below in _parts(node, text):
        _check(below, text)


def _parts(node: ast.expr, text: str) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        return [node.operand]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        return [node.left, *node.comparators]
    raise ValueError(f"{text!r}: only names, numbers, texts in quotes, + - * /, comparisons, and, or, not")


def names_in(text: str) -> list[str]:
    """Return the names of an expression, each once, in the order of their first."""
    found = [node.id for node in ast.walk(parse_expression(text)) if isinstance(node, ast.Name)]
    return list(dict.fromkeys(found))


def texts_in(text: str) -> set[str]:
    """Return the names of an expression that are compared with a text."""
    found: set[str] = set()
    for node in ast.walk(parse_expression(text)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides):
                found |= {side.id for side in sides if isinstance(side, ast.Name)}
    return found


def compared_with(text: str, names: set[str]) -> set[str]:
    """Return the names of an expression that are compared with one of these."""
    found: set[str] = set()
    for node in ast.walk(parse_expression(text)):
        if isinstance(node, ast.Compare):
            sides = {side.id for side in (node.left, *node.comparators) if isinstance(side, ast.Name)}
            found |= sides if sides & names else set()
    return found


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


def _parsed(text: str) -> str:
    parse_expression(text)
    return text


Expression = Annotated[Name, AfterValidator(_parsed)]


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


class Taken(Strict):
    """How a column is taken from a dated table, or worked out of other columns."""

    stat: Stat | None = None
    of: Name | None = None
    where: Expression | None = None
    formula: Expression | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.formula:
            if self.stat or self.of or self.where:
                raise ContractError("a formula stands alone: without stat, of and where", "formula")
            return self
        if not (self.stat and self.of):
            raise ContractError("give stat and of, {stat: mean, of: work.mark}, or a formula", "stat")
        if (self.column is None) is not (self.stat in OF_ROWS):
            what = "a table alone, {of: work}" if self.stat in OF_ROWS else "a column, {of: work.mark}"
            raise ContractError(f"{self.stat} is taken of {what}", "of")
        if self.stat is Stat.SHARE and not self.where:
            raise ContractError("a share needs a condition: the rows for which it holds", "where")
        return self

    @property
    def table(self) -> str:
        """The table that it is taken from; empty for a formula."""
        return (self.of or "").partition(".")[0]

    @property
    def column(self) -> str | None:
        """The column of the table; None where rows are counted."""
        return (self.of or "").partition(".")[2] or None
