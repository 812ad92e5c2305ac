"""What the monitor saw, as its flow returns it, and the screen that it ends with."""

from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict
from rich.console import Console, Group, RenderableType
from rich.text import Text

from flows.monitoring import words
from flows.monitoring.wanted import Asked
from flows.monitoring.watch import Watched
from flows.reports.screen import DRIFT_STYLES, WIDTH, facts_of, rule_with, table_of
from flows.settings import Settings

SHOWN_REASONS = 4


class Seen(BaseModel):
    """What was seen in a window, and what became of it."""

    model_config = ConfigDict(frozen=True)

    verdict: str
    """pass, drift, loss, too few rows or no reference."""
    reasons: tuple[str, ...]
    model: str
    champion: str | None
    since: datetime
    until: datetime
    head: str
    asked: int
    settled: int
    lines: tuple[tuple[str, ...], ...]
    """The figures as text: title, value, 90 % interval, rows, verdict."""
    findings: tuple[dict[str, str], ...]
    trust: str
    retraining: str
    notes: tuple[str, ...]
    data: Path | None
    """The retraining set, where a retraining is wanted."""
    report: Path
    markdown: str

    @classmethod
    def of(cls, watched: Watched, asked: Asked, report: Path) -> Self:
        """Gather it from what was watched."""
        return cls(
            verdict=watched.judgement.verdict,
            reasons=watched.judgement.reasons,
            model=watched.contract.model_name,
            champion=watched.version,
            since=watched.window.since,
            until=watched.window.until,
            head=words.head(watched),
            asked=len(watched.asked),
            settled=len(watched.settled),
            lines=tuple(tuple(line.cells) for line in words.lines(watched)),
            findings=tuple(words.drift_rows(watched)),
            trust=words.trust(watched),
            retraining=asked.told,
            notes=asked.notes,
            data=asked.data,
            report=report,
            markdown=words.monitor_markdown(watched, asked),
        )


def show_seen(console: Console, seen: Seen, _settings: Settings) -> None:
    """Print what was seen: within 100 by 40 characters, plain text where stdout is no terminal."""
    table = table_of(f"{seen.model}, the window's figures", *words.HEADER[1:])
    for line in seen.lines:
        table.add_row(*line)
    verdict = Text(seen.verdict, style=DRIFT_STYLES.get(seen.verdict, "yellow"))
    for reason in _shortened(seen.reasons):
        verdict.append(f"\n{reason}", style="default")
    told = [("Window", Text(seen.head)), ("Verdict", verdict)]
    then = [("Estimate", Text(seen.trust))] if seen.trust else []
    then += [("Retraining", Text(seen.retraining)), *(("Note", Text(note)) for note in seen.notes)]
    then.append(("Report", Text(str(seen.report), style="cyan")))
    figures: list[RenderableType] = [table, Text()] if seen.lines else []
    parts = (rule_with("Monitor"), facts_of(told), Text(), *figures, facts_of(then))
    console.print(Group(*parts), width=min(console.width, WIDTH), highlight=False)


def _shortened(reasons: tuple[str, ...]) -> list[str]:
    left = len(reasons) - SHOWN_REASONS
    return [*reasons[:SHOWN_REASONS], *([f"and {left} more"] if left > 0 else [])]
