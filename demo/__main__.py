"""Demo year: twelve monthly batches of generated students through the predictor, the monitor and retraining.

Everything is real and runs on this machine: Prefect server and worker, MLflow, predictor. It has a state
folder of its own, `demo-year/` in the usual one, so that nothing of the person's is touched.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data.contract.contract import load_contract
from data.errors import BadInput
from demo.months import SHORT, YEAR, Month
from demo.player import PIPELINE, Loop, Office, play, run, served_version, wait_until
from demo.plot import ALARMS, Figure90, Played, plot_year
from flows.reports.style import styled
from flows.runtime.exit_codes import DONE, FAILED, explain
from flows.runtime.predictor_api import PredictorApi
from flows.runtime.progress import open_console
from flows.runtime.server import port_to_use
from flows.runtime.services import Places
from flows.runtime.workspace import finished_file
from flows.settings import Settings
from flows.up import Up, alone, interruptible, make_registry

PICTURE, CONTRACT, FIRST_CHAMPION = "demo-year.png", "grade_class", "cohort://2392"
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
    parser.add_argument("--short", action="store_true", help="four months instead of twelve")
    parser.add_argument(
        "--students", type=int, default=STUDENTS, help="students a month (default: %(default)s)"
    )
    parser.add_argument("--grid", default="default", help="default, wide or a YAML file")
    options = parser.parse_args(arguments)
    console, usual = open_console(), Settings()
    try:
        with interruptible(), alone(prepared_home(usual)):
            months = SHORT if options.short else YEAR
            played = play_year(console, months, options.students, options.grid)
    except KeyboardInterrupt:
        console.print("Ended before the year was over.")
        return FAILED
    except (BadInput, RuntimeError) as error:
        return explain(console, error, usual)
    picture = usual.home / "reports" / PICTURE
    draw(played, picture)
    console.print(table_of(played))
    console.print(f"The picture: {picture}", soft_wrap=True)
    return DONE


def prepared_home(usual: Settings) -> Path:
    """Empty the demonstration's state folder and point this process, and what it starts, at it."""
    home = usual.home / "demo-year"
    shutil.rmtree(home, ignore_errors=True)
    for name in FORGOTTEN:
        os.environ.pop(name, None)
    ports = {name: str(port_to_use(0)) for name in ("PREFECT_SERVER_API_PORT", "MLFLOW_PORT", "PORT")}
    os.environ |= ports | {
        "GRADECAST_HOME": str(home.absolute()),
        "GRADECAST_COOLDOWN_DAYS": "0",  # a month takes a minute here
        "GRADECAST_RETRAIN_WINDOW": str(WINDOW),
        "GRADECAST_APPROVAL": "none",  # nobody is there to ask
        "GRADECAST_PREDICTOR_URL": f"http://127.0.0.1:{ports['PORT']}",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    return home


def play_year(console: Console, months: Sequence[Month], students: int, grid: str) -> list[Played]:
    """Start everything, train the first champion, play the months, end everything."""
    settings, places, contract = Settings(), Places(), load_contract(CONTRACT)
    make_registry(settings)
    up = Up(console, settings, places)
    with up.running():
        up.show()
        up.say("Nobody is asked to approve a promotion here (GRADECAST_APPROVAL=none)")
        loop = Loop(PredictorApi(places.predictor_url), settings, contract, students, SEED, up.say)
        up.say("The first champion: 2,392 generated students")
        run(PIPELINE, {"data": FIRST_CHAMPION, "contract": CONTRACT, "grid": grid})
        wait_until(lambda: served_version(loop) == loop.champion(), "the predictor answers")
        office, begun = Office(loop.champion()), time.monotonic()
        played = [play(loop, month, place, office) for place, month in enumerate(months)]
        up.say(f"{len(played)} months in {(time.monotonic() - begun) / 60:.1f} minutes")
    return played


def draw(played: Sequence[Played], picture: Path) -> None:
    """Write the picture of the year."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    with styled():
        finished_file(picture, lambda draft: plot_year(played).savefig(draft))


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
