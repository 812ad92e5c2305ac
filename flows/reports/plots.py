"""The plots that are kept with a model version."""

from pathlib import Path

from flows.reports import plot_calls, plot_effects, plot_fairness, plot_quality, plot_search
from flows.reports.evidence import Evidence
from flows.reports.fairness import fairness_audits
from flows.reports.plot_style import styled

QUALITY = (
    plot_quality.reliability,
    plot_quality.confusion,
    plot_quality.roc,
    plot_quality.precision_recall,
    plot_calls.at_risk,
)
GOES_BY = (plot_effects.importance, plot_effects.effects)


def write_plots(evidence: Evidence, folder: Path) -> list[Path]:
    """Write every plot that the evidence allows as PNG, and return their paths."""
    draw = [*QUALITY] if len(evidence.y) else []
    draw += [plot_fairness.fairness] if len(evidence.y) and fairness_audits(evidence) else []
    draw += GOES_BY if evidence.effects.size else ()
    draw += [plot_search.candidates] if len(evidence.candidates) else []
    draw += [plot_search.leaderboard] if len(evidence.leaderboard) else []
    written = []
    with styled():
        for plot in draw:
            path = folder / f"{plot.__name__}.png"
            plot(evidence).savefig(path, facecolor="white")
            written.append(path)
    return written
