"""The end screen: leaderboard, metrics with intervals, comparison, what next."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from data.bundle.bundle import ALIKE, BETTER, TITLES, comparison_of
from data.bundle.card import Baseline
from data.words import NOTHING, count, figure, plural, span
from flows.reports.text import FIGURES, cell, reasons_of, table
from flows.training.metrics import BESIDE, OURS, best_of_families

SHOWN = "Gradecast"


def chosen_and_baselines(board: pd.DataFrame) -> pd.DataFrame:
    """Return the best candidate, the best of each other family and the baselines, lowest log loss first.

    From the columns model, family, cv_log_loss, cv_accuracy, cv_f1_macro, difference, low and high to name,
    log_loss, accuracy, f1_macro and the same three.
    """
    candidates = board["model"] == OURS
    best = board[candidates].nsmallest(1, "cv_log_loss")
    families = best_of_families(board[candidates])
    others = families.drop(best.index, errors="ignore")
    others = others.assign(model=[f"{TITLES[name]}, tuned" for name in others.get("family", ())])
    rows = pd.concat([best, others, board[~candidates]]).sort_values("cv_log_loss")
    names = {"model": "name", "cv_log_loss": "log_loss", "cv_accuracy": "accuracy", "cv_f1_macro": "f1_macro"}
    return rows.rename(columns=names)[[*names.values(), *BESIDE]].reset_index(drop=True)


def lines_of(leaderboard: pd.DataFrame) -> list[Baseline]:
    """Return the lines of a leaderboard with name, log_loss, accuracy, f1_macro, difference, low, high."""
    return [_line(row) for row in leaderboard.to_dict("records")]


def _line(row: dict[Hashable, Any]) -> Baseline:
    chosen = row["name"] == OURS
    known = {name: row[name] for name in BESIDE if not chosen and pd.notna(row[name])}
    alike = bool(known) and comparison_of(known["low"], known["high"]) == ALIKE
    figures = {name: row[name] for name in ("log_loss", "accuracy", "f1_macro")}
    name = SHOWN if chosen else str(row["name"])
    return Baseline(name=name, chosen=chosen, as_good=alike, **figures, **known)


def compared_sentence(leaderboard: pd.DataFrame) -> str:
    """Say plainly which models are better than the chosen one, and which cannot be told apart from it."""
    lines = lines_of(leaderboard)
    if len(lines) < 2:
        return "No baseline was trained beside it."
    better, alike = ([line for line in lines if line.comparison == kind] for kind in (BETTER, ALIKE))
    if not better and not alike:
        return "Each of the others is worse: the interval of its log loss less this one's is above 0."
    said = [f"**{line.name} is better** than the model chosen, {_by(line)}." for line in better]
    said += [f"**{line.name} cannot be told apart** from it, {_by(line)}." for line in alike]
    return " ".join(
        [*said, "Where a simpler model is no worse, nothing in these figures speaks against using it."]
    )


def _by(line: Baseline) -> str:
    difference, low, high = line.difference or 0.0, line.low or 0.0, line.high or 0.0
    return f"by a log loss that differs by {difference:+.4f} (95 %: {low:+.4f} to {high:+.4f})"


GROUP = "group_difference "
"""Begins the name of a figure of one audit group."""


def comparison_markdown(name: str, version: str, reason: str, figures: Mapping[str, float]) -> str:
    """Give the figures of a verdict beside what they are compared with, then each group's."""
    against = f"champion {figures['champion']:.0f}" if "champion" in figures else "the class shares alone"
    parts = (
        f"### {cell(name)} version {cell(version)} against {against}",
        cell(reason),
        table(["Figure", ""], _lines(figures), words=True),
        _groups(figures),
    )
    return "\n\n".join(part for part in parts if part)


def _lines(figures: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    if "difference" in figures:
        interval = span((figures["low"], figures["high"]), 4)
        yield "Log loss, difference (below 0 is better)", f"{figures['difference']:+.4f}, 95 % {interval}"
    yield "Held-out students compared on", f"{figures.get('rows', 0):.0f}"
    if "new_students" in figures:
        yield "Students that it learned from and the champion did not", f"{figures['new_students']:.0f}"
    if "latency_us" in figures:
        own, theirs = figures["latency_us"], figures["champion_latency_us"]
        yield "Time for one record", f"{own:.0f} µs, champion {theirs:.0f} µs"
    if "bundle_megabytes" in figures:
        yield "Size of the bundle", f"{figures['bundle_megabytes']:.1f} MB"


def _groups(figures: Mapping[str, float]) -> str:
    found = {name.removeprefix(GROUP): gap for name, gap in figures.items() if name.startswith(GROUP)}
    if not found:
        return ""
    return table(["Group", "log loss, difference"], [(name, f"{gap:+.4f}") for name, gap in found.items()])


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
        ("Drift", _drift(summary)),
    ]


def _shortened(source: str) -> str:
    """Keep a long path's end, where the file's name is."""
    return source if len(source) <= LONGEST_SOURCE else f"…{source[1 - LONGEST_SOURCE :]}"


def _drift(summary: Summary) -> Text:
    text = Text(summary.drift, style=DRIFT_STYLES.get(summary.drift, "yellow"))
    for reason in summary.drift_reasons[:SHOWN_REASONS]:
        text.append(f"\n{reason}", style="default")
    left = len(summary.drift_reasons) - SHOWN_REASONS
    return text.append(f"\nand {left} more", style="default") if left > 0 else text


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


def _metrics(summary: Summary) -> Table | None:
    known = {key: title for key, title in FIGURES.items() if figure(summary.metrics.get(key)) != NOTHING}
    if not known:
        return None
    limit = summary.bayes or {}
    table = table_of("On the test split", "", "95 % interval", *(["best possible"] if limit else []))
    for key, title in known.items():
        cells = [title, figure(summary.metrics[key]), span(summary.intervals.get(key))]
        table.add_row(*cells, *([figure(limit.get(key.removeprefix("test_")))] if limit else []))
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
