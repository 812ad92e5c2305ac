"""What Prefect and MLflow cost: `python -m bench.pipeline_cost [--quick]`.

The whole pipeline, on a Prefect server that runs already, against the same work without Prefect and
MLflow: the same functions, called one after the other. Each round has a state folder with nothing in
it but an empty registry; the two take turns in one process that has imported and done everything once,
and medians are compared.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median

from data.contract.contract import load_contract
from flows.drift import compare, report_place
from flows.drift_gate.verdict import save_html
from flows.evaluate import gather_evidence
from flows.pipeline import grade_pipeline
from flows.process import process_records
from flows.registry.bundling import Submission, make_bundle
from flows.registry.store import open_registry
from flows.runtime.commands import without_heartbeats
from flows.runtime.server import prefect_server
from flows.runtime.workspace import finished_file
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import load_grid

CONTRACT, GRID, EMPTY = "grade_class", "default", "empty"
MOST = 2.0  # times: what is wanted

Run = Callable[[str, Path], None]


def main() -> None:
    """Run both in turn and print the ratio."""
    parser = argparse.ArgumentParser("python -m bench.pipeline_cost", description=str(__doc__).split(":")[0])
    parser.add_argument("--quick", action="store_true", help="one round of 600 rows")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rows, rounds = (600, 1) if asked.quick else (2392, asked.rounds)
    runs: dict[str, Run] = {"without": without, "pipeline": pipeline}
    with tempfile.TemporaryDirectory() as place, prefect_server(Path(place)), without_heartbeats():
        open_registry(Settings(home=Path(place) / EMPTY))
        seconds = alternate(runs, f"cohort://{rows}", rounds, Path(place))
    report(seconds, rows, rounds)


def pipeline(source: str, home: Path) -> None:
    """Run the pipeline as a command does, but for its imports and its screen."""
    os.environ["GRADECAST_HOME"] = str(home)
    grade_pipeline(source, contract=CONTRACT, grid=GRID)


def without(source: str, home: Path) -> None:
    """Do the same work: records, gate, search, evidence, verified bundle."""
    contract, settings = load_contract(CONTRACT), Settings(home=home)
    processed = process_records(source, contract, settings)
    verdict = compare(processed, contract, None)
    finished_file(report_place(processed, None, settings), lambda draft: save_html(verdict, draft))
    trained = train_model(processed, contract, load_grid(GRID), settings)
    evidence = gather_evidence(trained, processed, contract, settings)
    make_bundle(Submission(trained, processed, CONTRACT, evidence, settings))


def alternate(runs: dict[str, Run], source: str, rounds: int, place: Path) -> dict[str, list[float]]:
    """Run each in turn, after a first round that only warms up; return the seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            home = place / f"{name}-{number}"
            home.mkdir()
            shutil.copy(place / EMPTY / "mlflow.db", home)
            started = time.perf_counter()
            with redirect_stdout(StringIO()):
                run(source, home)
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def report(seconds: dict[str, list[float]], rows: int, rounds: int) -> None:
    """Print both medians and what is wanted of their ratio."""
    print(f"{rows} generated rows, {GRID} grid, medians of {rounds} rounds")
    for name, values in seconds.items():
        shown = ", ".join(f"{value:.1f}" for value in values)
        print(f"{name:10} {median(values):6.1f} s   ({shown})")
    ratio = median(seconds["pipeline"]) / median(seconds["without"])
    met = "met" if ratio <= MOST else "MISSED"
    print(f"the pipeline takes {ratio:.2f} times as long: wanted <= {MOST:g}, {met}")


if __name__ == "__main__":
    main()
