"""What was decided of a registered version, and what becomes of it."""

import json

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from data.history import Decision
from flows.registry.decisions import ROLLED_BACK, carry_out, promotion, rejection
from flows.registry.promotion import Verdict
from flows.registry.store import CHALLENGER, CHAMPION, move_alias, version_of_alias
from flows.settings import Settings

PIPELINE = "pipeline"
"""Who decides where no person does."""


def recorded_verdict(version: ModelVersion) -> Verdict | None:
    """Return the verdict that was recorded on a version, or None when it was never judged."""
    tags = version.tags
    if "reason" not in tags:
        return None
    return Verdict(tags["promoted"] == "true", tags["reason"], json.loads(tags["figures"]))


def as_of_now(client: MlflowClient, name: str, version: str, verdict: Verdict) -> Verdict:
    """Return a verdict as it still holds: a version may have been replaced, or rolled back, since."""
    champion = champion_number(client, name)
    if not verdict.promoted or champion == version:
        return verdict
    rolled_back = client.get_model_version(name, version).tags.get(ROLLED_BACK)
    if rolled_back:
        return Verdict(False, f"it was champion once, and was rolled back: {rolled_back}", verdict.figures)
    if champion is None:
        return verdict
    reason = f"it was champion once, and version {champion} has replaced it"
    return Verdict(False, reason, verdict.figures)


def champion_number(client: MlflowClient, name: str) -> str | None:
    """Return the number of the champion, or None."""
    champion = version_of_alias(client, name, CHAMPION)
    return None if champion is None else str(champion.version)


def propose(client: MlflowClient, name: str, version: str) -> None:
    """Make a version that has won the challenger, while it waits for a person."""
    if champion_number(client, name) != version:
        move_alias(client, name, CHALLENGER, version)


def settle(
    client: MlflowClient, settings: Settings, name: str, version: str, verdict: Verdict, by: str = PIPELINE
) -> None:
    """Carry out a verdict, while deciding: aliases, the version's tags, the history."""
    stays = champion_number(client, name)
    decision = Decision(
        model=name,
        event="promoted" if verdict.promoted else "rejected",
        version=version,
        champion=version if verdict.promoted else stays,
        by=by,
        reason=verdict.reason,
        evidence=verdict.figures,
    )
    tags = {
        "promoted": str(verdict.promoted).lower(),
        "figures": json.dumps(verdict.figures),
        "reason": verdict.reason,
    }
    move = promotion(client, decision, tags) if verdict.promoted else rejection(decision, tags)
    carry_out(client, settings, move)
