"""What is decided of a version – promoted, rejected, a person asked – and carried out whole or not at all.

A decision is written down in the registry before anything of it is done, and struck out when all of it
is. A process that is killed in between leaves it there, and whoever opens the registry next to decide
something finishes it first.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import AwareDatetime, BaseModel, ConfigDict

from data.durable import file_lock
from data.errors import BadInput, Stopped
from data.log.database import open_log
from data.log.history import Decision, append
from flows.registry.store import CHALLENGER, CHAMPION, PREVIOUS, load_version, open_registry, version_named
from flows.runtime.progress import to_stderr
from flows.settings import Settings

PIPELINE = "pipeline"
"""Who decides where no person does."""
NOTED, NEWEST = "undone-", "history"
"""Tags of a model: decisions that are not done yet, and the newest entry of its history."""
ROLLED_BACK, REPLACES, CANARY, ASKED = "rolled_back", "replaces", "canary", "asked"
"""Tags of a version."""
OVERDUE = "rejected by time limit: "
"""Begins what earlier releases recorded where nobody had answered in time: it is asked again."""
AGAIN = "Run the pipeline again as before: nothing is trained anew, it is judged and asked about again."


@dataclass(frozen=True)
class PromotionVerdict:
    """Whether to promote, why in one sentence, and the figures it rests on."""

    promoted: bool
    reason: str
    figures: dict[str, float]


class Move(BaseModel):
    """A decision, and what it does to the registry."""

    model_config = ConfigDict(frozen=True)

    decision: Decision
    aliases: dict[str, str | None]
    """Where each alias points afterwards; None takes it away. None at all once it is done."""
    tags: dict[str, dict[str, str]] = {}
    """Tags to set, by version."""


@contextmanager
def deciding(settings: Settings, name: str) -> Iterator[MlflowClient]:
    """Open the registry for whoever decides of a model: one at a time, nothing left unfinished."""
    with file_lock(settings.home / "registry.lock"):
        client = open_registry(settings)
        finish(client, settings, name)
        yield client


def settle(
    client: MlflowClient,
    settings: Settings,
    name: str,
    version: str,
    verdict: PromotionVerdict,
    by: str = PIPELINE,
) -> None:
    """Carry out a verdict, while deciding: aliases, the version's tags, the history.

    Raises Stopped where a version that is to be champion cannot be read; nothing is decided then.
    """
    if verdict.promoted:
        load_version(client, name, version)
    decision = Decision(
        model=name,
        event="promoted" if verdict.promoted else "rejected",
        version=version,
        champion=version if verdict.promoted else version_named(client, name, CHAMPION),
        by=by,
        reason=verdict.reason,
        evidence=verdict.figures,
    )
    tags = {
        "promoted": str(verdict.promoted).lower(),
        "figures": json.dumps(verdict.figures),
        "reason": verdict.reason,
    }
    rejection = Move(decision=decision, aliases={CHALLENGER: version}, tags={version: tags})
    carry_out(client, settings, promotion(client, decision, tags) if verdict.promoted else rejection)


def promotion(client: MlflowClient, decision: Decision, tags: dict[str, str]) -> Move:
    """Return what makes a version the champion, and the one before it `previous`."""
    version, name = decision.version, decision.model
    aliases: dict[str, str | None] = {CHAMPION: version}
    former = version_named(client, name, CHAMPION)
    if former not in (None, version):
        tags = {**tags, REPLACES: str(former)}
        aliases = {PREVIOUS: former, CHAMPION: version}  # in this order: a kill in between is taken up again
    if version_named(client, name, CHALLENGER) == version:
        aliases[CHALLENGER] = None
    return Move(decision=decision, aliases=aliases, tags={version: tags})


def way_back(client: MlflowClient, decision: Decision) -> Move:
    """Return what takes the champion's place from a version.

    `previous` becomes what the new champion once replaced: rolling back again goes further back.
    """
    back = decision.champion
    tags = {decision.version: {ROLLED_BACK: f"{decision.reason} ({decision.by})"}}
    before = None
    if back is not None:
        before = client.get_model_version(decision.model, back).tags.get(REPLACES)
        tags[back] = {ROLLED_BACK: ""}
    return Move(decision=decision, aliases={PREVIOUS: before, CHAMPION: back}, tags=tags)


def carry_out(client: MlflowClient, settings: Settings, move: Move) -> bool:
    """Write a decision down – on its version, which takes long texts, and on the model – and do it.

    Returns whether it is in the history too: where that database does not answer, the decision is done
    and waits in the registry to be recorded. To be called while deciding.
    """
    name, version = move.decision.model, move.decision.version
    key = f"{NOTED}{move.decision.at:%Y%m%dT%H%M%S%f}"
    client.set_model_version_tag(name, version, key, move.model_dump_json())
    client.set_registered_model_tag(name, key, version)
    return finish(client, settings, name)


def finish(client: MlflowClient, settings: Settings, name: str) -> bool:
    """Finish every decision that is not done yet, oldest first; return whether all are recorded."""
    tags = _tags(client, name)
    noted = [(key, tags[key]) for key in sorted(tags) if key.startswith(NOTED)]
    decisions = [_done(client, name, key, version) for key, version in noted]
    try:
        for (key, version), decision in zip(noted, decisions, strict=True):
            settings.home.mkdir(parents=True, exist_ok=True)
            entry = append(open_log(settings.database_url), decision)
            client.set_registered_model_tag(name, NEWEST, f"{entry.entry} {entry.digest}")
            client.delete_registered_model_tag(name, key)
            client.delete_model_version_tag(name, version, key)
    except sa.exc.SQLAlchemyError as error:
        to_stderr(f"The promotion history cannot be written now, and will be: {error}")
        return False
    return True


def _done(client: MlflowClient, name: str, key: str, version: str) -> Decision:
    """Do what a decision that was written down does to the registry, unless it is done; return it."""
    move = Move.model_validate_json(client.get_model_version(name, version).tags[key])
    if not move.aliases:
        return move.decision
    for of_version, tags in move.tags.items():
        for tag, value in tags.items():
            client.set_model_version_tag(name, of_version, tag, value)
    for alias, target in move.aliases.items():
        if target is not None:
            client.set_registered_model_alias(name, alias, target)
        elif version_named(client, name, alias) is not None:
            client.delete_registered_model_alias(name, alias)
    client.update_model_version(name, version, description=move.decision.reason)
    with suppress(MlflowException):  # a person may have deleted the run
        _tag_run(client, name, version, {"verdict": move.decision.event, "reason": move.decision.reason})
    done = Move(decision=move.decision, aliases={})  # a person may move an alias before it is recorded
    client.set_model_version_tag(name, version, key, done.model_dump_json())
    return move.decision


def _tag_run(client: MlflowClient, name: str, version: str, tags: dict[str, str]) -> None:
    """Set tags of the run that a version comes from, for MLflow's table of runs."""
    run_id = client.get_model_version(name, version).run_id
    for tag, value in tags.items() if run_id else ():
        client.set_tag(str(run_id), tag, value)


def newest_entry(client: MlflowClient, name: str) -> tuple[int, str] | None:
    """Return the number and digest of the newest entry, as the registry has noted them."""
    number, _, digest = _tags(client, name).get(NEWEST, "").partition(" ")
    return (int(number), digest) if digest else None


def _tags(client: MlflowClient, name: str) -> dict[str, str]:
    """Return a model's tags; none where it was never registered."""
    try:
        return client.get_registered_model(name).tags
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise


def recorded_verdict(version: ModelVersion) -> PromotionVerdict | None:
    """Return the verdict that was recorded on a version, or None when it was never judged."""
    tags = version.tags
    if "reason" not in tags or tags["reason"].startswith(OVERDUE):
        return None
    return PromotionVerdict(tags["promoted"] == "true", tags["reason"], json.loads(tags["figures"]))


def as_of_now(client: MlflowClient, name: str, version: str, verdict: PromotionVerdict) -> PromotionVerdict:
    """Return a verdict as it still holds: a version may have been replaced, or rolled back, since."""
    champion = version_named(client, name, CHAMPION)
    if not verdict.promoted or champion == version:
        return verdict
    rolled_back = client.get_model_version(name, version).tags.get(ROLLED_BACK)
    if rolled_back:
        return PromotionVerdict(
            False, f"it was champion once, and was rolled back: {rolled_back}", verdict.figures
        )
    if champion is None:
        return verdict
    reason = f"it was champion once, and version {champion} has replaced it"
    return PromotionVerdict(False, reason, verdict.figures)


class ApprovalQuestion(BaseModel):
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


class ApprovalAnswer(BaseModel):
    """What a person answered."""

    model_config = ConfigDict(frozen=True)

    approved: bool
    by: str
    reason: str

    def applied(self, verdict: PromotionVerdict) -> PromotionVerdict:
        """Return the verdict of a challenger that has won, as this answer leaves it."""
        word = "approved" if self.approved else "rejected"
        reason = f"{word} by {_plain(self.by)}: {_plain(self.reason)}; {verdict.reason}"
        return PromotionVerdict(self.approved, reason, verdict.figures)


def ask(client: MlflowClient, settings: Settings, name: str, version: str, verdict: PromotionVerdict) -> None:
    """Ask whether a version that has won may become the champion, while deciding: it is the challenger now.

    Nobody waits for the answer: the question is in the registry, until it is answered or asked anew.
    """
    champion = version_named(client, name, CHAMPION)
    decision = Decision(
        model=name,
        event="asked",
        version=version,
        champion=champion,
        by=PIPELINE,
        reason=f"it waits for a person to approve it; {verdict.reason}",
        evidence=verdict.figures,
    )
    question = ApprovalQuestion(
        version=version, reason=verdict.reason, figures=verdict.figures, at=decision.at
    )
    aliases: dict[str, str | None] = {CHAMPION if champion == version else CHALLENGER: version}
    tags = {version: {ASKED: question.model_dump_json()}}
    carry_out(client, settings, Move(decision=decision, aliases=aliases, tags=tags))


def answer_command(verb: str, version: str) -> str:
    """Return the command by which a person answers: `approve` or `reject`."""
    return f'make {verb} VERSION={version} REASON="…"'


def settle_answer(settings: Settings, name: str, number: str, answer: ApprovalAnswer) -> PromotionVerdict:
    """Promote or reject a version as a person answered, and return what was recorded.

    Raises:
        BadInput: no such version waits; names those that do.
        Stopped: it may not be approved any more, for the time is over or there is another champion.
    """
    with deciding(settings, name) as client:
        question = _find_question(client, name, number)
        if answer.approved:
            _check_still_holds(client, settings, name, question)
        verdict = answer.applied(PromotionVerdict(True, question.reason, question.figures))
        settle(client, settings, name, number, verdict, _plain(answer.by))
    return verdict


def waiting(client: MlflowClient, name: str) -> list[ApprovalQuestion]:
    """Return what a person is asked about a model, newest first."""
    versions = client.search_model_versions(f"name = '{name}'")
    asked = [question for version in versions if (question := _question_of(version))]
    return sorted(asked, key=lambda question: question.at, reverse=True)


def _question_of(version: ModelVersion) -> ApprovalQuestion | None:
    """Return what a person is asked about a version; None where nothing is, or it is decided."""
    if recorded_verdict(version) is not None or not version.tags.get(ASKED):
        return None
    return ApprovalQuestion.model_validate_json(version.tags[ASKED])


def _find_question(client: MlflowClient, name: str, number: str) -> ApprovalQuestion:
    """Return what is asked about a version; raises BadInput, naming those that wait."""
    numbers = ", ".join(question.version for question in waiting(client, name))
    remedy = f"Versions that wait: {numbers or 'none'}. See what was decided so far: python -m flows.history."
    try:
        version = client.get_model_version(name, number)
    except MlflowException as error:
        raise BadInput(f"{name} has no version {number}.", remedy=remedy) from error
    question = _question_of(version)
    if question is not None:
        return question
    verdict = recorded_verdict(version)
    decided = f"it was decided already: {verdict.reason}" if verdict else "nobody was asked about it"
    raise BadInput(f"version {number} of {name} does not wait for a person: {decided}.", remedy=remedy)


def _check_still_holds(
    client: MlflowClient, settings: Settings, name: str, question: ApprovalQuestion
) -> None:
    """Raise Stopped where what the person has read is not so any more."""
    if question.is_over(settings.approval_hours):
        raise Stopped(
            f"version {question.version} of {name} was asked about on {question.at:%Y-%m-%d %H:%M} UTC, "
            f"more than {settings.approval_hours:g} h ago (GRADECAST_APPROVAL_HOURS). {AGAIN}"
        )
    champion = version_named(client, name, CHAMPION)
    if champion != question.champion:
        raise Stopped(
            f"version {question.version} of {name} was judged against "
            f"{'no champion' if question.champion is None else f'champion {question.champion}'}, and "
            f"{'there is none' if champion is None else f'version {champion} is champion'} now. {AGAIN}"
        )


def _plain(text: str) -> str:
    """Return a text as one line that any database takes."""
    return " ".join(text.replace("\0", "").split())
