"""Turn back to an earlier champion."""

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pydantic import BaseModel, ConfigDict

from data.errors import BadInput
from data.history import Decision
from flows.registry.champion import load_bundle
from flows.registry.decisions import carry_out, deciding, way_back
from flows.registry.store import CHAMPION, PREVIOUS, version_of_alias
from flows.settings import Settings

REMEDY = "See what was decided so far: python -m flows.history."


class RolledBack(BaseModel):
    """What was turned back, and to what."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    """The champion before."""
    champion: str | None
    """The champion now; None where a first champion had nobody to go back to."""
    reason: str
    by: str
    recorded: bool
    """Whether the history has it already; if not, the next run writes it."""


def roll_back(settings: Settings, name: str, to: str | None, *, reason: str, by: str) -> RolledBack:
    """Make an earlier champion the champion again: a version's number, or `previous` if None.

    Raises:
        BadInput: there is no such version, it never was champion, or it is the champion already.
        Stopped: its bundle cannot be read.
    """
    with deciding(settings, name) as client:
        champion = version_of_alias(client, name, CHAMPION)
        if champion is None:
            raise BadInput(f"{name} has no champion, so there is nothing to turn back from.", remedy=REMEDY)
        target = find_target(client, name, champion, to)
        load_bundle(name, target)
        return _turn_back(client, settings, champion, target, reason=reason, by=by)


def withdraw(settings: Settings, name: str, version: str, *, reason: str, by: str) -> RolledBack | None:
    """Turn back from a version, if it is the champion still; without an earlier one there is none then.

    Returns None where another champion has taken its place meanwhile. Raises Stopped when the earlier
    one's bundle cannot be read.
    """
    with deciding(settings, name) as client:
        champion = version_of_alias(client, name, CHAMPION)
        if champion is None or str(champion.version) != version:
            return None
        previous = version_of_alias(client, name, PREVIOUS)
        target = None if previous is None else str(previous.version)
        if target is not None:
            load_bundle(name, target)
        return _turn_back(client, settings, champion, target, reason=reason, by=by)


def find_target(client: MlflowClient, name: str, champion: ModelVersion, to: str | None) -> str:
    """Return the version to go back to; raises BadInput, naming those that there are."""
    was = sorted(
        (v for v in client.search_model_versions(f"name = '{name}'") if v.tags.get("promoted") == "true"),
        key=lambda version: int(version.version),
    )
    numbers = [str(version.version) for version in was if version.version != champion.version]
    known = f"Versions that were champion: {', '.join(numbers) or 'none but this one'}. {REMEDY}"
    now = f"version {champion.version} of {name} is champion"
    if to is None:
        previous = version_of_alias(client, name, PREVIOUS)
        if previous is None:
            raise BadInput(f"{now}, and no version is noted as the one before it.", remedy=known)
        return str(previous.version)
    if to == str(champion.version):
        raise BadInput(f"{now} already.", remedy=known)
    if to not in numbers:
        raise BadInput(f"{name} has no version {to} that ever was champion.", remedy=known)
    return to


def _turn_back(
    client: MlflowClient,
    settings: Settings,
    champion: ModelVersion,
    target: str | None,
    *,
    reason: str,
    by: str,
) -> RolledBack:
    name, version = str(champion.name), str(champion.version)
    decision = Decision(
        model=name, event="rolled back", version=version, champion=target, by=by, reason=reason
    )
    recorded = carry_out(client, settings, way_back(client, decision))
    return RolledBack(name=name, version=version, champion=target, reason=reason, by=by, recorded=recorded)
