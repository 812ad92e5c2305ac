"""Words, numbers and Markdown that reports share."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from data.contract.columns import Codes
from data.words import count


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
