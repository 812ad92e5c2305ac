"""Carry out what was decided of a version: aliases, tags and the promotion history, whole or not at all.

A decision is written down in the registry before anything of it is done, and struck out when all of it
is. A process that is killed in between leaves it there, and whoever opens the registry next to decide
something finishes it first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict

from data.durable import file_lock
from data.log.database import open_log
from data.log.history import Decision, append
from flows.registry.store import CHALLENGER, CHAMPION, PREVIOUS, move_alias, open_registry, version_of_alias
from flows.runtime.server import to_stderr
from flows.settings import Settings

NOTED, NEWEST = "undone-", "history"
"""Tags of a model: decisions that are not done yet, and the newest entry of its history."""
ROLLED_BACK, REPLACES, CANARY = "rolled_back", "replaces", "canary"
"""Tags of a version."""


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


def promotion(client: MlflowClient, decision: Decision, tags: dict[str, str]) -> Move:
    """Return what makes a version the champion, and the one before it `previous`."""
    version, aliases = decision.version, {}
    former, challenger = (version_of_alias(client, decision.model, name) for name in (CHAMPION, CHALLENGER))
    if former is not None and str(former.version) != version:
        tags = {**tags, REPLACES: str(former.version)}
        aliases[PREVIOUS] = str(former.version)
    moved: dict[str, str | None] = {**aliases, CHAMPION: version}
    if _is(challenger, version):
        moved[CHALLENGER] = None
    return Move(decision=decision, aliases=moved, tags={version: tags})


def rejection(decision: Decision, tags: dict[str, str]) -> Move:
    """Return what leaves the champion where it is, and makes a version the challenger."""
    aliases: dict[str, str | None] = {CHALLENGER: decision.version}
    return Move(decision=decision, aliases=aliases, tags={decision.version: tags})


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
    """Do what was decided, while deciding.

    Returns whether it is in the history too: where that database does not answer, the decision is done
    and waits in the registry to be recorded.
    """
    _note(client, move)
    return finish(client, settings, move.decision.model)


def finish(client: MlflowClient, settings: Settings, name: str) -> bool:
    """Finish every decision that is not done yet, oldest first; return whether all are recorded."""
    tags = _tags(client, name)
    noted = [(key, tags[key]) for key in sorted(tags) if key.startswith(NOTED)]
    decisions = [_done(client, name, key, version) for key, version in noted]
    try:
        for (key, version), decision in zip(noted, decisions, strict=True):
            _record(client, settings, key, decision)
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
        move_alias(client, name, alias, target)
    client.update_model_version(name, version, description=move.decision.reason)
    done = Move(decision=move.decision, aliases={})  # a person may move an alias before it is recorded
    client.set_model_version_tag(name, version, key, done.model_dump_json())
    return move.decision


def _record(client: MlflowClient, settings: Settings, key: str, decision: Decision) -> None:
    """Add a decision to the history, note the newest entry, and strike the decision out."""
    settings.home.mkdir(parents=True, exist_ok=True)
    entry = append(open_log(settings.database_url), decision)
    client.set_registered_model_tag(decision.model, NEWEST, f"{entry.entry} {entry.digest}")
    client.delete_registered_model_tag(decision.model, key)


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


def _note(client: MlflowClient, move: Move) -> None:
    """Write a decision down: on its version, which takes long texts, then in one step on the model."""
    name, version = move.decision.model, move.decision.version
    key = f"{NOTED}{move.decision.at:%Y%m%dT%H%M%S%f}"
    client.set_model_version_tag(name, version, key, move.model_dump_json())
    client.set_registered_model_tag(name, key, version)


def _is(found: ModelVersion | None, version: str) -> bool:
    return found is not None and str(found.version) == version
