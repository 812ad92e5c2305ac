"""The statistics of dated records in SQL: sums of parts, and what is made of them.

Sums are of decimals and days are whole, so that each is exact, and the same in whatever order rows come.
Each statistic has parts that add up over any pieces of the records: what was known between two days is summed
once, and not again for every later day.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from data.contract.expressions import Stat

EXACT = "decimal(28, 9)"
"""What is summed: 19 digits before the point, 9 after it."""
SUMMED = frozenset({Stat.SUM, Stat.MEAN, Stat.TREND})
ZERO_OF_NONE = frozenset({Stat.COUNT, Stat.SUM})
"""What is 0 where there is no row; the others are missing."""


class Rows(NamedTuple):
    """The records of which a statistic is taken: value, day it was known, which count, their weights."""

    value: str
    day: str
    holds: str
    weight: str = ""

    @property
    def only(self) -> str:
        """Return the filter of the rows that count."""
        return f"filter (where {self.holds})"

    @property
    def valued(self) -> str:
        """Return the filter of the rows that count and have a value."""
        return f"filter (where {self.holds} and {self.value} is not null)"


def _mean_parts(rows: Rows) -> list[str]:
    """Return the sum and the number of values; of weighted ones, the sum of their weights."""
    if not rows.weight:
        return [f"sum({rows.value}) {rows.only}", f"count({rows.value}) {rows.only}"]
    return [f"sum({rows.value} * {rows.weight}) {rows.only}", f"sum({rows.weight}) {rows.valued}"]


def _trend_parts(rows: Rows) -> list[str]:
    value, day, only = rows.value, rows.day, rows.valued
    summed = (day, value, f"{day} * {value}", f"{day} * {day}")
    return [f"count(*) {only}", *(f"sum({one}) {only}" for one in summed)]


def _trend(parts: Sequence[str], _as_of: str) -> str:
    """Return the slope of least squares of a value by the day."""
    n, t, v, tv, tt = (f"sum({part})" for part in parts)
    v, tv = f"cast({v} as double)", f"cast({tv} as double)"
    return f"(({n} * {tv} - {t} * {v}) / nullif({n} * {tt} - {t} * {t}, 0))"


PARTS: Mapping[Stat, Callable[[Rows], list[str]]] = {
    Stat.COUNT: lambda rows: [f"count(*) {rows.only}"],
    Stat.SUM: lambda rows: _mean_parts(rows)[:1],
    Stat.MEAN: _mean_parts,
    Stat.MIN: lambda rows: [f"min({rows.value}) {rows.only}"],
    Stat.MAX: lambda rows: [f"max({rows.value}) {rows.only}"],
    Stat.LAST: lambda rows: [f"max(struct_pack(k := {rows.day}, v := {rows.value})) {rows.valued}"],
    Stat.SHARE: lambda rows: [f"count(*) {rows.only}", "count(*)"],
    Stat.DAYS_SINCE: lambda rows: [f"max({rows.day}) {rows.only}"],
    Stat.TREND: _trend_parts,
}
"""What is summed, or counted, or the largest, of some records."""

WHOLE: Mapping[Stat, Callable[[Sequence[str], str], str]] = {
    Stat.COUNT: lambda parts, _as_of: f"cast(sum({parts[0]}) as bigint)",
    Stat.SUM: lambda parts, _as_of: f"cast(sum({parts[0]}) as double)",
    Stat.MEAN: lambda parts, _as_of: f"(cast(sum({parts[0]}) as double) / nullif(sum({parts[1]}), 0))",
    Stat.MIN: lambda parts, _as_of: f"min({parts[0]})",
    Stat.MAX: lambda parts, _as_of: f"max({parts[0]})",
    Stat.LAST: lambda parts, _as_of: f"(max({parts[0]})).v",  # of two of one day, the larger
    Stat.SHARE: lambda parts, _as_of: f"(sum({parts[0]}) / sum({parts[1]}))",
    Stat.DAYS_SINCE: lambda parts, as_of: f"({as_of} - max({parts[0]}))",
    Stat.TREND: _trend,
}
"""What is made of the parts of all the records, on a day."""
