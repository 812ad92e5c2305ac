"""Nothing about grades is in the code: every column and class is named in a contract alone."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from data.contract.contract import FOLDER, load_contract
from data.contract.dated import AS_OF

ROOT = FOLDER.parents[1]
FILES = sorted(path for part in ("data", "flows", "serving") for path in (ROOT / part).rglob("*.py"))
COHORTS = ("grades", "exams", "after_school", "leaving_exam", "school_year")
GENERATORS = {ROOT / "data" / "cohorts" / f"{name}.py" for name in COHORTS}
"""Each generated cohort is of one contract, and says so."""
PLAIN_WORDS = {
    *("reason", "health", "higher", "address", "school", "absences", "Result", "Other"),
    *("None", "Low", "Medium", "High", "No", "Yes", "A", "B", "C", "D", "F"),
}
"""Names of the contracts that mean something else too."""


@cache
def names_of_contracts() -> set[str]:
    """Return the columns, targets and class labels of every contract."""
    contracts = [load_contract(path) for path in FOLDER.glob("*.yaml")]
    names = {name for contract in contracts for name in contract.readable}
    names |= {column.name for contract in contracts for column in contract.leaks}
    names |= {label for contract in contracts for label in contract.target.labels}
    return names - PLAIN_WORDS - {AS_OF}  # which every contract with dated records has by itself


def words_of_code(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each identifier and each text of a module, but for its docstrings, with its line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_names_a_column_or_class_of_a_contract(path: Path) -> None:
    names = names_of_contracts()
    assert {"GradeClass", "Absences", "GPA", "StudentID", "G3", "Mjob", "Pass"} <= names
    found = [f"line {line}: {word}" for line, word in words_of_code(path) if word in names]
    assert bool(found) == (path in GENERATORS), found
