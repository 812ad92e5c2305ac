"""The plot of the fairness audit: what the students of each group meet, with intervals."""

from typing import TYPE_CHECKING

from data.card_audit import ACCURACY, FALSE_ALARMS, FOUND, Audit
from flows.reports.evidence import Evidence
from flows.reports.fairness import fairness_audits
from flows.reports.plot_style import ACCENT, MAIN, OKABE_ITO, SOFT, new_figure, share_axes
from flows.reports.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = {
    FOUND: "Found, of those at risk",
    FALSE_ALARMS: "False alarms, of the others",
    ACCURACY: "Right class",
}
COLORS = {FOUND: MAIN, FALSE_ALARMS: ACCENT, ACCURACY: OKABE_ITO[2]}


def fairness(evidence: Evidence) -> "Figure":
    """Draw found, false alarms and accuracy of each group of the audited columns, with 90 % intervals."""
    audits = fairness_audits(evidence)
    lines = [(audit, group) for audit in audits for group in audit.groups]
    drawn = new_figure("Fair to all? Each group of the test students", 11, 1.6 + 0.34 * len(lines))
    panels = drawn.subplots(1, len(DRAWN), sharey=True)
    for axes, name in zip(panels, DRAWN, strict=True):
        _panel(axes, audits, name)
    titles = {audit.column: evidence.contract.columns[audit.column].title for audit in audits}
    panels[0].set_yticks(
        range(len(lines)),
        [f"{titles[a.column]}: {g.wrong.label}  ({count(g.wrong.n)})" for a, g in lines],
    )
    panels[0].invert_yaxis()
    drawn.supxlabel("Bars: 90 % intervals. Nothing is drawn of too few students.", fontsize=9, color=SOFT)
    return drawn


def _panel(axes: "Axes", audits: tuple[Audit, ...], name: str) -> None:
    share_axes(axes, "", "")
    axes.yaxis.set_major_formatter(lambda _, __: "")
    axes.set_title(DRAWN[name])
    rates = [group.rate(name) for audit in audits for group in audit.groups]
    for place, rate in enumerate(rates):
        if rate is None or rate.value is None:
            continue
        if rate.low is not None and rate.high is not None:
            axes.plot([rate.low, rate.high], [place, place], color=COLORS[name], alpha=0.45, linewidth=3)
        axes.plot(rate.value, place, "o", color=COLORS[name], markersize=7, markeredgecolor="white")
    axes.set_ylim(-0.6, len(rates) - 0.4)
