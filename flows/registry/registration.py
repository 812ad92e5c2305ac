"""Register a submission: once, judged once, and taken up again where a killed run left it."""

from mlflow.entities.model_registry import ModelVersion
from pydantic import BaseModel, ConfigDict

from flows.registry.bundling import make_bundle
from flows.registry.canary import Canary
from flows.registry.decisions import deciding
from flows.registry.judging import judge
from flows.registry.promotion import Verdict
from flows.registry.run_log import log_and_register
from flows.registry.store import close_dead_runs, experiment_id, version_of_fingerprint
from flows.registry.submission import Submission
from flows.registry.versions import (
    as_of_now,
    ask,
    recorded_verdict,
    settle,
)


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
    waits: bool = False
    """Whether it has won, and waits for a person to approve it."""
    canary: str = ""
    """What came of watching the predictor after a promotion."""

    def decided(self, verdict: Verdict, *, waits: bool = False) -> "Registered":
        """Return the version as a verdict leaves it."""
        told = {"promoted": verdict.promoted and not waits, "reason": verdict.reason}
        return self.model_copy(update={**told, "figures": verdict.figures, "waits": waits})

    def watched(self, found: Canary) -> "Registered":
        """Return the version as the canary leaves it."""
        if found.state != "rolled back":
            return self.model_copy(update={"canary": f"{found.state}: {found.detail}"})
        reason = f"it was promoted, and rolled back by the canary: {found.detail}"
        return self.model_copy(update={"promoted": False, "reason": reason, "canary": found.detail})


def register_submission(submission: Submission) -> Registered:
    """Register a submission and judge it, or return what an equal run registered.

    One at a time on this machine. A run killed between registering and judging is taken up where it
    was. Where a person must approve, a version that has won is not promoted: they are asked, and an equal
    run asks again until they have answered. Raises BundleError when the bundle does not hold what it
    promises.
    """
    contract, settings = submission.contract, submission.settings
    make_bundle(submission)
    with deciding(settings, contract.model_name) as client:
        experiment = experiment_id(client, contract, settings)
        if settings.local_registry:  # elsewhere another machine may be at work on one
            close_dead_runs(client, experiment)
        known = version_of_fingerprint(client, contract.model_name, submission.fingerprint)
        version = known or log_and_register(client, experiment, submission)
        registered = _undecided(submission, version, reused=known is not None)
        verdict = recorded_verdict(version)
        if verdict is None:
            verdict = judge(client, submission, version)
            if verdict.promoted and submission.asks_person:
                ask(client, settings, registered.name, registered.version, verdict)
                return registered.decided(verdict, waits=True)
            settle(client, settings, registered.name, registered.version, verdict)
        return registered.decided(as_of_now(client, registered.name, registered.version, verdict))


def _undecided(submission: Submission, version: ModelVersion, *, reused: bool) -> Registered:
    evidence = submission.evidence
    return Registered(
        name=submission.contract.model_name,
        version=str(version.version),
        run_id=str(version.run_id),
        promoted=False,
        reason="",
        figures={},
        metrics=evidence.metrics,
        intervals=evidence.intervals,
        bayes=evidence.bayes,
        reused=reused,
    )
