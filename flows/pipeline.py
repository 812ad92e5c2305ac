"""The pipeline: records in; a registered model, judged against the champion, out."""

import argparse
import sys
from typing import Any, get_args

from prefect import flow
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from data.contract.contract import load_contract
from data.contract.dated import Said
from data.errors import BadInput, Stopped
from data.sources.databases import set_aside, without_secrets
from data.sources.reading import DEFAULT, KINDS, check_source
from flows.drift import Drift, OnDrift, drift
from flows.process import REPORT, last_day, process
from flows.processing.processed import Processed
from flows.register import links, register
from flows.registry.decisions import answer_command
from flows.registry.registration import Registered
from flows.registry.run_log import log_stop
from flows.reports.artifacts import left_out, summary_markdown
from flows.reports.evidence import chosen_and_baselines
from flows.reports.screen import Summary, show_summary
from flows.runtime.commands import run_flow
from flows.runtime.engine import Engine, EngineName, on_engine, running
from flows.runtime.exit_codes import ended
from flows.runtime.run_page import LONGEST, Given, done, publish, run_named, say, short_name, tag_run
from flows.runtime.runs import turn_of
from flows.settings import Approval, Settings
from flows.train import train
from flows.training.grid import load_grid
from flows.training.trained import Trained

CONTRACT = "grade_class"
"""The contract that is meant where none is named."""


class PipelineResult(BaseModel):
    """What each stage gave."""

    model_config = ConfigDict(frozen=True)

    processed: Processed
    drift: Drift
    trained: Trained
    registered: Registered


def purpose(given: Given) -> str:
    """Say in a few words what a run is for, by its parameters: a retraining, or records of a person's."""
    if given.get("because") or given.get("on_drift") == "retrain":
        why = str(given.get("because") or "").partition(":")[0]
        return f"retraining: {why}" if why else "retraining"
    return short_name(str(given.get("data") or DEFAULT))


@flow(name="grade-pipeline", flow_run_name=run_named(purpose), timeout_seconds=LONGEST)
def grade_pipeline(
    data: str = DEFAULT,
    contract: str = CONTRACT,
    grid: str = "default",
    on_drift: OnDrift = "stop",
    approval: Approval | None = None,
    engine: EngineName = "local",
    scheduler: str = "",
    as_of: Said = None,
    because: str = "",
) -> PipelineResult:
    """Process, check for drift, train, register: records in, a judged model version out.

    A gate's stop is a failed state named Stopped; input that a person must mend one named "Bad input", before
    any stage where it can be told. Two runs of one contract take turns.

    Args:
        data: the records: a CSV, Parquet file or workbook, a database's table, an object store's address, or
            a folder of dated tables, as the worker sees it.
        contract: a contract's name, as grade_class, or its YAML file.
        grid: default, wide, families, or a YAML file of candidates.
        on_drift: what is done where the records differ from what the champion learned: stop, retrain (the new
            model must then be better, not merely as good) or warn.
        approval: which promotions a person must approve; left empty, as GRADECAST_APPROVAL says.
        engine: where candidates are trained: in the run's own process, or on a Dask cluster.
        scheduler: of Dask, as tcp://HOST:8786; left empty, a cluster on the worker's machine.
        as_of: of dated records, the last day or date to learn from; left empty, today.
        because: why the run was started, for its page; the monitor says here what it found.
    """
    try:
        check(data, contract, grid, engine, scheduler, as_of)
        tag_run(contract_name := load_contract(contract).name)
        with turn_of(contract_name, say), running(Engine.of(engine, scheduler)) as ready:
            processed: Processed = on_engine(process, ready)(data, contract, ready, as_of)
            checked = drift(processed, contract, on_drift)
            trained: Trained = on_engine(train, ready)(processed, contract, grid, ready)
            # Of a retraining the monitor has seen the alarm; among the older records the gate may not see it.
            must_win = checked.alarmed or on_drift == "retrain"
            registered = register(trained, processed, contract, must_win, approval, checked.report)
    except BadInput as error:
        return ended(error, contract)
    except Stopped as error:
        return ended(error, contract, log_stop(Settings(), load_contract(contract), error))
    result = PipelineResult(processed=processed, drift=checked, trained=trained, registered=registered)
    return told_in_prefect(result, because)


def told_in_prefect(result: PipelineResult, because: str) -> Any:
    """Publish the run's story on its page, and return its last state with the outcome as its message."""
    told = result.registered.outcome
    page = summary_markdown(summarise(result, Settings()), told, because, links(result.registered))
    publish(result.processed.contract, "summary", page, told)
    return done(told, result)


def main(arguments: list[str] | None = None) -> int:
    """Run the pipeline from the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__)
    parser.add_argument("--data", default=DEFAULT, help=f"{KINDS} (default: %(default)s)")
    parser.add_argument("--contract", default=CONTRACT, help="name or YAML file (default: %(default)s)")
    parser.add_argument("--grid", default="default", help="default, wide, families or a YAML file")
    parser.add_argument(
        "--on-drift", default="stop", choices=("stop", "retrain", "warn"), help="what drift leads to"
    )
    parser.add_argument(
        "--approval",
        choices=get_args(Approval),
        help="which promotions a person must approve (default: GRADECAST_APPROVAL, which is after-alarm)",
    )
    parser.add_argument("--as-of", help="last day or date to learn from, of dated records (default: today)")
    parser.add_argument("--engine", default="local", help="local or dask (default: %(default)s)")
    parser.add_argument("--scheduler", default="", help="of Dask, tcp://HOST:PORT (default: a local cluster)")
    options = parser.parse_args(arguments)
    return run_flow(grade_pipeline, vars(options), lambda: check_input(options), show)


def check_input(options: argparse.Namespace) -> None:
    """Raise BadInput for what can be told before anything is started."""
    (options.data,) = set_aside([options.data])
    check(options.data, options.contract, options.grid, options.engine, options.scheduler, options.as_of)


def check(data: str, contract: str, grid: str, engine: str, scheduler: str, as_of: Said = None) -> None:
    """Raise BadInput for what can be told before any stage."""
    Engine.of(engine, scheduler)
    last_day(load_contract(contract), as_of)
    load_grid(grid)
    check_source(data)


def show(console: Console, result: PipelineResult, settings: Settings) -> None:
    """Print the end screen."""
    show_summary(console, summarise(result, settings))


def summarise(result: PipelineResult, settings: Settings) -> Summary:
    """Gather the end screen from what each stage gave."""
    processed, registered = result.processed, result.registered
    return Summary(
        title="Pipeline",
        model=registered.name,
        version=registered.version,
        source=processed.source,
        generated=processed.generated is not None,
        rows=processed.rows,
        clean=processed.clean,
        train_rows=processed.train_rows,
        test_rows=processed.test_rows,
        quarantined=processed.quarantined,
        drift=result.drift.verdict,
        drift_reasons=result.drift.reasons,
        leaderboard=chosen_and_baselines(result.trained.leaderboard()),
        metrics=registered.metrics,
        intervals=registered.intervals,
        bayes=registered.bayes,
        promoted=registered.promoted,
        outcome=outcome_of(registered),
        reason=registered.reason,
        notes=notes_of(result),
        next_steps=next_steps(result, settings),
    )


def next_steps(result: PipelineResult, settings: Settings) -> tuple[tuple[str, str], ...]:
    """Say what to do next, and the command for it."""
    registered = result.registered
    answer = (("Decide of it", answer_command("approve", registered.version)),) if registered.waits else ()
    return (
        *answer,
        ("Serve it", serving(result)),
        ("Runs and plots", f".venv/bin/mlflow ui --backend-store-uri {without_secrets(settings.mlflow_uri)}"),
        ("Flow runs", "make up"),
        ("Data report", str(result.processed.folder / REPORT)),
        ("Drift report", str(result.drift.report)),
    )


def serving(result: PipelineResult) -> str:
    """Return the command that serves this model: where it is the champion by that name, or without one."""
    registered = result.registered
    if not registered.promoted:
        return f"GRADECAST_MODEL_URI=models:/{registered.name}/{registered.version} make serve"
    if result.processed.contract == CONTRACT:
        return "make serve"
    return f"GRADECAST_MODEL_URI=models:/{registered.name}@champion make serve"


def outcome_of(registered: Registered) -> str:
    """Say in a word or two what became of the version."""
    if registered.promoted:
        return "champion"
    if registered.waits:
        return "challenger, waits for a person"
    return "rolled back" if registered.canary else "kept as challenger"


def notes_of(result: PipelineResult) -> tuple[str, ...]:
    """Say what a person should know beside the figures: of the columns, drift, canary, reuse and training."""
    processed, trained, registered = result.processed, result.trained, result.registered
    stages = {"process": processed.reused, "train": trained.reused, "register": registered.reused}
    reused = ", ".join(name for name, again in stages.items() if again)
    notes = (
        left_out(processed.undeclared),
        *(f"Assumed: {note}." for note in processed.assumed),
        result.drift.note,
        f"Canary {registered.canary}." if registered.promoted and registered.canary else "",
        f"Reused from an equal run: {reused}." if reused else "",
        *trained.notes,
    )
    return tuple(note for note in notes if note)


if __name__ == "__main__":
    sys.exit(main())
