"""What Prefect shows of each stage, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from data.intake.draft import names_students
from data.rows.quarantine import ONE_ROW
from data.words import NOTHING, count, figure, percent, span
from flows.reports.evidence import Evidence
from flows.reports.screen import chosen_and_baselines, compared_sentence, lines_of
from flows.reports.text import FIGURES, bullets, cell, table
from flows.training.metrics import OURS


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
    compared = chosen_and_baselines(board)
    best = candidates.nsmallest(1, "cv_log_loss").dropna(axis=1).drop(columns="model").to_dict("records")
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
        metrics_table(evidence),
    )


def leaderboard_table(leaderboard: pd.DataFrame) -> str:
    """Return the leaderboard as a table, the chosen model in bold."""
    lines = [
        (
            f"**{cell(line.name)}**" if line.chosen else cell(line.name),
            figure(line.log_loss),
            figure(line.accuracy),
            figure(line.f1_macro),
            line.mark,
        )
        for line in lines_of(leaderboard)
    ]
    return table(
        ["Model", "log loss", "accuracy", "macro F1", "log loss beside the chosen one (95 %)"], lines
    )


def metrics_table(evidence: Evidence) -> str:
    """Return the test figures with their intervals and, on a generated cohort, the limit of the data."""
    limit = evidence.bayes or {}
    lines = [
        [
            title,
            figure(evidence.metrics.get(key)),
            span(evidence.intervals.get(key)),
            *([figure(limit.get(key.removeprefix("test_")))] if limit else []),
        ]
        for key, title in FIGURES.items()
    ]
    header = ["On the test split", "", "95 % interval", *(["best possible"] if limit else [])]
    return table(header, [line for line in lines if line[1] != NOTHING])


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
