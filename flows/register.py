"""Register: the verified bundle becomes a model version, and the champion if it earns it."""

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from data.contract import load_contract
from flows.evaluate import gather_evidence
from flows.process import Processed
from flows.registry.approval import Answer, answer_of
from flows.registry.canary import watch
from flows.registry.registration import Registered, register_submission, settle_answer
from flows.registry.submission import Submission
from flows.reports import artifacts
from flows.reports.comparison import comparison_markdown
from flows.reports.markdown import cell
from flows.reports.progress import stage
from flows.settings import Approval, Settings
from flows.train import Trained


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
        told["reason"] = f"It waits for a person to approve it. {registered.reason}"
    shown = artifacts.register_markdown(told, submission.evidence)
    create_markdown_artifact(f"{shown}\n\n{comparison(registered)}", key="register")
    return registered


@task
def settle_approval(
    trained: Trained,
    processed: Processed,
    contract_name: str,
    must_win: bool,
    registered: Registered,
    answer: Answer,
) -> Registered:
    """Promote or reject a candidate as a person answered."""
    submission = submission_of(trained, processed, contract_name, must_win, "required")
    settled = settle_answer(submission, registered, answer)
    create_markdown_artifact(comparison(settled), key="approval")
    return settled


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

    Where a person must approve (GRADECAST_APPROVAL if None), it waits for one before it promotes.
    """
    registered = register_candidate(trained, processed, contract, must_win, approval)
    if registered.waits:
        hours = Settings().approval_hours
        answer = answer_of(registered.name, registered.version, comparison(registered), hours)
        registered = settle_approval(trained, processed, contract, must_win, registered, answer)
    return watch_predictor(registered) if registered.promoted else registered
