"""The end screen: leaderboard, metrics with intervals, what next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from data.bundle.bundle import ALIKE, BETTER
from data.words import NOTHING, count, figure, plural, span
from flows.reports.evidence import FIGURES, lines_of, reasons_of

WIDTH = 100
SHOWN_REASONS, SHOWN_NOTES, SHOWN_MODELS, LONGEST_SOURCE = 3, 2, 7, 70  # so that all fits 40 lines
DRIFT_STYLES = {"pass": "green", "drift": "bold red", "loss": "bold red"}


@dataclass(frozen=True)
class Summary:
    """What the last screen says. A run stopped by a gate has no leaderboard and no metrics."""

    title: str
    model: str
    source: str
    rows: int
    clean: int
    train_rows: int
    test_rows: int
    quarantined: Mapping[str, int]
    drift: str
    outcome: str
    """What became of the model, in a word or two: `promoted to champion`, `kept as challenger` …"""
    reason: str
    promoted: bool = False
    version: str | None = None
    generated: bool = False
    drift_reasons: tuple[str, ...] = ()
    leaderboard: pd.DataFrame | None = None
    """As in Evidence, as are metrics, intervals and bayes."""
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    bayes: Mapping[str, float] | None = None
    next_steps: tuple[tuple[str, str], ...] = ()
    """What to do next and the command for it."""
    notes: tuple[str, ...] = ()


def show_summary(console: Console, summary: Summary) -> None:
    """Print the summary: within 100 by 40 characters, plain text where stdout is no terminal."""
    console.print(Group(*_parts(summary)), width=min(console.width, WIDTH), highlight=False)


def _parts(summary: Summary) -> Iterator[RenderableType]:
    yield rule_with(summary.title)
    yield facts_of(_data_facts(summary))
    for rows in (_leaderboard(summary), _metrics(summary)):
        if rows is not None:
            yield Group(Text(), rows)
    yield Group(Text(), facts_of(_outcome_facts(summary)))
    if summary.next_steps:
        yield rule_with("What next")
        yield facts_of([(what, Text(command, style="cyan")) for what, command in summary.next_steps])


def rule_with(title: str) -> Rule:
    """Return a line across the screen with a title in it."""
    return Rule(Text(title, style="bold"), align="left", style="dim")


def facts_of(lines: list[tuple[str, Text]]) -> Table:
    """Return named lines of text, the names at the left."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, min_width=11)
    grid.add_column(overflow="fold")
    for name, text in lines:
        grid.add_row(name, text)
    return grid


def _data_facts(summary: Summary) -> list[tuple[str, Text]]:
    source = _shortened(summary.source)
    if summary.generated:
        source += "  (generated students, not real ones)"
    bad = summary.rows - summary.clean
    splits = f"{count(summary.train_rows)} to train, {count(summary.test_rows)} to test"
    set_aside = f"{plural(bad, 'row')}: {reasons_of(summary.quarantined)}" if bad else "none"
    return [
        ("Records", Text(source)),
        ("Rows in", Text(f"{count(summary.rows)}; {count(summary.clean)} clean: {splits}")),
        ("Quarantined", Text(set_aside, style="yellow" if bad else "")),
        ("Drift", verdict_text(summary.drift, summary.drift_reasons, SHOWN_REASONS)),
    ]


def _shortened(source: str) -> str:
    """Keep a long path's end, where the file's name is."""
    return source if len(source) <= LONGEST_SOURCE else f"…{source[1 - LONGEST_SOURCE :]}"


def verdict_text(verdict: str, reasons: Sequence[str], most: int) -> Text:
    """Return a verdict in its colour, and below it at most so many of its reasons."""
    text = Text(verdict, style=DRIFT_STYLES.get(verdict, "yellow"))
    left = len(reasons) - most
    for line in (*reasons[:most], *([f"and {left} more"] if left > 0 else [])):
        text.append(f"\n{line}", style="default")
    return text


def table_of(title: str, *columns: str) -> Table:
    """Return an empty table of figures, with a wide first column."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(title, header_style="bold", min_width=34)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True, header_style="dim")
    return table


def _leaderboard(summary: Summary) -> Table | None:
    if summary.leaderboard is None or summary.leaderboard.empty:
        return None
    table = table_of("Cross-validated, same folds", "log loss", "accuracy", "beside the chosen one (95 %)")
    for line in lines_of(summary.leaderboard)[:SHOWN_MODELS]:
        style = "bold" if line.chosen else "yellow" if line.comparison in (BETTER, ALIKE) else ""
        figures = map(figure, (line.log_loss, line.accuracy))
        table.add_row(line.name, *figures, line.mark, style=style)
    return table


Metric = tuple[str, float | None, tuple[float, float] | None, float | None]


def shown_metrics(summary: Summary) -> list[Metric]:
    """Return the figures that there are: title, value, 95 % interval, and the best possible."""
    limit = summary.bayes or {}
    return [
        (title, summary.metrics[key], summary.intervals.get(key), limit.get(key.removeprefix("test_")))
        for key, title in FIGURES.items()
        if figure(summary.metrics.get(key)) != NOTHING
    ]


def _metrics(summary: Summary) -> Table | None:
    known, limited = shown_metrics(summary), bool(summary.bayes)
    if not known:
        return None
    table = table_of("On the test split", "", "95 % interval", *(["best possible"] if limited else []))
    for title, value, ends, best in known:
        table.add_row(title, figure(value), span(ends), *([figure(best)] if limited else []))
    return table


def _outcome_facts(summary: Summary) -> list[tuple[str, Text]]:
    version = f"version {summary.version}" if summary.version else "no new version"
    style = "bold green" if summary.promoted else "bold yellow"
    notes = [("Note", Text(note)) for note in summary.notes[:SHOWN_NOTES]]
    return [
        ("Model", Text(f"{summary.model}, {version}: ").append(summary.outcome, style=style)),
        *([("Because", Text(summary.reason))] if summary.reason else []),
        *notes,
    ]
