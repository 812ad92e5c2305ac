"""Register: the verified bundle becomes a model version, and the champion if it earns it."""

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from data.contract.contract import load_contract
from data.words import cell
from flows.evaluate import gather_evidence
from flows.processing.processed import Processed
from flows.registry.bundling import Submission
from flows.registry.decisions import answer_command
from flows.registry.registration import Registered, register_submission
from flows.registry.rollout import watch
from flows.reports import artifacts
from flows.reports.artifacts import comparison_markdown
from flows.runtime.progress import stage
from flows.settings import Approval, Settings
from flows.training.trained import Trained

APPROVAL_WANTED = "gradecast.approval-wanted"


@task
@stage("register")
def register_candidate(
    trained: Trained,
    processed: Processed,
    contract_name: str,
    must_win: bool,
    approval: Approval | None,
) -> Registered:
    """Bundle, verify, register and judge a candidate."""
    settings = Settings()
    settings = settings.model_copy(update={"approval": approval or settings.approval})
    evidence = gather_evidence(trained, processed, load_contract(contract_name), settings)
    submission = Submission(trained, processed, contract_name, evidence, settings, must_win)
    registered = register_submission(submission)
    shown = registered.model_dump()
    if registered.waits:
        answer = answer_command("approve", registered.version)
        shown["reason"] = f"It waits for a person to approve it ({answer}). {registered.reason}"
    comparison = comparison_markdown(
        registered.name, registered.version, registered.reason, registered.figures
    )
    create_markdown_artifact(
        f"{artifacts.register_markdown(shown, evidence)}\n\n{comparison}", key="register"
    )
    return registered


@task
@stage("canary")
def watch_predictor(registered: Registered) -> Registered:
    """Watch the predictor follow a promotion, and take it back if the predictor must not answer with it."""
    canary = watch(Settings(), registered.name, registered.version)
    if canary.state != "not checked":
        create_markdown_artifact(f"## Canary: {canary.state}\n\n{cell(canary.detail)}", key="canary")
    return registered.watched(canary)


def announce(registered: Registered, hours: float) -> None:
    """Tell whoever listens to Prefect's events that a person is asked, and has so many hours to answer."""
    payload: dict[str, Any] = {
        "model": registered.name,
        "version": registered.version,
        "reason": registered.reason,
        "hours": hours,
        "approve": answer_command("approve", registered.version),
        "reject": answer_command("reject", registered.version),
    }
    resource = {"prefect.resource.id": f"gradecast.model.{registered.name}"}
    emit_event(event=APPROVAL_WANTED, resource=resource, payload=payload)


@flow(name="register")
def register(
    trained: Trained,
    processed: Processed,
    contract: str,
    must_win: bool = False,
    approval: Approval | None = None,
) -> Registered:
    """Turn a trained candidate into a model version and a verdict; after drift it must be better.

    Where a person must approve (GRADECAST_APPROVAL if None), one that has won is not promoted: they are told,
    and answer when they will.
    """
    registered = register_candidate(trained, processed, contract, must_win, approval)
    if registered.waits:
        announce(registered, Settings().approval_hours)
    return watch_predictor(registered) if registered.promoted else registered
