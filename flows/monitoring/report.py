"""The monitor's report: one HTML file that needs nothing but itself."""

import base64
from collections.abc import Callable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.gates.verdict import save_html
from flows.monitoring import words
from flows.monitoring.plots import Rows, accuracy_over_time, drift_by_column
from flows.monitoring.wanted import Asked
from flows.monitoring.watch import Watched
from flows.reports.plot_style import styled
from flows.support.workspace import finished_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def write_report(watched: Watched, history: Rows, asked: Asked, home: Path) -> Path:
    """Write `reports/monitor-….html`, with Evidently's report on the columns beside it; return its path."""
    name = f"monitor-{watched.contract.name}"
    path = home / "reports" / f"{name}-{watched.window.until:%Y%m%dT%H%M%SZ}.html"
    evidently = path.with_name(f"{name}-columns.html")  # of the newest window alone: it has 4 MB
    finished_file(evidently, lambda draft: save_html(watched.judgement.columns, draft, COLUMNS_ALONE))
    page = _page(watched, history, asked, evidently.name)
    finished_file(path, lambda draft: draft.write_text(page, encoding="utf-8"))
    return path


def _page(watched: Watched, history: Rows, asked: Asked, evidently: str) -> str:
    judgement, title = watched.judgement, escape(watched.contract.title)
    findings = [found for found in judgement.findings if found.score is not None]
    measured = any(row["name"] != "drift_share" and row["value"] is not None for row in history)
    rows = words.drift_rows(watched)
    parts = [
        f"<h1>Monitor: {title}</h1>",
        f'<p><span class="verdict {judgement.verdict.split()[0]}">{judgement.verdict}</span></p>',
        f"<p>{escape(words.head(watched))}</p>",
        _list([*judgement.reasons, f"Retraining: {asked.told}.", *asked.notes]),
        "<h2>How good the forecasts are</h2>",
        _image(accuracy_over_time, history, "Accuracy of the windows measured so far") if measured else "",
        _table("This window", words.HEADER, [line.cells for line in words.lines(watched)]),
        f"<p>{escape(words.trust(watched))}</p>",
        _table("Wrong classes by group", words.HEADER, [line.cells for line in words.group_lines(watched)]),
        "<h2>What was asked, answered and graded, against what the champion learned</h2>",
        _image(drift_by_column, findings, "How far each column is from its limit") if findings else "",
        _table("Every test", list(rows[0]), [list(row.values()) for row in rows]) if rows else "",
        f'<p>The newest window, by Evidently: <a href="{escape(evidently)}">column by column</a>.</p>',
    ]
    head = f'<meta charset="utf-8"><title>Monitor: {title}</title><style>{CSS}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _image(draw: Callable[[Any], "Figure"], content: Sequence[Any], alt: str) -> str:
    buffer = BytesIO()
    with styled():
        draw(content).savefig(buffer, format="png", facecolor="white")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def _table(caption: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in line)}</tr>" for line in lines)
    head = f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>"
