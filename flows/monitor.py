"""Monitor: look at a window of the prediction log, and ask for a retraining where one is needed."""

import argparse
import sys
from datetime import UTC, datetime
from typing import Annotated

from mlflow.exceptions import MlflowException
from prefect import flow, task
from pydantic import Field

from data.contract.contract import load_contract
from data.errors import BadInput, Stopped
from data.log.database import open_log
from data.log.reading import read_measurements
from flows.monitoring.report import MonitorSummary, show_summary, write_report
from flows.monitoring.retraining import NOT_ASKED, decide_retraining
from flows.monitoring.watch import watch
from flows.monitoring.window import Window
from flows.registry.run_log import describe_run, log_short_run, run_place
from flows.registry.store import experiment_id, load_champion, open_registry
from flows.runtime.commands import run_flow
from flows.runtime.exit_codes import ended
from flows.runtime.progress import stage
from flows.runtime.run_page import (
    DRIFTED,
    SHORT,
    done,
    publish,
    publish_rows,
    run_address,
    run_named,
    tag_run,
    tell,
)
from flows.runtime.runs import DELAYS, RETRIES, may_pass
from flows.settings import Settings

DAYS = 30.0
PLOTTED = ("estimated_accuracy", "realised_accuracy", "drift_share")


def window_of(since: datetime | None, until: datetime | None, days: float) -> Window:
    """Return the window that was asked for, by default the days before now.

    Raises BadInput where it is empty. A moment without a time zone is taken as UTC.
    """
    end = _utc(until) if until else datetime.now(UTC)
    window = Window(_utc(since), end) if since else Window.of_days(days, end)
    if window.since >= window.until:
        raise BadInput(
            f"the window from {window.since} to {window.until} is empty.", remedy="Give an earlier start."
        )
    return window


def look(contract_name: str, window: Window, settings: Settings, *, retrain: bool) -> MonitorSummary:
    """Judge and measure a window; ask for a retraining where it is due; write the report.

    Raises Stopped when the champion cannot be read.
    """
    contract = load_contract(contract_name)
    client, engine = open_registry(settings), open_log(settings.database_url)
    champion = load_champion(client, contract.model_name)
    watched = watch(engine, client, contract, champion, window)
    asked = decide_retraining(engine, watched, champion, contract_name, settings) if retrain else NOT_ASKED
    history = read_measurements(engine, contract.name, names=PLOTTED, before=window.until)
    report = write_report(watched, history, asked, settings.home)
    return MonitorSummary.of(watched, asked, report)


@task(
    task_run_name="look at the window",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=may_pass,
)
@stage("monitor")
def look_at_window(contract_name: str, window: Window, retrain: bool) -> MonitorSummary:
    """Look at a window and publish what was seen."""
    seen = look(contract_name, window, Settings(), retrain=retrain)
    publish_rows(contract_name, "monitor-columns", seen.findings, "Every test, what drifted first.")
    return seen


def log_monitor(settings: Settings, seen: MonitorSummary) -> str | None:
    """Log a look as a run of an experiment of its own, to see the figures over time; return its address.

    Returns None where the registry cannot be written: what was measured is in the log anyway.
    """
    try:
        client = open_registry(settings)
        experiment = experiment_id(client, f"{seen.model}-monitor", settings)
        tags = {"verdict": seen.verdict, "reason": seen.told, "prefect_run": run_address() or ""}
        name, reports = f"{seen.until:%Y-%m-%d}", {"monitor.html": seen.report}
        run = log_short_run(client, experiment, name, tags=tags, metrics=seen.metrics, reports=reports)
        links = [
            ("Prefect run", run_address() or ""),
            ("Report", run_place(settings, experiment, run, "monitor.html")),
        ]
        describe_run(client, run, seen.told, links)
    except (MlflowException, OSError):
        return None
    return run_place(settings, experiment, run)


@flow(name="drift-monitor", flow_run_name=run_named("monitor"), timeout_seconds=SHORT)
def drift_monitor(
    contract: str = "grade_class",
    since: datetime | None = None,
    until: datetime | None = None,
    days: Annotated[float, Field(gt=0)] = DAYS,
    retrain: bool = True,
) -> MonitorSummary:
    """Look at the last days of the prediction log; where it drifted or got worse, ask for a retraining.

    Args:
        contract: a contract's name, as grade_class, or its YAML file.
        since: start of the window; left empty, so many days before its end.
        until: its end, not in it; left empty, now.
        days: length of the window where no start is given.
        retrain: whether a retraining is asked for where one is due; otherwise it only looks.
    """
    try:
        name = load_contract(contract).name
        window = window_of(since, until, days)
        tag_run(name)
        seen: MonitorSummary = look_at_window(contract, window, retrain)
    except (BadInput, Stopped) as error:
        return ended(error, contract)
    place = log_monitor(Settings(), seen)
    links = f"[Report and figures in MLflow]({place})\n\n" if place else ""
    publish(contract, "monitor", f"{links}{seen.markdown}", seen.told)
    if seen.alarmed:
        tell(DRIFTED, seen.model, verdict=seen.verdict, reason=seen.told)
    return done(seen.told, seen)


def main(arguments: list[str] | None = None) -> int:
    """Run the monitor from the command line and return its exit code: drift itself is no error."""
    parser = argparse.ArgumentParser(prog="python -m flows.monitor", description=__doc__)
    parser.add_argument("--contract", default="grade_class", help="name or YAML file (default: %(default)s)")
    parser.add_argument(
        "--since", type=datetime.fromisoformat, help="start of the window, as 2026-09-01 or 2026-09-01T08:00Z"
    )
    parser.add_argument("--until", type=datetime.fromisoformat, help="its end, not in it (default: now)")
    parser.add_argument(
        "--days", type=float, default=DAYS, help="length without --since (default: %(default)g)"
    )
    parser.add_argument("--no-retrain", dest="retrain", action="store_false", help="only look")
    options = parser.parse_args(arguments)
    return run_flow(drift_monitor, vars(options), lambda: check_input(options), show_summary)


def check_input(options: argparse.Namespace) -> None:
    """Raise BadInput for what can be told before anything is started."""
    load_contract(options.contract)
    window_of(options.since, options.until, options.days)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
