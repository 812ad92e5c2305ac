"""Champion against challenger, as Markdown: what a verdict rests on."""

from collections.abc import Iterator, Mapping

from flows.reports.markdown import cell, table
from flows.reports.wording import span

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
