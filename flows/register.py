"""Register: the verified bundle becomes a model version, and the champion if it earns it."""

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict

from data.contract import load_contract
from flows.evaluate import gather_evidence
from flows.process import Processed
from flows.registry.bundling import make_bundle
from flows.registry.run_log import log_and_register
from flows.registry.store import close_dead_runs, experiment_id, open_registry, version_of_fingerprint
from flows.registry.submission import Submission
from flows.registry.versions import as_of_now, judge, recorded_verdict, settle
from flows.reports import artifacts
from flows.reports.progress import stage
from flows.settings import Settings
from flows.support.locks import file_lock
from flows.train import Trained


class Registered(BaseModel):
    """A model version, and what was decided about it."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    run_id: str
    promoted: bool
    reason: str
    figures: dict[str, float]
    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    bayes: dict[str, float] | None
    reused: bool


def register_submission(submission: Submission) -> Registered:
    """Register a submission and judge it, or return what an equal run registered.

    One at a time on this machine. A run killed between registering and judging is taken up where it
    was. Raises BundleError when the bundle does not hold what it promises.
    """
    contract, settings, evidence = submission.contract, submission.settings, submission.evidence
    make_bundle(submission)
    with file_lock(settings.home / "registry.lock"):
        client = open_registry(settings)
        experiment = experiment_id(client, contract, settings)
        if settings.local_registry:  # elsewhere another machine may be at work on one
            close_dead_runs(client, experiment)
        known = version_of_fingerprint(client, contract.model_name, submission.trained.fingerprint)
        version = known or log_and_register(client, experiment, submission)
        verdict = recorded_verdict(version)
        if verdict is None:
            verdict = judge(client, submission, version)
            settle(client, contract.model_name, str(version.version), verdict)
        verdict = as_of_now(client, contract.model_name, str(version.version), verdict)
    return Registered(
        name=contract.model_name,
        version=str(version.version),
        run_id=str(version.run_id),
        promoted=verdict.promoted,
        reason=verdict.reason,
        figures=verdict.figures,
        metrics=evidence.metrics,
        intervals=evidence.intervals,
        bayes=evidence.bayes,
        reused=known is not None,
    )


@task
@stage("register")
def register_candidate(
    trained: Trained, processed: Processed, contract_name: str, must_win: bool
) -> Registered:
    """Bundle, verify, register and judge a candidate."""
    settings = Settings()
    evidence = gather_evidence(trained, processed, load_contract(contract_name), settings)
    registered = register_submission(
        Submission(trained, processed, contract_name, evidence, settings, must_win)
    )
    create_markdown_artifact(artifacts.register_markdown(registered.model_dump(), evidence), key="register")
    return registered


@flow(name="register")
def register(trained: Trained, processed: Processed, contract: str, must_win: bool = False) -> Registered:
    """Turn a trained candidate into a model version and a verdict; after drift it must be better."""
    return register_candidate(trained, processed, contract, must_win)
