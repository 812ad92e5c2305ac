"""School years with dates: everybody is forecast every week, and the outcomes come at the year's end."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.table import Table

from data.bundle.card import Share
from data.cohorts.school_year import Tables, tables
from data.contract.contract import Contract
from data.contract.dated import AS_OF
from data.rows.frames import parse, to_records
from data.snapshots.snapshots import open_snapshots
from demo.months import Answers, Class, Month, ask, report
from demo.player import Loop, is_logged, retraining, wait_until, watch
from demo.plot import ALARMS
from flows.reports.fairness import share_of
from flows.reports.style import ACCENT, FAINT, INK, MAIN, SOFT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STUDENTS, WINDOW = 1_000, 2_000
"""Students of a year, and how many a retraining learns from: fewer cannot show that a model is better."""
TENTH = 0.1
"""Share of the students that a school can see first."""


@dataclass(frozen=True)
class SchoolYear:
    """A school year: the generated students' scenario, which begins in the middle of it."""

    year: int
    story: str = "like the years before"
    scenario: str | None = None


YEARS = (
    SchoolYear(2025),
    SchoolYear(2026, "from January tests are marked more kindly", "marks-inflated"),
    SchoolYear(2027, "they go on to be", "marks-inflated"),
)
STRENGTH = 10.0
"""Points of 100 that every test has more, and the final grade has not."""
COLUMNS = ("year", "what happens", "champion", "found at mid-year", "right at the end", "monitor", "then")
WEEKS, FEW_WEEKS = range(7, 239, 7), range(28, 239, 70)


@dataclass(frozen=True)
class Week:
    """How good the forecasts of a week turned out to be.

    found: of those who ended at risk, the share among the tenth that was seen first; by_rule: among as many
    with the most absences; right: the share whose likeliest class came.
    """

    day: int
    found: Share
    by_rule: Share
    right: Share


@dataclass(frozen=True)
class PlayedYear:
    """What became of a year. `champion` answered in it; `after` is the champion at its end."""

    year: SchoolYear
    champion: str
    after: str
    verdict: str
    retrained: str
    weeks: tuple[Week, ...]


def play_school_year(loop: Loop, year: SchoolYear, place: int, days: Sequence[int]) -> PlayedYear:
    """Let a year's students be forecast every week, report their outcomes, run the monitor."""
    champion, since = loop.champion(), datetime.now(UTC)
    loop.say(f"{year.year}: {year.story}")
    strength = STRENGTH if year.scenario else None
    made = tables(loop.students, loop.seed + place, year.scenario, strength, years=(year.year,))
    students, asked_on = students_of(made, loop.contract, days)
    asked = ask(loop.predictor, students, loop.contract, Month(str(year.year)))
    if asked.refused:
        raise RuntimeError(f"the predictor refused a student: {asked.refused}")
    loop.say(f"  {len(asked.ids):,} forecasts in {len(days)} weeks; then the outcomes")
    report(loop.predictor, students, asked, loop.contract, corrupted=0.0, seed=loop.seed)
    wait_until(lambda: is_logged(asked, loop), "the log has what was asked and reported")
    verdict, _, wanted = watch(loop, since)
    retrained = retraining(loop, since) if wanted else ""
    weeks = tuple(weeks_of(students, asked, asked_on, loop.contract))
    return PlayedYear(year, champion, loop.champion(), verdict, retrained, weeks)


def students_of(made: Tables, contract: Contract, days: Sequence[int]) -> tuple[Class, np.ndarray]:
    """Return everybody as known on each of these days, with the outcomes; and the day of each record."""
    with tempfile.TemporaryDirectory() as folder:
        for name, table in made.items():
            table.to_csv(Path(folder) / f"{name}.csv", index=False)
        with open_snapshots(folder, contract, list(days)) as snapshots:
            raw = pd.concat(snapshots.read(), ignore_index=True)
    frame = parse(raw, contract)
    id_, target, score = contract.id, contract.target, contract.score
    records = to_records(frame, contract)
    if id_ is not None:
        records = [{id_.name: str(who), **own} for who, own in zip(raw[id_.name], records, strict=True)]
    grades = np.array([target.labels.index(label) for label in raw[target.column]])
    scores = np.full(len(raw), np.nan) if score is None else raw[score.name].to_numpy(dtype=float)
    return Class(records, grades, scores), frame[AS_OF].to_numpy(dtype=int)


def weeks_of(students: Class, asked: Answers, days: np.ndarray, contract: Contract) -> list[Week]:
    """Judge each week's forecasts by the outcomes."""
    labels, risky = contract.target.labels, contract.target.at_risk
    ended = np.isin(np.array(labels)[students.grades], risky)
    right = np.array(asked.grades) == np.array(labels)[students.grades]
    risk = np.array(asked.at_risk)
    missed = np.array([record["days_missed"] for record in students.records], dtype=float)
    found = []
    for day in np.unique(days):
        of = days == day
        first, ruled = (_first(values[of]) for values in (risk, missed))
        shares = (share_of(one) for one in (first[ended[of]], ruled[ended[of]], right[of]))
        found.append(Week(int(day), *shares))
    return found


def _first(values: np.ndarray) -> np.ndarray:
    """Return which tenth of the students (n,) has the largest values."""
    first = np.zeros(len(values), dtype=bool)
    first[np.argsort(-values, kind="stable")[: ceil(TENTH * len(values))]] = True
    return first


def plot_years(played: Sequence[PlayedYear]) -> "Figure":
    """Draw, week by week, who was found and which forecasts were right; and what followed each year."""
    drawn = new_figure("School years, forecast week by week", 12.5, 6.4)
    found, right = drawn.subplots(2, 1, sharex=True)
    start = 0
    for number, year in enumerate(played):
        at = [start + place for place in range(len(year.weeks))]
        label = number == 0
        _line(found, at, [week.found for week in year.weeks], MAIN, "the tenth with the highest risk", label)
        _line(found, at, [week.by_rule for week in year.weeks], SOFT, "the tenth with most absences", label)
        _line(right, at, [week.right for week in year.weeks], ACCENT, "the likeliest class came", label)
        _year(found, year, at)
        start = at[-1] + 3
    found.set(ylabel="Found of those\nwho ended at risk")
    right.set(ylabel="Forecasts that\nwere right", xlabel="Weeks")
    for axes in (found, right):
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="lower right")
    right.set_xticks([])
    return drawn


def _line(
    axes: "Axes", at: Sequence[int], shares: Sequence[Share], color: str, label: str, named: bool
) -> None:
    values = [np.nan if share.share is None else share.share for share in shares]
    low, high = ([np.nan if one is None else one for one in ends] for ends in _ends(shares))
    axes.plot(at, values, color=color, linewidth=2, label=label if named else None)
    axes.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0)


def _ends(shares: Sequence[Share]) -> tuple[list[float | None], list[float | None]]:
    return [share.low for share in shares], [share.high for share in shares]


def _year(axes: "Axes", year: PlayedYear, at: Sequence[int]) -> None:
    """Write over a year what it was, who answered in it and what followed."""
    follows = ", ".join(filter(None, (f"monitor: {year.verdict}", _follows(year))))
    weight = "bold" if year.verdict in ALARMS else "normal"
    middle, top = (at[0] + at[-1]) / 2, axes.get_xaxis_transform()
    name = f"{year.year.year}, version {year.champion}: {year.year.story}"
    axes.text(middle, 1.09, name, transform=top, ha="center", color=INK, fontsize=9)
    axes.text(middle, 1.02, follows, transform=top, ha="center", color=INK, fontsize=9, fontweight=weight)
    if at[0]:
        axes.axvline(at[0] - 2, color=FAINT, linewidth=1.2)


def table_of_years(played: Sequence[PlayedYear]) -> Table:
    """Return the years as a table."""
    table = Table(*COLUMNS)
    for one in played:
        middle, end = one.weeks[len(one.weeks) // 2], one.weeks[-1]
        figures = (_of(middle.found), _of(end.right))
        table.add_row(str(one.year.year), one.year.story, one.champion, *figures, one.verdict, _follows(one))
    return table


def _follows(year: PlayedYear) -> str:
    if not year.retrained:
        return "nothing promoted" if year.verdict in ALARMS else ""
    return f"version {year.retrained} {'promoted' if year.after == year.retrained else 'kept out'}"


def _of(share: Share) -> str:
    low, high = share.low or 0.0, share.high or 0.0
    return "–" if share.share is None else f"{share.share:.0%} [{low:.0%}, {high:.0%}]"
