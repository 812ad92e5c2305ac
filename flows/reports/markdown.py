"""Small pieces of Markdown."""

from collections.abc import Iterable, Sequence


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
