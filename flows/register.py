"""Register: the verified bundle becomes a model version, and the champion if it earns it."""

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from data.contract.contract import load_contract
from flows.evaluate import gather_evidence
from flows.processing.processed import Processed
from flows.registry.approval import announce, command
from flows.registry.bundling import Submission
from flows.registry.registration import Registered, register_submission
from flows.registry.rollout import watch
from flows.reports import artifacts
from flows.reports.screen import comparison_markdown
from flows.reports.text import cell
from flows.runtime.progress import stage
from flows.settings import Approval, Settings
from flows.training.trained import Trained


def submission_of(
    trained: Trained, processed: Processed, contract_name: str, must_win: bool, approval: Approval | None
) -> Submission:
    """Gather what a trained candidate is judged by."""
    settings = Settings()
    settings = settings.model_copy(update={"approval": approval or settings.approval})
    evidence = gather_evidence(trained, processed, load_contract(contract_name), settings)
    return Submission(trained, processed, contract_name, evidence, settings, must_win)


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
    submission = submission_of(trained, processed, contract_name, must_win, approval)
    registered = register_submission(submission)
    told = registered.model_dump()
    if registered.waits:
        answer = command("approve", registered.version)
        told["reason"] = f"It waits for a person to approve it ({answer}). {registered.reason}"
    shown = artifacts.register_markdown(told, submission.evidence)
    create_markdown_artifact(f"{shown}\n\n{comparison(registered)}", key="register")
    return registered


@task
@stage("canary")
def watch_predictor(registered: Registered) -> Registered:
    """Watch the predictor follow a promotion, and take it back if the predictor must not answer with it."""
    found = watch(Settings(), registered.name, registered.version)
    if found.state != "not checked":
        create_markdown_artifact(f"## Canary: {found.state}\n\n{cell(found.detail)}", key="canary")
    return registered.watched(found)


def comparison(registered: Registered) -> str:
    """Return what a verdict rests on, as Markdown."""
    return comparison_markdown(registered.name, registered.version, registered.reason, registered.figures)


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
        announce(registered.name, registered.version, registered.reason, Settings())
    return watch_predictor(registered) if registered.promoted else registered
