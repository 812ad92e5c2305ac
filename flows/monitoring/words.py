"""What was measured, in words and tables: for the screen, the report and Prefect's artifacts."""

from dataclasses import dataclass

from data.measurements import Measurement
from flows.gates.findings import DRIFT, NO_LABELS, PASS
from flows.monitoring.judgement import LOSS
from flows.monitoring.wanted import Asked
from flows.monitoring.watch import Watched
from flows.reports.markdown import bullets, cell, table
from flows.reports.wording import NOTHING, count, figure, percent, plural

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


@dataclass(frozen=True)
class Line:
    """One line of a table of figures, as text."""

    title: str
    value: str
    interval: str
    rows: str
    verdict: str

    @property
    def cells(self) -> list[str]:
        """Return the texts in order."""
        return [self.title, self.value, self.interval, self.rows, self.verdict]


HEADER = ["", "", "90 % interval", "rows", ""]


def lines(watched: Watched) -> list[Line]:
    """Return the figures of a window that have a title, in their order."""
    order = list(TITLES)
    named = [found for found in watched.measurements if found.name in TITLES]
    return [_line(found) for found in sorted(named, key=lambda found: order.index(found.name))]


def group_lines(watched: Watched) -> list[Line]:
    """Return the share of wrong classes of each audit group."""
    titles = {column.name: column.title for column in watched.contract.audited}
    groups = [found for found in watched.measurements if found.name == "group_error"]
    return [_line(found, _group_title(found.about, titles)) for found in groups]


def trust(watched: Watched) -> str:
    """Say whether the estimated accuracy can be trusted; nothing where none was made."""
    found = watched.value("estimated_accuracy")
    return "" if found is None or found.value is None else TRUST[found.verdict]


def head(watched: Watched) -> str:
    """Say in one sentence what was looked at."""
    window = watched.window
    span = f"{window.since:%Y-%m-%d %H:%M} to {window.until:%Y-%m-%d %H:%M} UTC"
    asked, settled = len(watched.asked), len(watched.settled)
    told = f"{plural(asked, 'student')} asked about, {plural(settled, 'grade')} came"
    return f"{span}: {told}; champion: {f'version {watched.version}' if watched.version else 'none'}."


def monitor_markdown(watched: Watched, asked: Asked) -> str:
    """Give the verdict with its reasons, the figures, and what becomes of it."""
    parts = [
        f"## Monitor: {cell(watched.contract.model_name)}: {watched.judgement.verdict}",
        cell(head(watched)),
        bullets(map(cell, watched.judgement.reasons)),
        table(HEADER, [line.cells for line in lines(watched)]),
        trust(watched),
        f"Retraining: {cell(asked.told)}.",
        bullets(map(cell, asked.notes)),
    ]
    return "\n\n".join(part for part in parts if part)


def drift_rows(watched: Watched) -> list[dict[str, str]]:
    """Return the findings as rows for a table, those that drifted first."""
    found = sorted(watched.judgement.findings, key=lambda finding: finding.verdict != DRIFT)
    return [finding.cells() for finding in found]


def _line(found: Measurement, title: str | None = None) -> Line:
    about = f"version {found.about}" if found.name.startswith("shadow") else found.about
    shown = title or TITLES[found.name] + (f" ({about})" if about else "")
    verdict = "" if found.verdict in (PASS, NO_LABELS) else found.verdict
    if (found.name, found.verdict) == ("estimated_accuracy", LOSS):
        verdict = "not to be trusted"
    return Line(shown, _shown(found, found.value), _span(found), count(found.rows), verdict)


def _shown(found: Measurement, value: float | None) -> str:
    if value is None:
        return NOTHING
    return figure(value) if found.name in LOSSES else percent(value, 1)


def _span(found: Measurement) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"{_shown(found, found.low)} to {_shown(found, found.high)}"


def _group_title(about: str, titles: dict[str, str]) -> str:
    column, _, group = about.partition("=")
    return f"{titles.get(column, column)}: {group}"
