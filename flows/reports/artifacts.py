"""What Prefect shows of each stage and of each comparison, as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from data.bundle.card import CardFigure, ComparedModel
from data.intake.columns import names_students
from data.rows.quarantine import ONE_ROW
from data.words import NOTHING, bullets, cell, count, figure, percent, span, table
from flows.reports.evidence import Evidence, chosen_and_baselines, compared_sentence, lines_of, reasons_of
from flows.reports.figures import figures_on_test
from flows.reports.screen import Summary, shown_metrics
from flows.training.metrics import OURS, chosen_of


def process_markdown(processed: Mapping[str, Any]) -> str:
    """Say what became of the records; takes the fields of `Processed`."""
    rows = processed["rows"]
    kept = {
        "Rows in": rows,
        "Clean": processed["clean"],
        "Train split": processed["train_rows"],
        "Test split": processed["test_rows"],
    }
    return _joined(
        f"## Processed: {cell(processed['contract'])}",
        f"Source: `{processed['source']}`"
        + (" (reused: nothing had changed)" if processed.get("reused") else ""),
        table(["", "rows", "share"], [(name, count(n), percent(n / rows, 1)) for name, n in kept.items()]),
        _quarantined(processed["quarantined"]),
        cell(left_out(processed.get("undeclared") or ())),
        bullets(map(cell, processed.get("assumed") or ())),
    )


def left_out(undeclared: Sequence[str]) -> str:
    """Name the columns that are not in the contract; warn where one of them may say who a student is."""
    if not undeclared:
        return ""
    said = [f"Not in the contract, and not used: {', '.join(undeclared)}."]
    ids = ", ".join(name for name in undeclared if names_students(name))
    if ids:
        said.append(f"By its name, {ids} says who a student is, but it is not the contract's id: {ONE_ROW}.")
    return " ".join(said)


def _quarantined(reasons: Mapping[str, int]) -> str:
    if not reasons:
        return "Nothing in quarantine."
    ranked = sorted(reasons.items(), key=lambda item: -item[1])
    return table(["Quarantined because", "rows"], [(reason, count(number)) for reason, number in ranked])


def drift_markdown(verdict: str, reasons: Sequence[str], columns: Sequence[Mapping[str, object]]) -> str:
    """Give the verdict, its reasons, and a line for each column: any keys, the same in each line."""
    header = list(columns[0]) if columns else []
    lines = [[_shown(line.get(name)) for name in header] for line in columns]
    shown = table(header, lines, words=True) if header else ""
    return _joined(f"## Drift: {verdict}", bullets(map(cell, reasons)), shown)


def train_markdown(board: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """Give the chosen candidate beside the baselines, from the search's whole leaderboard."""
    candidates = board[board["model"] == OURS]
    compared = lines_of(chosen_and_baselines(board))
    best = chosen_of(candidates).dropna(axis=1).drop(columns="model").to_dict("records")
    chosen = [(name, _shown(value)) for name, value in best[0].items()] if best else []
    return _joined(
        f"## Trained: the best of {count(len(candidates))} candidates",
        leaderboard_table(compared),
        compared_sentence(compared),
        table(["Chosen candidate", ""], chosen, words=True),
        bullets(map(cell, notes)),
    )


def register_markdown(registered: Mapping[str, Any], evidence: Evidence) -> str:
    """Say which version it is, whether it was promoted and why; takes the fields of `Registered`."""
    verdict = "promoted to champion" if registered["promoted"] else "not promoted"
    again = " (an equal run had registered it)" if registered.get("reused") else ""
    return _joined(
        f"## {cell(registered['name'])} version {registered['version']}: {verdict}{again}",
        cell(registered["reason"]),
        metrics_table(figures_on_test(evidence)),
    )


def summary_markdown(
    summary: Summary, told: str, because: str = "", links: Sequence[tuple[str, str]] = ()
) -> str:
    """Tell a whole run on one page: what came of it and why, how good the model is, where to look.

    `told` is the outcome in a sentence, `because` why the run was started.
    """
    bad = summary.rows - summary.clean
    facts = [
        ("Why it ran", because),
        ("Because", summary.reason),
        ("Records", f"`{summary.source}`" + (" (generated students)" if summary.generated else "")),
        ("Rows in", f"{count(summary.rows)}, {count(summary.clean)} clean"),
        ("Quarantined", reasons_of(summary.quarantined) if bad else ""),
        ("Learned from, judged on", f"{count(summary.train_rows)}, {count(summary.test_rows)} rows"),
        ("Drift gate", " ".join((f"**{summary.drift}**", *summary.drift_reasons))),
    ]
    next_steps = [(what, f"`{command}`") for what, command in summary.next_steps]
    rows = [(title, figure(value), span(ends)) for title, value, ends, _ in shown_metrics(summary)]
    board = [] if summary.leaderboard is None else lines_of(summary.leaderboard)
    return _joined(
        f"## {cell(summary.model)} {cell(told)}",
        " · ".join(f"[{what}]({where})" for what, where in links if where),
        table(["", ""], [(name, text) for name, text in facts if text], words=True),
        f"### How good it is\n\n{table(['On the test split', '', '95 % interval'], rows)}" if rows else "",
        f"### Beside the others\n\n{leaderboard_table(board)}\n\n{compared_sentence(board)}" if board else "",
        bullets(map(cell, summary.notes)),
        f"### What next\n\n{table(['', ''], next_steps, words=True)}",
    )


GROUP = "group_difference "
"""Begins the name of a figure of one audit group."""


def comparison_markdown(name: str, version: str, reason: str, figures: Mapping[str, float]) -> str:
    """Give the figures of a verdict beside what they are compared with, then each group's."""
    against = f"champion {figures['champion']:.0f}" if "champion" in figures else "the class shares alone"
    return _joined(
        f"### {cell(name)} version {cell(version)} against {against}",
        cell(reason),
        table(["Figure", ""], _lines(figures), words=True),
        _groups(figures),
    )


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


def leaderboard_table(lines: Sequence[ComparedModel]) -> str:
    """Return the leaderboard as a table, the chosen model in bold."""
    rows = [
        (
            f"**{cell(line.name)}**" if line.chosen else cell(line.name),
            figure(line.log_loss),
            figure(line.accuracy),
            figure(line.f1_macro),
            line.mark,
        )
        for line in lines
    ]
    return table(["Model", "log loss", "accuracy", "macro F1", "log loss beside the chosen one (95 %)"], rows)


def metrics_table(figures: Sequence[CardFigure]) -> str:
    """Return the test figures with their intervals and, on a generated cohort, the limit of the data."""
    limited = any(found.limit is not None for found in figures)
    lines = [
        [found.title, figure(found.value), _span(found), *([figure(found.limit)] if limited else [])]
        for found in figures
    ]
    return table(["On the test split", "", "95 % interval", *(["best possible"] if limited else [])], lines)


def _span(found: CardFigure) -> str:
    return NOTHING if found.low is None or found.high is None else span((found.low, found.high))


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
