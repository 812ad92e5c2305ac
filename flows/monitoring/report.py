"""What the monitor says: on the screen, as Markdown, as a page with plots."""

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict
from rich.console import Console, Group, RenderableType
from rich.text import Text

from data.log.reading import Measurement
from data.words import NOTHING, bullets, cell, count, figure, percent, plural, table
from flows.drift_gate import DRIFT, NO_LABELS, PASS, Finding
from flows.drift_gate.verdict import charts_of, keep_charts, save_html
from flows.monitoring.checkpoints import AT, MEASURED
from flows.monitoring.retraining import RetrainingDecision
from flows.monitoring.watch import LOSS, Watched
from flows.reports.screen import WIDTH, facts_of, rule_with, table_of, verdict_text
from flows.reports.style import ACCENT, FAINT, MAIN, SOFT, new_figure, styled
from flows.runtime.workspace import finished_file
from flows.settings import Settings

TITLES = {
    "estimated_accuracy": "Estimated accuracy",
    "realised_accuracy": "Realised accuracy",
    "expected_accuracy": "… where the forecasts expected",
    "realised_log_loss": "Realised log loss",
    "expected_log_loss": "… where the forecasts expected",
    "calibration_error": "Calibration error of the likeliest class",
    "calibration_error_at_risk": "Calibration error of being at risk",
    "at_risk_share": "Mean at-risk probability",
    "labelled_share": "Have a grade by now",
    "quarantine_rate": "Faulty records",
    "drift_share": "Columns that drifted",
    "shadow_agreement": "Challenger forecasts the same class",
    "shadow_difference": "Challenger's log loss less the champion's",
    "override_share": "Teachers who noted a verdict",
}
"""Measurements with a line of their own, in this order, and what people call them."""
LOSSES = (
    "realised_log_loss",
    "expected_log_loss",
    "calibration_error",
    "calibration_error_at_risk",
    "shadow_difference",
)
TRUST = {
    PASS: "Grades that came bear the estimate out.",
    LOSS: "The estimate cannot be trusted: the grades that came do not follow from the records as the "
    "champion learned, and only grades can show how good it is.",
    NO_LABELS: "No grades have come that could bear the estimate out; it holds as long as grades follow from "
    "the records as they did.",
}


HEADER = ["", "", "90 % interval", "rows", ""]
DAY_HEADER = ["", *(TITLES[name] for name in MEASURED)]


def lines(watched: Watched) -> list[list[str]]:
    """Return the figures of a window that have a title, in their order: as texts under HEADER."""
    return [_line(found) for name in TITLES for found in watched.measurements if found.name == name]


def group_lines(watched: Watched) -> list[list[str]]:
    """Return the share of wrong classes of each audit group."""
    titles = {column.name: column.title for column in watched.contract.audited}
    groups = [
        (found, found.about.partition("=")) for found in watched.measurements if found.name == "group_error"
    ]
    return [_line(found, f"{titles.get(name, name)}: {group}") for found, (name, _, group) in groups]


def checkpoint_lines(watched: Watched) -> list[list[str]]:
    """Return how good the forecasts near each checkpoint are: as texts under DAY_HEADER."""
    found = {(one.about, one.name.removeprefix(AT)): one for one in watched.measurements if AT in one.name}
    days = dict.fromkeys(day for day, _ in found)
    return [[f"day {day}", *(_with_rows(found.get((day, name))) for name in MEASURED)] for day in days]


def _with_rows(found: Measurement | None) -> str:
    if found is None:
        return NOTHING
    name = found._replace(name=found.name.removeprefix(AT))
    span = f" ({_span(name)})" if _span(name) else ""
    return f"{_shown(name, found.value)}{span}, n = {count(found.rows)}"


def describe_trust(watched: Watched) -> str:
    """Say whether the estimated accuracy can be trusted; nothing where none was made."""
    found = watched.value("estimated_accuracy")
    return "" if found is None or found.value is None else TRUST[found.verdict]


def describe_window(watched: Watched) -> str:
    """Say in one sentence what was looked at."""
    window = watched.window
    span = f"{window.since:%Y-%m-%d %H:%M} to {window.until:%Y-%m-%d %H:%M} UTC"
    asked, settled = len(watched.asked), len(watched.settled)
    told = f"{plural(asked, 'student')} asked about, {plural(settled, 'grade')} came"
    return f"{span}: {told}; champion: {f'version {watched.version}' if watched.version else 'none'}."


def monitor_markdown(watched: Watched, asked: RetrainingDecision) -> str:
    """Give the verdict with its reasons, the figures, and what becomes of it."""
    parts = [
        f"## Monitor: {cell(watched.contract.model_name)}: {watched.judgement.verdict}",
        cell(describe_window(watched)),
        bullets(map(cell, watched.judgement.reasons)),
        table(HEADER, lines(watched)),
        table(DAY_HEADER, days) if (days := checkpoint_lines(watched)) else "",
        describe_trust(watched),
        f"Retraining: {cell(asked.decision)}.",
        bullets(map(cell, asked.notes)),
    ]
    return "\n\n".join(part for part in parts if part)


def drift_rows(watched: Watched) -> list[dict[str, str]]:
    """Return the findings as rows for a table, those that drifted first."""
    judgement = watched.judgement
    columns = sorted(judgement.columns.columns, key=lambda finding: finding.excess, reverse=True)
    ordered = (*judgement.relation, *judgement.answers, *columns)
    found = sorted(ordered, key=lambda finding: finding.verdict != DRIFT)
    return [finding.cells() for finding in found]


def _line(found: Measurement, title: str | None = None) -> list[str]:
    about = f"version {found.about}" if found.name.startswith("shadow") else found.about
    shown = title or TITLES[found.name] + (f" ({about})" if about else "")
    verdict = "" if found.verdict in (PASS, NO_LABELS) else found.verdict
    if (found.name, found.verdict) == ("estimated_accuracy", LOSS):
        verdict = "not to be trusted"
    return [shown, _shown(found, found.value), _span(found), count(found.rows), verdict]


def _shown(found: Measurement, value: float | None) -> str:
    if value is None:
        return NOTHING
    return figure(value) if found.name in LOSSES else percent(value, 1)


def _span(found: Measurement) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"{_shown(found, found.low)} to {_shown(found, found.high)}"


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[dict[str, Any]]


def accuracy_over_time(history: Rows) -> "Figure":
    """Draw estimated and realised accuracy of measured windows, with alarms and changes of champion.

    `history` holds rows of the table `measurements`, oldest first.
    """
    drawn = new_figure("Accuracy, estimated and realised", 10, 4.6)
    axes = drawn.subplots()
    estimated, realised = (_of(history, name) for name in ("estimated_accuracy", "realised_accuracy"))
    if estimated:
        when = [row["until"] for row in estimated]
        low, high = ([row[end] for row in estimated] for end in ("low", "high"))
        axes.fill_between(when, low, high, color=MAIN, alpha=0.15, linewidth=0)
        values = [row["value"] for row in estimated]
        axes.plot(when, values, "--", color=MAIN, linewidth=2, label="estimated, without grades (band: 90 %)")
    if realised:
        values = [row["value"] for row in realised]
        below = [row["value"] - row["low"] for row in realised]
        above = [row["high"] - row["value"] for row in realised]
        axes.errorbar([row["until"] for row in realised], values, (below, above), fmt="o-", color=ACCENT,
                      capsize=3, linewidth=2, label="realised (bars: 90 %)")  # fmt: skip
    _mark_alarms(axes, history)
    _mark_versions(axes, history)
    axes.set(xlabel="End of the window", ylabel="Accuracy")
    axes.yaxis.set_major_formatter(lambda share, _: percent(share))
    drawn.autofmt_xdate()
    if axes.get_legend_handles_labels()[0]:
        drawn.legend(loc="outside lower center", ncols=4, fontsize=9)
    return drawn


def drift_by_column(findings: Sequence[Finding]) -> "Figure":
    """Draw by how many times each finding exceeds its limit; to the right of 1 it has drifted."""
    tested = [found for found in findings if found.score is not None and found.threshold]
    ranked = sorted(tested, key=lambda found: found.excess)
    drawn = new_figure("How far from its limit", 10, 1.6 + 0.28 * max(len(ranked), 1))
    axes = drawn.subplots()
    for place, found in enumerate(ranked):
        far = found.verdict == DRIFT
        axes.plot([1, found.excess], [place, place], color=ACCENT if far else FAINT, linewidth=2)
        axes.plot(found.excess, place, "s" if far else "o", color=ACCENT if far else MAIN)
    axes.axvline(1, color=SOFT, linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(ranked)), [found.name for found in ranked])
    axes.set(
        xlabel="Limit ÷ p-value, or distance ÷ limit; a square, right of 1: drifted",
        ylim=(-0.7, len(ranked) - 0.3),
    )
    return drawn


def _of(history: Rows, name: str) -> list[dict[str, Any]]:
    return [row for row in history if row["name"] == name and row["value"] is not None]


def _mark_alarms(axes: "Axes", history: Rows) -> None:
    for verdict, color, style in ((DRIFT, SOFT, ":"), (LOSS, ACCENT, "-.")):
        alarms = [
            row["until"] for row in history if (row["name"], row["verdict"]) == ("drift_share", verdict)
        ]
        for number, when in enumerate(alarms):
            axes.axvline(when, color=color, linestyle=style, label=None if number else f"alarm: {verdict}")


def _mark_versions(axes: "Axes", history: Rows) -> None:
    """Name the champion where it is another than before, above the axes."""
    last: str | None = None
    for row in (row for row in history if row["name"] == "drift_share"):
        if row["model_version"] != last:
            last = row["model_version"]
            when: datetime = row["until"]
            axes.annotate(f"v{last}", (when, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
                          textcoords="offset points", ha="center", fontsize=9, color=SOFT)  # fmt: skip


SHOWN_REASONS = 4


class MonitorSummary(BaseModel):
    """What was seen in a window, and what became of it."""

    model_config = ConfigDict(frozen=True)

    verdict: str
    """pass, drift, loss, too few rows or no reference."""
    reasons: tuple[str, ...]
    model: str
    head: str
    lines: tuple[tuple[str, ...], ...]
    """The figures as text: title, value, 90 % interval, rows, verdict."""
    findings: tuple[dict[str, str], ...]
    trust: str
    retraining: str
    notes: tuple[str, ...]
    report: Path
    until: datetime
    """End of the window."""
    metrics: dict[str, float]
    """What was measured of the whole window, by name."""
    markdown: str

    @property
    def alarmed(self) -> bool:
        """Whether what is asked, or what follows from it, is not what the champion learned."""
        return self.verdict in (DRIFT, LOSS)

    @property
    def told(self) -> str:
        """What was seen and what became of it, in a line."""
        reasons = f": {self.reasons[0]}" if self.alarmed and self.reasons else "."
        return f"{self.verdict}{reasons} Retraining: {self.retraining}."

    @classmethod
    def of(cls, watched: Watched, asked: RetrainingDecision, report: Path) -> Self:
        """Gather it from what was watched."""
        return cls(
            verdict=watched.judgement.verdict,
            reasons=watched.judgement.reasons,
            model=watched.contract.model_name,
            head=describe_window(watched),
            lines=tuple(map(tuple, lines(watched))),
            findings=tuple(drift_rows(watched)),
            trust=describe_trust(watched),
            retraining=asked.decision,
            notes=asked.notes,
            report=report,
            until=watched.window.until,
            metrics={
                one.name: one.value for one in watched.measurements if one.value is not None and not one.about
            },
            markdown=monitor_markdown(watched, asked),
        )


def show_summary(console: Console, seen: MonitorSummary, _settings: Settings) -> None:
    """Print what was seen: within 100 by 40 characters, plain text where stdout is no terminal."""
    table = table_of(f"{seen.model}, the window's figures", *HEADER[1:])
    for line in seen.lines:
        table.add_row(*line)
    told = [("Window", Text(seen.head)), ("Verdict", verdict_text(seen.verdict, seen.reasons, SHOWN_REASONS))]
    then = [("Estimate", Text(seen.trust))] if seen.trust else []
    then += [("Retraining", Text(seen.retraining)), *(("Note", Text(note)) for note in seen.notes)]
    then.append(("Report", Text(str(seen.report), style="cyan")))
    figures: list[RenderableType] = [table, Text()] if seen.lines else []
    parts = (rule_with("Monitor"), facts_of(told), Text(), *figures, facts_of(then))
    console.print(Group(*parts), width=min(console.width, WIDTH), highlight=False)


COLUMNS_ALONE = (
    "What was asked, column by column; the verdict on answers and grades too is in the monitor's report."
)
CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem } img { max-width: 100%; height: auto }
table { border-collapse: collapse; width: 100% } caption { text-align: left; color: #555; padding: .3rem 0 }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd }
.verdict { font-weight: bold; border: 2px solid currentColor; border-radius: .3rem; padding: .1rem .5rem }
.pass { color: #00684a } .drift, .loss { color: #a33b00 }
"""


def write_report(watched: Watched, history: Rows, asked: RetrainingDecision, home: Path) -> Path:
    """Write `reports/monitor-….html`, with Evidently's report on the columns beside it; return its path."""
    name = f"monitor-{watched.contract.name}"
    path = home / "reports" / f"{name}-{watched.window.until:%Y%m%dT%H%M%SZ}.html"
    evidently = path.with_name(f"{name}-columns.html")  # of the newest window alone: it has 4 MB
    columns = watched.judgement.columns
    charts = charts_of(columns)
    finished_file(evidently, lambda draft: save_html(columns, draft, COLUMNS_ALONE, "", charts))
    keep_charts(charts, home, f"{watched.contract.model_name}-monitor")
    page = _page(watched, history, asked, evidently.name)
    finished_file(path, lambda draft: draft.write_text(page, encoding="utf-8"))
    return path


def _page(watched: Watched, history: Rows, asked: RetrainingDecision, evidently: str) -> str:
    judgement, title = watched.judgement, escape(watched.contract.title)
    findings = [found for found in judgement.findings if found.score is not None]
    measured = any(row["name"] != "drift_share" and row["value"] is not None for row in history)
    rows = drift_rows(watched)
    sentences = [*judgement.reasons, f"Retraining: {asked.decision}.", *asked.notes]
    parts = [
        f"<h1>Monitor: {title}</h1>",
        f'<p><span class="verdict {judgement.verdict.split()[0]}">{judgement.verdict}</span></p>',
        f"<p>{escape(describe_window(watched))}</p>",
        f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>",
        "<h2>How good the forecasts are</h2>",
        _image(accuracy_over_time, history, "Accuracy of the windows measured so far") if measured else "",
        _table("This window", HEADER, lines(watched)),
        f"<p>{escape(describe_trust(watched))}</p>",
        _table(
            "By checkpoint, each student's newest forecast near it", DAY_HEADER, checkpoint_lines(watched)
        ),
        _table("Wrong classes by group", HEADER, group_lines(watched)),
        "<h2>What was asked, answered and graded, against what the champion learned</h2>",
        _image(drift_by_column, findings, "How far each column is from its limit") if findings else "",
        _table("Every test", list(rows[0]), [list(row.values()) for row in rows]) if rows else "",
        f'<p>The newest window, by Evidently: <a href="{escape(evidently)}">column by column</a>.</p>',
    ]
    top = f'<meta charset="utf-8"><title>Monitor: {title}</title><style>{CSS}</style>'
    return f'<!doctype html><html lang="en"><head>{top}</head><body>{"".join(parts)}</body></html>\n'


def _image(draw: Callable[[Any], "Figure"], content: Sequence[Any], alt: str) -> str:
    buffer = BytesIO()
    with styled():
        draw(content).savefig(buffer, format="png", facecolor="white")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def _table(caption: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in line)}</tr>" for line in lines)
    head = f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>"
