"""The statistics of dated records in SQL.

Sums are of decimals and days are whole, so that each is exact, and the same in whatever order rows come.
"""

from collections.abc import Callable, Mapping

from data.contract.expressions import Stat

EXACT = "decimal(28, 9)"
"""What is summed: 19 digits before the point, 9 after it."""
SUMMED = frozenset({Stat.SUM, Stat.MEAN, Stat.TREND})
ZERO_OF_NONE = frozenset({Stat.COUNT, Stat.SUM})
"""What is 0 where there is no row; the others are missing."""


def statistic(stat: Stat, value: str, day: str, as_of: str, holds: str, weight: str = "") -> str:
    """Return the SQL of a statistic.

    Args:
        stat: which.
        value: the column, of exact decimals where it is summed.
        day: the day on which a row became known.
        as_of: the day that the forecast is for.
        holds: the condition of the rows that count.
        weight: the column that a sum or a mean is weighted by, of exact decimals.
    """
    if weight:
        return _weighted(stat, value, weight, holds)
    return STATISTICS[stat](value, day, as_of, holds)


def _only(holds: str, value: str = "") -> str:
    return (
        f"filter (where {' and '.join(part for part in (holds, value and f'{value} is not null') if part)})"
    )


def _sum(value: str, _day: str, _as_of: str, holds: str) -> str:
    return f"cast(sum({value}) {_only(holds)} as double)"


def _mean(value: str, day: str, as_of: str, holds: str) -> str:
    return f"({_sum(value, day, as_of, holds)} / nullif(count({value}) {_only(holds)}, 0))"


def _weighted(stat: Stat, value: str, weight: str, holds: str) -> str:
    """Return the sum of values times weights, or that by the weights of the values that are there."""
    total = f"cast(sum({value} * {weight}) {_only(holds)} as double)"
    if stat is Stat.SUM:
        return total
    return f"({total} / nullif(cast(sum({weight}) {_only(holds, value)} as double), 0))"


def _last(value: str, day: str, _as_of: str, holds: str) -> str:
    """Return the value of the latest day; of two of one day, the larger."""
    return f"(max(struct_pack(k := {day}, v := {value})) {_only(holds, value)}).v"


def _trend(value: str, day: str, _as_of: str, holds: str) -> str:
    """Return the slope of least squares of a value by the day."""
    only = _only(holds, value)
    n, t = f"count(*) {only}", f"(sum({day}) {only})"
    v, tv = f"cast(sum({value}) {only} as double)", f"cast(sum({day} * {value}) {only} as double)"
    tt = f"sum({day} * {day}) {only}"
    return f"(({n} * {tv} - {t} * {v}) / nullif({n} * {tt} - {t} * {t}, 0))"


STATISTICS: Mapping[Stat, Callable[[str, str, str, str], str]] = {
    Stat.COUNT: lambda _value, _day, _as_of, holds: f"count(*) {_only(holds)}",
    Stat.SUM: _sum,
    Stat.MEAN: _mean,
    Stat.MIN: lambda value, _day, _as_of, holds: f"min({value}) {_only(holds)}",
    Stat.MAX: lambda value, _day, _as_of, holds: f"max({value}) {_only(holds)}",
    Stat.LAST: _last,
    Stat.SHARE: lambda _value, _day, _as_of, holds: f"(count(*) {_only(holds)} / count(*))",
    Stat.DAYS_SINCE: lambda _value, day, as_of, holds: f"({as_of} - max({day}) {_only(holds)})",
    Stat.TREND: _trend,
}
