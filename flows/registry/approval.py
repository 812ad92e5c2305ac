"""A person decides whether a challenger that has won may become the champion, whenever they come to it.

Nothing runs meanwhile: the question stands in the registry (versions.ask), and is told by an event, the
promotion history, a metric and the commands. The answer is an act of its own.
"""

from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict

from data.errors import BadInput, Stopped
from flows.registry.decisions import deciding
from flows.registry.promotion import Verdict
from flows.registry.store import open_registry
from flows.registry.versions import Question, champion_number, question_of, recorded_verdict, settle
from flows.settings import Settings

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
