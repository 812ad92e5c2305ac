"""What was decided of a version, what waits for a person, and the person's answer."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import AwareDatetime, BaseModel, ConfigDict

from data.errors import BadInput, Stopped
from data.log.history import Decision
from flows.registry.decisions import ROLLED_BACK, Move, carry_out, deciding, promotion, rejection
from flows.registry.promotion import Verdict
from flows.registry.store import CHALLENGER, CHAMPION, load_version, open_registry, version_of_alias
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


EVENT = "gradecast.approval-wanted"
AGAIN = "Run the pipeline again as before: nothing is trained anew, it is judged and asked about again."


class Answer(BaseModel):
    """What a person answered."""

    model_config = ConfigDict(frozen=True)

    approved: bool
    by: str
    reason: str

    def applied(self, verdict: Verdict) -> Verdict:
        """Return the verdict of a challenger that has won, as this answer leaves it."""
        word = "approved" if self.approved else "rejected"
        return Verdict(
            self.approved,
            f"{word} by {_plain(self.by)}: {_plain(self.reason)}; {verdict.reason}",
            verdict.figures,
        )


def waiting(settings: Settings, name: str) -> list[Question]:
    """Return what a person is asked about a model, newest first."""
    return _waiting(open_registry(settings), name)


def settle_answer(settings: Settings, name: str, number: str, answer: Answer) -> Verdict:
    """Promote or reject a version as a person answered, and return what was recorded.

    Raises:
        BadInput: no such version waits; names those that do.
        Stopped: it may not be approved any more, for the time is over or there is another champion.
    """
    with deciding(settings, name) as client:
        question = find_question(client, name, number)
        if answer.approved:
            _check_still_holds(client, settings, name, question)
        verdict = answer.applied(Verdict(True, question.reason, question.figures))
        settle(client, settings, name, number, verdict, _plain(answer.by))
    return verdict


def find_question(client: MlflowClient, name: str, number: str) -> Question:
    """Return what is asked about a version; raises BadInput, naming those that wait."""
    try:
        version = client.get_model_version(name, number)
    except MlflowException as error:
        raise BadInput(f"{name} has no version {number}.", remedy=_those_that_wait(client, name)) from error
    question = question_of(version)
    if question is not None:
        return question
    verdict = recorded_verdict(version)
    decided = f"it was decided already: {verdict.reason}" if verdict else "nobody was asked about it"
    raise BadInput(
        f"version {number} of {name} does not wait for a person: {decided}.",
        remedy=_those_that_wait(client, name),
    )


def announce(name: str, version: str, reason: str, settings: Settings) -> None:
    """Tell whoever listens to Prefect's events that a person is asked."""
    from prefect.events import emit_event

    payload: dict[str, Any] = {
        "model": name,
        "version": version,
        "reason": reason,
        "hours": settings.approval_hours,
        "approve": command("approve", version),
        "reject": command("reject", version),
    }
    emit_event(event=EVENT, resource={"prefect.resource.id": f"gradecast.model.{name}"}, payload=payload)


def command(what: str, version: str) -> str:
    """Return the command by which a person answers."""
    return f'make {what} VERSION={version} REASON="…"'


def _waiting(client: MlflowClient, name: str) -> list[Question]:
    found = client.search_model_versions(f"name = '{name}'")
    asked = [question for version in found if (question := question_of(version))]
    return sorted(asked, key=lambda question: question.at, reverse=True)


def _those_that_wait(client: MlflowClient, name: str) -> str:
    numbers = ", ".join(question.version for question in _waiting(client, name))
    return f"Versions that wait: {numbers or 'none'}. See what was decided so far: python -m flows.history."


def _check_still_holds(client: MlflowClient, settings: Settings, name: str, question: Question) -> None:
    """Raise Stopped where what the person has read is not so any more."""
    if question.is_over(settings.approval_hours):
        raise Stopped(
            f"version {question.version} of {name} was asked about on {question.at:%Y-%m-%d %H:%M} UTC, "
            f"more than {settings.approval_hours:g} h ago (GRADECAST_APPROVAL_HOURS). {AGAIN}"
        )
    champion = champion_number(client, name)
    if champion != question.champion:
        raise Stopped(
            f"version {question.version} of {name} was judged against "
            f"{'no champion' if question.champion is None else f'champion {question.champion}'}, and "
            f"{'there is none' if champion is None else f'version {champion} is champion'} now. {AGAIN}"
        )


def _plain(text: str) -> str:
    """Return a text as one line that any database takes."""
    return " ".join(text.replace("\0", "").split())
