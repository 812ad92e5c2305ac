"""A load as a picture and a page of words."""

from pathlib import Path

from flows.reports.style import ACCENT, MAIN, SOFT, new_figure, styled
from load.knee import Second, Step, knee, steps_of


def plot(seconds: list[Second], path: Path) -> None:
    """Draw response times, throughput and users over time."""
    at = [second.at for second in seconds]
    with styled():
        figure = new_figure("Response time and throughput", 9, 6.4)
        times, rates = figure.subplots(2, 1, sharex=True)
        for name, dashes, label in (("median", "-", "median"), ("p95", "--", "95th"), ("p99", ":", "99th")):
            values = [getattr(second, name) for second in seconds]
            times.plot(at, values, color=MAIN, linestyle=dashes, label=label)
        times.set(title="Response time, ms", ylim=(0, None))
        times.legend(loc="upper left")
        rates.plot(at, [second.rate for second in seconds], color=MAIN, label="answers a second")
        rates.plot(
            at, [second.failures for second in seconds], color=ACCENT, linestyle="--", label="failures"
        )
        rates.plot(at, [second.users for second in seconds], color=SOFT, linestyle=":", label="users")
        rates.set(title="A second", xlabel="seconds", ylim=(0, None))
        rates.legend(loc="upper left")
        figure.savefig(path)


def words(seconds: list[Second], address: str, *, ramp: bool) -> str:
    """Return the report in Markdown: each number of users, and the knee."""
    steps = steps_of(seconds)
    lines = [f"# Load on {address}", "", _summary(steps, ramp=ramp), "", "![over time](load.png)", ""]
    lines += ["| users | answers a second | failed | median | 95th | 99th |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {step.users} | {step.rate:,.0f} | {step.failures:.1%} | {step.median:.0f} ms | {step.p95:.0f} ms "
        f"| {step.p99:.0f} ms |"
        for step in steps
    ]
    where = "the same machine" if "127.0.0.1" in address or "localhost" in address else "another machine"
    shared = f"Times are those of the users, who ran on {where}: network and their own work included."
    return "\n".join([*lines, "", shared, ""])


def _summary(steps: list[Step], *, ramp: bool) -> str:
    if not steps:
        return "Nothing was answered."
    last = steps[-1]
    if not ramp:
        return (
            f"{last.users} users: {last.rate:,.0f} answers a second, {last.failures:.1%} failed, median "
            f"{last.median:.0f} ms, 95th {last.p95:.0f} ms, 99th {last.p99:.0f} ms."
        )
    found = knee(steps)
    if found is None:
        return f"No knee up to {last.users} users: {last.rate:,.0f} answers a second, and it kept up."
    return (
        f"The knee is at {found.users} users: {found.rate:,.0f} answers a second, 95th {found.p95:.0f} ms. "
        "With twice as many, answers take longer, and throughput grows by less than half."
    )
