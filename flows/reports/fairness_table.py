"""The fairness audit as one table for MLflow: a line for each rate of a group and each difference."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from data.card_audit import Audit

COLUMNS = ["column", "group", "rate", "value", "low", "high", "n", "ratio", "luck"]
APART, CHANGED = "(farthest apart)", "(changed alone)"


def fairness_table(audits: Sequence[Audit]) -> pd.DataFrame:
    """Return the lines of all audited columns; None where too few students are behind a figure."""
    lines = ({"column": audit.column, **line} for audit in audits for line in _lines(audit))
    table = pd.DataFrame(lines, columns=COLUMNS).astype(object)
    return table.where(table.notna(), None)


def _lines(audit: Audit) -> Iterator[dict[str, Any]]:
    for group in audit.groups:
        for rate in group.rates:
            yield {**rate.model_dump(exclude={"name"}), "group": group.wrong.label, "rate": rate.name}
    for apart in audit.differences:
        ratio = apart.ratio.value if apart.ratio else None
        figures = apart.model_dump(include={"value", "low", "high", "luck"})
        yield {**figures, "group": APART, "rate": apart.name, "ratio": ratio}
    if audit.flips is not None:
        for name in ("classes", "calls"):
            share, n = getattr(audit.flips, name), audit.flips.n
            yield {"group": CHANGED, "rate": f"flipped_{name}", "value": share, "n": n}
