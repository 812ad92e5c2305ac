"""A mistake in the section `dated`, in a condition or a formula is named with its line and what is known."""

import re

import pytest

from data.contract.expressions import check_condition, check_formula, to_sql
from data.errors import BadInput
from tests.contract.dated_world import YAML, world

# what is replaced, by what; a piece of the line that is then wrong; what is said of it
MISTAKES = {
    "unknown key": (
        "  earliest: -5",
        "  earlier: -5",
        "earlier:",
        "dated.earlier: this key is not known here; there",
    ),
    "unknown key of a table": (
        "{from: work,",
        "{file: x, from: work,",
        "work:",
        "there are from, rename, where",
    ),
    "unknown statistic": (
        "stat: mean",
        "stat: median",
        "mean:",
        "stat: give one of 'count', 'sum', 'mean', 'min',",
    ),
    "falling days": ("[0, 10, 20]", "[0, 20, 10]", "checkpoints", "dated.checkpoints: the days must rise"),
    "a student table that is none": (
        "students: students",
        "students: pupils",
        "students:",
        "'pupils' is not among",
    ),
    "a student table with days": (
        "{from: students}",
        "{from: students, known: came}",
        "students:",
        "known from the start",
    ),
    "an unknown table to join": (
        "join: {tasks:",
        "join: {task:",
        "work:",
        "name another table, one without `known`",
    ),
    "a dated table to join": (
        "{from: tasks}",
        "{from: tasks, known: due}",
        "work:",
        "name another table, one without",
    ),
    "joined by nothing": ("[course, task]", "[]", "work:", "name the columns that both tables have"),
    "happened without known": ("known: known, ", "", "work:", "this needs known"),
    "an unknown table": (
        "of: work}",
        "of: wrok}",
        "pieces:",
        "'wrok' is no table with `known`; there are work, due",
    ),
    "a table without days": ("of: due}", "of: tasks}", "so_far:", "'tasks' is no table with `known`"),
    "a column where rows are counted": (
        "count, of: due",
        "count, of: due.x",
        "so_far:",
        "count is taken of a table",
    ),
    "a table where a column is wanted": (
        "sum, of: work.mark",
        "sum, of: work",
        "points:",
        "sum is taken of a column",
    ),
    "less where rows are counted": (
        "count, of: work}",
        "count, of: work, less: due}",
        "pieces:",
        "less takes something from a column",
    ),
    "a share of nothing": ("where: done > due", "", "late:", "a share needs a condition"),
    "a formula with more": (
        "so_far - essays}",
        "so_far - essays, stat: sum}",
        "open:",
        "a formula stands alone",
    ),
    "a formula that needs itself": ("so_far - essays", "so_far - share", "o", "this needs itself"),
    "an unknown name": ("so_far - essays", "so_far - essay", "open:", "'essay' is no column of numbers here"),
    "no condition": ("where: done > due", "where: done", "late:", "write comparisons, column = 1"),
    "a call": ("so_far - essays", "abs(so_far)", "open:", "only names, numbers and + - * / can be here"),
    "a text and a number": (
        "done > due",
        "done = 'x' and done > 1",
        "late:",
        "'done' is compared with a text here",
    ),
    "the day in a table": (
        "{from: work,",
        "{from: work, where: done < as_of,",
        "work:",
        "without as_of here",
    ),
    "one name twice": (
        "{from: work,",
        "{from: work, rename: {a: b, c: b},",
        "work:",
        "cannot both be named 'b'",
    ),
    "no dated section": (
        YAML[YAML.index("dated:") : YAML.index("columns:")],
        "",
        "p",
        "this needs the section dated",
    ),
    "no id": (
        "role: id, kind: nominal",
        "role: leak, kind: number",
        "columns",
        "need a column with the role id",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_named_with_its_line(what: str) -> None:
    was, then, piece, says = MISTAKES[what]
    assert was in YAML
    with pytest.raises(BadInput) as error:
        world(**{was: then})
    assert says in str(error.value)
    found = re.search(r"line (\d+)", str(error.value))
    assert found is not None
    assert piece in YAML.replace(was, then).splitlines()[int(found[1]) - 1]


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a + 1",
        "a = b = c",
        "f(a) > 1",
        "a > 1 if b else c",
        "a.b = 1",
        "1 = 'x'",
        "a in (1, 2)",
        "a = 1e999",
        "a = True",
        "a == b'x'",
        "a = f'{b}'",
        "a =",
        "class = 1",
        "((" * 300 + "a",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        check_condition(text)


@pytest.mark.parametrize(
    "text", ["a = 1", "a > 1", "'x'", "a ** 2", "a // 2", "a and b", "lambda: 1", "1e999", "-" * 9_000 + "1"]
)
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"can be here|cannot be read"):
        check_formula(text)


def test_texts_in_quotes_stay_as_they_are_and_divisions_by_nothing_are_missing() -> None:
    assert to_sql("a = 'it''s = {x} \\n' and not b / c >= -1", str.upper) == (
        "((A = 'it''s = {x} \\n') and (not ((B / nullif(C, 0)) >= (-1))))"
    )
    assert to_sql('a != "say ""no"""', str.upper) == "(A is distinct from 'say \"no\"')"
