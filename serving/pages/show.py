"""How figures, values, forecasts and shares are shown: in words, and drawn as SVG."""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from markupsafe import Markup

from data import words
from data.bundle.card import ReliabilityBin
from data.bundle.reasons import Scale, effect_in_words
from data.contract.columns import Column
from data.words import count, figure, listed, number, signed

Axis = Callable[[float], str]

GAP = "\N{NO-BREAK SPACE}"
NOT_KNOWN = "not known"


percent = partial(words.percent, gap="")
plural = partial(words.plural, gap=GAP)


def day(date: str | dt.date) -> str:
    """Return a date, or the beginning of a moment, as `21 November 2026`."""
    told = dt.date.fromisoformat(date[:10]) if isinstance(date, str) else date
    return f"{told.day}{GAP}{told:%B %Y}"


def told(sentence: str) -> str:
    """Return a sentence of the card as the pages write their figures: `52%`."""
    return re.sub(r"(?<=\d) %", "%", sentence)


def chance(share: float) -> str:
    """Return a forecast probability as whole percent; a model is never certain."""
    return percent(min(max(share, 1e-6), 1 - 1e-6))


def value_of(column: Column, value: Any) -> str:
    """Return a column's value with its label or its unit: `Moderate`, `21 days`."""
    if value is None:
        return NOT_KNOWN
    if column.coded:
        return column.codes[value]
    if column.dated:
        return str(value)
    return f"{number(value)}{GAP}{unit_of(column, value)}" if column.unit else number(value)


def unit_of(column: Column, value: float) -> str:
    """Return a column's unit as it stands after a number; one day is no days."""
    first, _, rest = column.unit.partition(" ")
    if value == 1 and first.endswith("s") and len(first) > 3:
        return f"{first[:-1]} {rest}".strip()
    return column.unit


def change_of(column: Column, before: Any, after: Any) -> str:
    """Return a change as `3 → 5 hours`; of what accumulates as `from now on at most 2 more days`."""
    if not column.accumulates:
        unit_follows = not column.coded and before is not None
        return f"{number(before) if unit_follows else value_of(column, before)} → {value_of(column, after)}"
    if not after and column.effect != "raises":
        return f"from now on no more{GAP}{column.unit}".strip()
    most = "least" if column.effect == "raises" else "most"
    return f"from now on at {most} {number(after)} more{GAP}{unit_of(column, after)}".strip()


def describe_total(column: Column, so_far: Any, expected: Sequence[float]) -> str:
    """Say what a count so far is expected to come to: its mean and the ends of nine in ten."""
    mean, low, high = (float(f"{one:.3g}") if column.decimal else round(one) for one in expected)
    if so_far is None:
        return f"{column.title}: {NOT_KNOWN}."
    total = f"about {value_of(column, mean)}" if low < high else value_of(column, mean)
    span = f" ({number(low)} to {number(high)} for nine in ten such students)" if low < high else ""
    return f"{column.title}: {value_of(column, so_far)} so far, {total} by the end{span}."


def describe_fault(text: str, fault: str) -> str:
    """Say what is wrong with what somebody wrote, by the reason of the table of kinds."""
    wrong = "isn’t one of the choices" if fault == "unknown code" else f"is {fault}"
    return f"“{text.strip()[:40]}” {wrong}."


def describe_allowed(column: Column) -> str:
    """Say what to give for a column: its range or its choices."""
    if column.coded:
        return "Choose one of the answers listed."
    if column.dated:
        return "Give a date, 2007-05-31."
    kind = "a whole number" if column.whole else "a number"
    ends = [number(end) for end in (column.min, column.max) if end is not None]
    span = f" from {ends[0]} to {ends[1]}" if len(ends) == 2 else ""
    if len(ends) == 1:
        span = f" of at {'least' if column.min is not None else 'most'} {ends[0]}"
    return f"Give {kind}{span}{f' ({column.unit})' if column.unit else ''}."


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
    "told": told,
    "day": day,
    "chance": chance,
    "figure": figure,
    "count": count,
    "signed": signed,
    "listed": listed,
}
"""What templates call them by."""

# Drawings

HIDDEN = Markup('aria-hidden="true" focusable="false"')


class BarPart(NamedTuple):
    """One part of a stacked bar."""

    label: str
    share: float
    tone: str


def tones(labels: Sequence[str], at_risk: Iterable[str]) -> dict[str, str]:
    """Return each class's tone, a CSS class: `safe-1` is the strongest of the safe, `risk-1` of the risky."""
    risky = set(at_risk)
    safe = [label for label in labels if label not in risky]
    bad = [label for label in reversed(labels) if label in risky]
    named = {label: f"safe-{min(place, 4)}" for place, label in enumerate(safe, 1)}
    return named | {label: f"risk-{min(place, 4)}" for place, label in enumerate(bad, 1)}


def bar(share: float, tone: str = "plain", before: float | None = None) -> Markup:
    """Draw a share as a bar on its track, with a tick where it was before."""
    tick = Markup('<rect class="tick" x="{}%" width="3" height="100%"/>').format(_percent(before or 0))
    return Markup(
        '<svg class="bar" {}><rect class="track" width="100%" height="100%" rx="3"/>'
        '<rect class="{}" width="{}%" height="100%" rx="3"/>{}</svg>'
    ).format(HIDDEN, tone, _percent(share), "" if before is None else tick)


def signed_bar(value: float, most: float, *, up_is_good: bool = True) -> Markup:
    """Draw an effect from a line in the middle: to the right where it raises, to the left where it lowers.

    `most` is the largest effect there is, whose bar reaches the edge. The colour says what is good.
    """
    half = 50 * min(abs(value) / most, 1.0) if most else 0.0
    start = 50.0 if value >= 0 else 50.0 - half
    return Markup(
        '<svg class="bar signed" {}><rect class="{}" x="{}%" width="{}%" height="100%" rx="2"/>'
        '<line class="axis" x1="50%" x2="50%" y1="0" y2="100%"/></svg>'
    ).format(HIDDEN, "raises" if (value >= 0) is up_is_good else "lowers", _number(start), _number(half))


def stacked(parts: Sequence[BarPart], label: str) -> Markup:
    """Draw parts of a whole side by side; `label` says them in words."""
    drawn, start = [], 0.0
    for part in parts:
        width = max(part.share, 0.0)
        drawn.append(
            Markup('<rect class="{}" x="{}%" width="{}%" height="100%"><title>{}</title></rect>').format(
                part.tone, _percent(start), _percent(width), part.label
            )
        )
        start += width
    return Markup('<svg class="bar stacked" role="img" aria-label="{}">{}</svg>').format(
        label, Markup().join(drawn)
    )


def interval(value: float, low: float, high: float, most: float = 1.0) -> Markup:
    """Draw a figure as a dot with its interval as a line, on a scale from 0 to `most`."""
    at, left, right = (_number(100 * min(max(end / most, 0.0), 1.0)) for end in (value, low, high))
    return Markup(
        '<svg class="bar interval" {}><line class="track" x1="0" x2="100%" y1="50%" y2="50%"/>'
        '<line class="reach" x1="{}%" x2="{}%" y1="50%" y2="50%"/>'
        '<circle class="dot" cx="{}%" cy="50%" r="5"/></svg>'
    ).format(HIDDEN, left, right, at)


def on_scale(scale: Sequence[float], line: float) -> Markup:
    """Draw a student as a dot with a range on a scale, and the line below which students are flagged.

    All in hundredths of the width: `scale` is the dot and the ends of its range.
    """
    at, left, right = map(_number, scale)
    return Markup(
        '<svg class="bar spot" {}><line class="track" x1="0" x2="100%" y1="50%" y2="50%"/>'
        '<line class="cut" x1="{}%" x2="{}%" y1="0" y2="100%"/>'
        '<line class="reach" x1="{}%" x2="{}%" y1="50%" y2="50%"/>'
        '<circle class="dot" cx="{}%" cy="50%" r="5"/></svg>'
    ).format(HIDDEN, _number(line), _number(line), left, right, at)


def reliability(bins: Sequence[ReliabilityBin], label: str, side: int = 320) -> Markup:
    """Draw how often forecasts came true against how sure they were; on the diagonal all is well."""
    edge = 44
    inner = side - edge - 12
    most = max((found.seen.n for found in bins), default=1)

    def x(share: float) -> str:
        return _number(edge + inner * share)

    def y(share: float | None) -> str:
        return _number(12 + inner * (1 - (share or 0.0)))

    dots = [
        Markup(
            '<line class="reach" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/><circle class="dot" cx="{0}" '
            'cy="{3}" r="{4}"/>'
        ).format(x(said), y(seen.low), y(seen.high), y(seen.share), _number(3 + 5 * (seen.n / most) ** 0.5))
        for said, seen in ((found.said, found.seen) for found in bins)
    ]
    return Markup(
        '<svg class="plot" role="img" aria-label="{}" viewBox="0 0 {} {}">{}'
        '<line class="diagonal" x1="{}" y1="{}" x2="{}" y2="{}"/>{}</svg>'
    ).format(label, side, side, _grid(x, y), x(0), y(0), x(1), y(1), Markup().join(dots))


def _grid(x: Axis, y: Axis) -> Markup:
    return Markup().join(
        Markup(
            '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
            '<text class="y" x="{0}" y="{2}" dx="-8" dy="4">{4}</text>'
            '<text class="x" x="{3}" y="{5}" dy="20">{4}</text>'
        ).format(x(0), x(1), y(share), x(share), f"{100 * share:.0f}", y(0))
        for share in (0, 0.25, 0.5, 0.75, 1)
    )


def _percent(share: float) -> str:
    return _number(100 * min(max(share, 0.0), 1.0))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
