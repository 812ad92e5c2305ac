"""What was decided of a registered version, and what becomes of it."""

import json
from datetime import UTC, datetime, timedelta

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pydantic import AwareDatetime, BaseModel, ConfigDict

from data.history import Decision
from flows.registry.champion import load_version
from flows.registry.decisions import ROLLED_BACK, Move, carry_out, promotion, rejection
from flows.registry.promotion import Verdict
from flows.registry.store import CHALLENGER, CHAMPION, version_of_alias
from flows.settings import Settings

PIPELINE = "pipeline"
"""Who decides where no person does."""
ASKED = "asked"
"""Tag of a version that a person is asked about."""
OVERDUE = "rejected by time limit: "
"""Begins what earlier releases recorded where nobody had answered in time: it is asked again."""


class Question(BaseModel):
    """A version that has won and may become the champion if a person says so."""

    model_config = ConfigDict(frozen=True)

    version: str
    reason: str
    figures: dict[str, float]
    """What it was judged by, and against which champion."""
    at: AwareDatetime

    @property
    def champion(self) -> str | None:
        """The number of the champion that it was judged against; None where there was none."""
        against = self.figures.get("champion")
        return None if against is None else f"{against:.0f}"

    def is_over(self, hours: float) -> bool:
        """Whether the time to answer is over."""
        return datetime.now(UTC) - self.at > timedelta(hours=hours)


def recorded_verdict(version: ModelVersion) -> Verdict | None:
    """Return the verdict that was recorded on a version, or None when it was never judged."""
    tags = version.tags
    if "reason" not in tags or tags["reason"].startswith(OVERDUE):
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


def question_of(version: ModelVersion) -> Question | None:
    """Return what a person is asked about a version; None where nothing is, or it is decided."""
    if recorded_verdict(version) is not None or not version.tags.get(ASKED):
        return None
    return Question.model_validate_json(version.tags[ASKED])


def ask(client: MlflowClient, settings: Settings, name: str, version: str, verdict: Verdict) -> None:
    """Ask whether a version that has won may become the champion, while deciding: it is the challenger now.

    Nobody waits for the answer: the question is in the registry, until it is answered or asked anew.
    """
    stays = champion_number(client, name)
    decision = Decision(
        model=name,
        event="asked",
        version=version,
        champion=stays,
        by=PIPELINE,
        reason=f"it waits for a person to approve it; {verdict.reason}",
        evidence=verdict.figures,
    )
    question = Question(version=version, reason=verdict.reason, figures=verdict.figures, at=decision.at)
    place = CHAMPION if stays == version else CHALLENGER
    move = Move(
        decision=decision,
        aliases={place: version},
        tags={version: {ASKED: question.model_dump_json()}},
    )
    carry_out(client, settings, move)


def settle(
    client: MlflowClient, settings: Settings, name: str, version: str, verdict: Verdict, by: str = PIPELINE
) -> None:
    """Carry out a verdict, while deciding: aliases, the version's tags, the history.

    Raises Stopped where a version that is to be champion cannot be read; nothing is decided then.
    """
    if verdict.promoted:
        load_version(client, name, version)
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
