"""Register: the verified bundle becomes a model version, and the champion if it earns it."""

from pathlib import Path

from prefect import flow, task

from data.contract.contract import load_contract
from data.words import cell
from flows.evaluate import gather_evidence
from flows.processing.processed import Processed
from flows.registry.bundling import Submission
from flows.registry.decisions import answer_command
from flows.registry.registration import Registered, register_submission
from flows.registry.rollout import watch
from flows.registry.run_log import DATA_REPORT, DRIFT_REPORT, describe_run, run_place, version_place
from flows.registry.store import open_registry
from flows.reports import artifacts
from flows.reports.artifacts import comparison_markdown
from flows.runtime.progress import stage
from flows.runtime.run_page import (
    APPROVAL_WANTED,
    PROMOTED,
    ROLLED_BACK,
    publish,
    run_address,
    stage_named,
    tell,
)
from flows.settings import Approval, Settings
from flows.training.trained import Trained


@task(task_run_name="bundle, verify, register, judge")
@stage("register")
def register_candidate(
    trained: Trained,
    processed: Processed,
    contract_name: str,
    must_win: bool,
    approval: Approval | None,
    drift_report: Path | None,
) -> Registered:
    """Bundle, verify, register and judge a candidate."""
    settings = Settings()
    settings = settings.model_copy(update={"approval": approval or settings.approval})
    evidence = gather_evidence(trained, processed, load_contract(contract_name), settings)
    submission = Submission(trained, processed, contract_name, evidence, settings, must_win, drift_report)
    registered = register_submission(submission)
    shown = registered.model_dump()
    if registered.waits:
        answer = answer_command("approve", registered.version)
        shown["reason"] = f"It waits for a person to approve it ({answer}). {registered.reason}"
    comparison = comparison_markdown(
        registered.name, registered.version, registered.reason, registered.figures
    )
    markdown = f"{artifacts.register_markdown(shown, evidence)}\n\n{comparison}"
    publish(contract_name, "register", markdown, registered.outcome)
    return registered


@task(task_run_name="watch the predictor follow")
@stage("canary")
def watch_predictor(registered: Registered, contract_name: str) -> Registered:
    """Watch the predictor follow a promotion, and take it back if the predictor must not answer with it."""
    canary = watch(Settings(), registered.name, registered.version)
    if canary.state != "not checked":
        told = f"## Canary: {canary.state}\n\n{cell(canary.detail)}"
        publish(contract_name, "canary", told, f"Canary {canary.state}.")
    return registered.watched(canary)


def links(registered: Registered) -> list[tuple[str, str]]:
    """Return where to look at a version: in Prefect, where a run is at work, and in MLflow."""
    settings, run = Settings(), (registered.experiment, registered.run_id)
    version = version_place(settings, registered.name, registered.version)
    return [
        ("Prefect run", run_address() or ""),
        (f"Version {registered.version} in MLflow", version),
        ("Its run, with candidates and plots", run_place(settings, *run)),
        ("Drift report", run_place(settings, *run, DRIFT_REPORT)),
        ("Data report", run_place(settings, *run, DATA_REPORT)),
    ]


def describe(registered: Registered) -> None:
    """Say at the head of the version's run in MLflow what came of it, and where to look."""
    client = open_registry(Settings())
    describe_run(client, registered.run_id, f"{registered.outcome}. {registered.reason}", links(registered))


def announce(registered: Registered, hours: float) -> None:
    """Tell whoever listens to Prefect's events what became of a version.

    Where a person is asked: by which command they answer, and that they have so many hours.
    """
    about = {"version": registered.version, "reason": registered.reason}
    if registered.waits:
        commands = {verb: answer_command(verb, registered.version) for verb in ("approve", "reject")}
        tell(APPROVAL_WANTED, registered.name, **about, **commands, hours=hours)
    elif registered.promoted and not registered.reused:
        tell(PROMOTED, registered.name, **about, told=registered.outcome)
    elif registered.canary:
        tell(ROLLED_BACK, registered.name, **about)


@flow(name="register", flow_run_name=stage_named)
def register(
    trained: Trained,
    processed: Processed,
    contract: str,
    must_win: bool = False,
    approval: Approval | None = None,
    drift_report: Path | None = None,
) -> Registered:
    """Turn a trained candidate into a model version and a verdict; after drift it must be better.

    Where a person must approve (GRADECAST_APPROVAL if None), one that has won is not promoted: they are told,
    and answer when they will.
    """
    registered = register_candidate(trained, processed, contract, must_win, approval, drift_report)
    if registered.promoted:
        registered = watch_predictor(registered, contract)
    describe(registered)
    announce(registered, Settings().approval_hours)
    return registered
