"""How figures, counts, lists and tables are written for people: on a page, in Markdown, on the screen."""

import math
from collections.abc import Iterable, Sequence

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TRAIN_ONE = "Train one with `make pipeline`"
"""What to do where there is no model yet."""


def percent(share: float | None, digits: int = 0, gap: str = " ") -> str:
    """Return a share as percent; a dash where there is none.

    What is not quite nothing or not quite all is never said to be: 0.004 is `under 1 %`, with one digit
    0.9996 is `over 99.9 %`. `gap` stands before the sign; a page takes one that does not break.
    """
    if share is None or not math.isfinite(share):
        return NOTHING
    step = 10.0**-digits
    if 0 < 100 * share < step:
        return f"under {step:.{digits}f}{gap}%"
    if 100 - step < 100 * share < 100:
        return f"over {100 - step:.{digits}f}{gap}%"
    return f"{100 * share:.{digits}f}{gap}%"


def figure(value: float | None, digits: int = 3) -> str:
    """Return a figure with fixed decimals; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:z.{digits}f}".replace("-", MINUS)


def span(ends: tuple[float, float] | None, digits: int = 3) -> str:
    """Return an interval's two ends; a dash where there is none."""
    if ends is None or not all(map(math.isfinite, ends)):
        return NOTHING
    return " to ".join(figure(end, digits) for end in ends)


def signed(value: float, digits: int = 1) -> str:
    """Return a change with its sign, which what rounds to nothing does not have."""
    text = figure(value, digits)
    return f"+{text}" if value > 0 and float(text) else text


def count(number: int | None) -> str:
    """Return a whole number with its thousands set apart; a dash where there is none."""
    return NOTHING if number is None else f"{number:,}"


def plural(number: int, one: str, many: str = "", gap: str = " ") -> str:
    """Return a counted noun: `1 row`, `2,176 rows`. `gap` is as in `percent`."""
    return f"{count(number)}{gap}{one if number == 1 else many or one + 's'}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return words as a list in a sentence: `A, B and C`."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def number(value: float) -> str:
    """Return a number without needless digits."""
    return f"{value:,.4g}".replace("-", MINUS) if abs(value) < 10_000 else f"{value:,.0f}"


def cell(value: object) -> str:
    """Return a value as one line that cannot break a table or become HTML."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "\\<")


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, words: bool = False) -> str:
    """Return a table: figures to the right of the first column are set right, `words` left."""
    rule = [":---", *[":---" if words else "---:"] * (len(header) - 1)]
    lines = [header, rule, *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(items: Iterable[str]) -> str:
    """Return a list with a line for each item."""
    return "\n".join(f"- {item}" for item in items)


def section(title: str, *parts: str) -> str:
    """Return a headed section of the parts that say something."""
    return "\n\n".join([f"## {title}", *[part for part in parts if part]])
