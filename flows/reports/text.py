"""Words, numbers and Markdown that reports share."""

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from data.contract.columns import Codes


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


NOTHING = "–"
FIGURES = {
    "test_accuracy": "Accuracy",
    "test_f1_macro": "Macro F1",
    "test_qwk": "Quadratic kappa",
    "test_log_loss": "Log loss",
    "test_ece_at_risk": "Calibration error of being at risk",
    "test_ece": "Calibration error of the likeliest class",
    "test_roc_auc_ovr": "ROC AUC, each against the rest",
    "test_accuracy_published": "Accuracy on labels as published",
}
"""Registry names of the figures shown, in their order, and what people call them."""


def figure(value: float | None, digits: int = 3) -> str:
    """Return a figure with fixed decimals; a dash where there is none."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def span(ends: tuple[float, float] | None, digits: int = 3) -> str:
    """Return an interval's two ends; a dash where there is none."""
    if ends is None or not all(math.isfinite(end) for end in ends):
        return NOTHING
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def percent(share: float, digits: int = 0) -> str:
    """Return a share as percent."""
    return NOTHING if not math.isfinite(share) else f"{100 * share:.{digits}f} %"


def count(number: object) -> str:
    """Return a count with its thousands set apart; other things as they are, a dash for None."""
    return f"{number:,}" if isinstance(number, int) else NOTHING if number is None else str(number)


def plural(number: int, one: str, many: str | None = None) -> str:
    """Return a counted noun: `1 row`, `2,176 rows`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def listed(words: list[str] | tuple[str, ...]) -> str:
    """Return words as a list in a sentence: `A, B and C`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def with_unit(title: str, unit: str) -> str:
    """Return a title with its unit, where it has one."""
    return f"{title} ({unit})" if unit else title


def reasons_of(quarantined: Mapping[str, int]) -> str:
    """Return the reasons of quarantine with their counts, most frequent first."""
    ranked = sorted(quarantined.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason} {count(number)}" for reason, number in ranked) or "none"


def labels_of(codes: Codes) -> list[str]:
    """Return the label of each code, with the code beside it where two labels are the same."""
    labels = list(codes.values())
    return [f"{label} ({code})" if labels.count(label) > 1 else label for code, label in codes.items()]


def relabelled(series: pd.Series, codes: Codes) -> pd.Series:
    """Return a coded column with its labels as ordered categories; what is no code stays as written."""
    known = labels_of(codes)
    unknown = [f"unknown: {value}" for value in series.cat.categories[len(codes) :]]
    return series.cat.rename_categories(known + unknown)
