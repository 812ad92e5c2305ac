"""What Prefect shows of a batch score, as Markdown."""

from collections.abc import Mapping
from typing import Any

from flows.reports.markdown import cell, table
from flows.reports.wording import count


def score_markdown(scored: Mapping[str, Any]) -> str:
    """Say how many rows were scored, by which version, and where they are; takes the fields of `Scored`."""
    tally = scored["tally"]
    sound = tally["rows"] - tally["errors"]
    lines = [("Scored", count(sound)), ("With an error", count(tally["errors"]))]
    ranked = sorted(tally["reasons"].items(), key=lambda item: -item[1])
    lines += [(cell(reason), count(rows)) for reason, rows in ranked]
    return "\n\n".join(
        (
            f"## Scored by {cell(scored['name'])} version {scored['version']}",
            f"From `{scored['source']}` to `{scored['out']}`",
            table(["", "rows"], lines),
        )
    )
