"""Demo year: twelve monthly batches of generated students through the predictor, the monitor and retraining.

Everything is real and runs on this machine: Prefect server and worker, MLflow, predictor. It has a state
folder of its own, `demo-year/` in the usual one, so that nothing of the person's is touched.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from data.contract.contract import load_contract
from data.errors import BadInput
from demo import weeks
from demo.months import SHORT, YEAR
from demo.player import PIPELINE, Loop, Office, play, run, served_version, wait_until
from demo.plot import ALARMS, Figure90, Played, plot_year
from demo.weeks import FEW_WEEKS, WEEKS, YEARS, PlayedYear, play_school_year, plot_years, table_of_years
from flows.registry.store import CHAMPION
from flows.reports.style import styled
from flows.runtime.exit_codes import DONE, FAILED, explain
from flows.runtime.predictor_api import PredictorApi
from flows.runtime.progress import open_console
from flows.runtime.server import port_to_use
from flows.runtime.services import Places
from flows.runtime.workspace import finished_file
from flows.settings import Settings
from flows.up import Up, alone, interruptible, make_registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STUDENTS, SEED, WINDOW = 700, 11, 1_200
FORGOTTEN = (
    "GRADECAST_LOG_URL",
    "MLFLOW_TRACKING_URI",
    "PREFECT_API_URL",
    "PREFECT_HOME",
    "GRADECAST_API_KEY",
)


def main(arguments: list[str] | None = None) -> int:
    """Play the year, print it as a table, draw it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--short", action="store_true", help="four months, or forecasts of four days a year")
    parser.add_argument("--dated", action="store_true", help="school years with dates, forecast every week")
    parser.add_argument("--students", type=int, help="students a month, or a year (default: 700, or 1,000)")
    parser.add_argument("--grid", default="default", help="default, wide or a YAML file")
    options = parser.parse_args(arguments)
    console, usual = open_console(), Settings()
    story = _dated(options.short) if options.dated else _months(options.short)
    try:
        with interruptible(), alone(prepared_home(usual, story)):
            played = play_story(console, story, options.students or story.students, options.grid)
    except KeyboardInterrupt:
        console.print("Ended before the year was over.")
        return FAILED
    except (BadInput, RuntimeError) as error:
        return explain(console, error, usual)
    picture = usual.home / "reports" / story.picture
    with styled():
        draw(story.plot(played), picture)
    console.print(story.table(played))
    console.print(f"The picture: {picture}", soft_wrap=True)
    return DONE


@dataclass(frozen=True)
class Story:
    """What is played: by which contract, in which parts, drawn how.

    first_students: that the first champion learns from; students: of a part; window: students that a
    retraining learns from; play: plays the part of that number.
    """

    contract: str
    first_students: int
    students: int
    window: int
    parts: int
    play: Callable[[Loop, int, Office], Any]
    picture: str
    plot: Callable[[Sequence[Any]], "Figure"]
    table: Callable[[Sequence[Any]], Table]


def _months(short: bool) -> Story:
    """Return twelve monthly batches of students whose records have no dates."""
    months = SHORT if short else YEAR

    def one(loop: Loop, place: int, office: Office) -> Played:
        return play(loop, months[place], place, office)

    return Story(
        "grade_class", 2_392, STUDENTS, WINDOW, len(months), one, "demo-year.png", plot_year, table_of
    )


def _dated(short: bool) -> Story:
    """Return school years with dates, in which everybody is forecast every week."""
    days = FEW_WEEKS if short else WEEKS

    def one(loop: Loop, place: int, _office: Office) -> PlayedYear:
        return play_school_year(loop, YEARS[place], place, days)

    picture = "demo-weeks.png"
    return Story(
        "school_year",
        2_400,
        weeks.STUDENTS,
        weeks.WINDOW,
        len(YEARS),
        one,
        picture,
        plot_years,
        table_of_years,
    )


def prepared_home(usual: Settings, story: Story) -> Path:
    """Empty the demonstration's state folder and point this process, and what it starts, at it."""
    home = usual.home / "demo-year"
    shutil.rmtree(home, ignore_errors=True)
    for name in FORGOTTEN:
        os.environ.pop(name, None)
    ports = {name: str(port_to_use(0)) for name in ("PREFECT_SERVER_API_PORT", "MLFLOW_PORT", "PORT")}
    os.environ |= ports | {
        "GRADECAST_HOME": str(home.absolute()),
        "GRADECAST_MODEL_URI": f"models:/{load_contract(story.contract).model_name}@{CHAMPION}",
        "GRADECAST_COOLDOWN_DAYS": "0",  # a month takes a minute here
        "GRADECAST_RETRAIN_WINDOW": str(story.window),
        "GRADECAST_APPROVAL": "none",  # nobody is there to ask
        "GRADECAST_PREDICTOR_URL": f"http://127.0.0.1:{ports['PORT']}",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    return home


def play_story(console: Console, story: Story, students: int, grid: str) -> list[Any]:
    """Start everything, train the first champion, play part after part, end everything."""
    settings, places, contract = Settings(), Places(), load_contract(story.contract)
    make_registry(settings)
    up = Up(console, settings, places)
    with up.running():
        up.show()
        up.say("Nobody is asked to approve a promotion here (GRADECAST_APPROVAL=none)")
        loop = Loop(PredictorApi(places.predictor_url), settings, contract, students, SEED, up.say)
        up.say(f"The first champion: {story.first_students:,} generated students")
        data = f"cohort://{story.first_students}"
        run(PIPELINE, {"data": data, "contract": story.contract, "grid": grid})
        wait_until(lambda: served_version(loop) == loop.champion(), "the predictor answers")
        office, begun = Office(loop.champion()), time.monotonic()
        played = [story.play(loop, place, office) for place in range(story.parts)]
        up.say(f"{len(played)} parts in {(time.monotonic() - begun) / 60:.1f} minutes")
    return played


def draw(drawn: "Figure", picture: Path) -> None:
    """Write a picture."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    finished_file(picture, drawn.savefig)


def table_of(played: Sequence[Played]) -> Table:
    """Return the year as a table."""
    table = Table("month", "what happens", "champion", "estimated", "realised", "monitor", "what follows")
    for month in played:
        table.add_row(
            month.name,
            month.story,
            month.champion,
            _share(month.estimated),
            _share(month.realised),
            month.verdict or "–",
            _follows(month),
        )
    return table


def _follows(month: Played) -> str:
    if month.refused:
        return f"refused: {month.refused}"
    if month.retrained:
        promoted = month.after == month.retrained
        return f"version {month.retrained} {'promoted' if promoted else 'kept out'}"
    if month.rolled_back:
        return f"rolled back to version {month.champion}"
    return "nothing promoted" if month.verdict in ALARMS else ""


def _share(figure: Figure90 | None) -> str:
    return "–" if figure is None else f"{figure.value:.1%} [{figure.low:.1%}, {figure.high:.1%}]"


if __name__ == "__main__":
    sys.exit(main())
