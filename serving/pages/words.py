"""Figures and values of a contract as people read them."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from data import words as shared
from data.bundle.reasons import Scale, effect_in_words
from data.contract.columns import Column
from data.words import MINUS, count, figure, listed, signed

GAP = "\N{NO-BREAK SPACE}"
NOT_KNOWN = "not known"


percent = partial(shared.percent, gap=GAP)
plural = partial(shared.plural, gap=GAP)


def chance(share: float) -> str:
    """Return a forecast probability as whole percent; a model is never certain."""
    return percent(min(max(share, 1e-6), 1 - 1e-6))


def number(value: float) -> str:
    """Return a number without needless digits."""
    return f"{value:,.4g}".replace("-", MINUS) if abs(value) < 10_000 else f"{value:,.0f}"


def value_of(column: Column, value: Any) -> str:
    """Return a column's value with its label or its unit: `Moderate`, `21 days`."""
    if value is None:
        return NOT_KNOWN
    if column.coded:
        return column.codes[value]
    return f"{number(value)}{GAP}{unit_of(column, value)}" if column.unit else number(value)


def unit_of(column: Column, value: float) -> str:
    """Return a column's unit as it stands after a number; one day is no days."""
    first, _, rest = column.unit.partition(" ")
    if value == 1 and first.endswith("s") and len(first) > 3:
        return f"{first[:-1]} {rest}".strip()
    return column.unit


def describe_allowed(column: Column) -> str:
    """Say what to give for a column: its range or its choices."""
    if column.coded:
        return "Choose one of the answers listed."
    kind = "a whole number" if column.whole else "a number"
    ends = [number(end) for end in (column.min, column.max) if end is not None]
    span = f" from {ends[0]} to {ends[1]}" if len(ends) == 2 else ""
    if len(ends) == 1:
        span = f" of at {'least' if column.min is not None else 'most'} {ends[0]}"
    return f"Give {kind}{span}{f' ({column.unit})' if column.unit else ''}."


def values_of(column: Column) -> str:
    """Return what a column can be: its labels, or its range with the unit."""
    if column.coded:
        return ", ".join(column.codes.values())
    ends = [number(end) for end in (column.min, column.max) if end is not None]
    span = " to ".join(ends) if len(ends) == 2 else "any number"
    return f"{span} {column.unit}".strip()


def compared(scale: Scale) -> str:
    """Say against what reasons are measured, in which unit, and what they speak for."""
    gloss = f" ({scale.gloss})" if scale.gloss else ""
    return f"Compared with the average student it learned from, {effect_in_words(scale)}{gloss}."


def likely(answer: Mapping[str, Any]) -> str:
    """Return a forecast's plausible classes as a headline: `Most likely B or C`."""
    top, plausible = answer["grade_class"], answer["grade_set"]
    others = [label for label in plausible if label != top]
    if others and len(plausible) == len(answer["probabilities"]):
        return f"{top} is likeliest, but {listed(others, 'or')} is possible"
    return f"Most likely {listed(plausible, 'or')}"


FILTERS = {
    "percent": percent,
    "chance": chance,
    "figure": figure,
    "count": count,
    "signed": signed,
    "listed": listed,
}
