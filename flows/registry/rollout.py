"""After a decision: the predictor awaited and watched, and the version taken back if it must be."""

import json
import time
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

import numpy as np
from mlflow import MlflowClient
from pydantic import BaseModel, ConfigDict

from data.bundle.bundle import TOLERANCE, Bundle
from data.bundle.manifest import EXAMPLES
from data.errors import BadInput
from data.log.history import Decision
from flows.registry.decisions import CANARY, carry_out, deciding, way_back
from flows.registry.store import CHAMPION, PREVIOUS, load_bundle, open_registry, version_named
from flows.runtime.predictor_api import PredictorApi, Ready
from flows.settings import Settings

PAUSE = 0.2  # seconds between two questions to the predictor
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
NO_KEY = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
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
        champion = version_named(client, name, CHAMPION)
        if champion is None:
            raise BadInput(f"{name} has no champion, so there is nothing to turn back from.", remedy=REMEDY)
        target = _find_target(client, name, champion, to)
        return _turn_back(client, settings, name, champion, target, reason, by)


def withdraw(settings: Settings, name: str, version: str, *, reason: str, by: str) -> RolledBack | None:
    """Turn back from a version, if it is the champion still; without an earlier one there is none then.

    Returns None where another champion has taken its place meanwhile. Raises Stopped when the earlier
    one's bundle cannot be read.
    """
    with deciding(settings, name) as client:
        if version_named(client, name, CHAMPION) != version:
            return None
        target = version_named(client, name, PREVIOUS)
        return _turn_back(client, settings, name, version, target, reason, by)


def _find_target(client: MlflowClient, name: str, champion: str, to: str | None) -> str:
    """Return the version to go back to; raises BadInput, naming those that there are."""
    versions = client.search_model_versions(f"name = '{name}'")
    promoted = sorted(int(each.version) for each in versions if each.tags.get("promoted") == "true")
    numbers = [str(number) for number in promoted if str(number) != champion]
    known = f"Versions that were champion: {', '.join(numbers) or 'none but this one'}. {REMEDY}"
    now = f"version {champion} of {name} is champion"
    if to is None:
        previous = version_named(client, name, PREVIOUS)
        if previous is None:
            raise BadInput(f"{now}, and no version is noted as the one before it.", remedy=known)
        return previous
    if to == champion:
        raise BadInput(f"{now} already.", remedy=known)
    if to not in numbers:
        raise BadInput(f"{name} has no version {to} that ever was champion.", remedy=known)
    return to


def _turn_back(
    client: MlflowClient,
    settings: Settings,
    name: str,
    version: str,
    target: str | None,
    reason: str,
    by: str,
) -> RolledBack:
    if target is not None:
        load_bundle(name, target)
    decision = Decision(
        model=name, event="rolled back", version=version, champion=target, by=by, reason=reason
    )
    recorded = carry_out(client, settings, way_back(client, decision))
    return RolledBack(name=name, version=version, champion=target, reason=reason, by=by, recorded=recorded)


class Rollout(NamedTuple):
    """What the predictor has made of a version: `refused` alone speaks against it."""

    state: Literal["follows", "no predictor", "another model", "refused", "late"]
    detail: str


def await_rollout(api: PredictorApi, name: str, version: str, seconds: float) -> Rollout:
    """Wait until the predictor answers with a version, or has refused it, or the time is over.

    One that has answered once may be away for a while, as when it starts again.
    """
    end, ready = time.monotonic() + seconds, api.ready()
    while (rollout := rollout_of(ready, api.url, name, version)) is None and time.monotonic() < end:
        time.sleep(PAUSE)
        ready = api.ready() or ready
    if rollout is not None:
        return rollout
    if ready is not None and ready.wanted == version:
        return Rollout("refused", f"it has not answered with version {version}: {ready.detail}")
    now = f"it answers with version {ready.version}" if ready and ready.version else "it does not answer"
    return Rollout("late", f"the predictor at {api.url} did not follow within {seconds:g} s: {now}")


def rollout_of(ready: Ready | None, url: str, name: str, version: str) -> Rollout | None:
    """Return what an answer of the predictor settles; None where one must go on waiting."""
    if ready is None:
        return Rollout("no predictor", f"no predictor answers at {url}")
    if ready.model not in (None, name):
        return Rollout("another model", f"the predictor at {url} serves {ready.model}")
    if ready.version == version:
        return Rollout("follows", f"the predictor at {url} answers with version {version}")
    if f"version {version} was refused" in ready.detail:
        return Rollout("refused", ready.detail)
    return None


class Canary(BaseModel):
    """What the canary found, in a sentence."""

    model_config = ConfigDict(frozen=True)

    state: Literal["passed", "not checked", "rolled back"]
    detail: str


class NotCheckedError(RuntimeError):
    """Nothing can be said of the version, for a reason that is not its own."""


def watch(settings: Settings, name: str, version: str) -> Canary:
    """Watch the predictor follow a promotion, and take the promotion back if it must not.

    Raises Stopped when it must, and the version before cannot be read.
    """
    api, end = PredictorApi.of(settings), time.monotonic() + settings.canary_seconds
    if api is None:
        return Canary(state="not checked", detail="no predictor is named")
    client = open_registry(settings)
    if CANARY in client.get_model_version(name, version).tags:
        return Canary(state="passed", detail="it passed before")
    try:
        fault = find_fault(api, client, name, version, end)
    except NotCheckedError as reason:
        return Canary(state="not checked", detail=str(reason))
    if fault is None:
        passed = f"the predictor at {api.url} answers as it should"
        client.set_model_version_tag(name, version, CANARY, passed)
        return Canary(state="passed", detail=passed)
    if withdraw(settings, name, version, reason=fault, by="canary") is None:
        return Canary(state="not checked", detail="another champion has taken its place")
    return Canary(state="rolled back", detail=fault)


def find_fault(api: PredictorApi, client: MlflowClient, name: str, version: str, end: float) -> str | None:
    """Return what speaks against a version, None for nothing, by `end` (monotonic seconds).

    Raises NotCheckedError where nothing can be said.
    """
    rollout = await_rollout(api, name, version, end - time.monotonic())
    if rollout.state not in ("follows", "refused"):
        raise NotCheckedError(rollout.detail)
    if not serves_this_registry(api, client, name):
        raise NotCheckedError(f"the predictor at {api.url} serves the models of another registry")
    if rollout.state == "refused":
        return rollout.detail
    return compare(api, load_bundle(name, version), version, end)


def serves_this_registry(api: PredictorApi, client: MlflowClient, name: str) -> bool:
    """Tell whether what the predictor serves is what this registry has under that number.

    A predictor without any model is taken for ours. Raises NotCheckedError where it does not say.
    """
    try:
        status, served = api.ask("/model")
    except (OSError, ValueError) as error:
        raise NotCheckedError(f"the predictor at {api.url} does not answer: {error}") from error
    _check_key(api, status)
    if status != HTTPStatus.OK:
        return True
    version = version_named(client, name, str(served["version"]))
    return version is not None and load_bundle(name, version).manifest.created == served["created"]


def compare(api: PredictorApi, bundle: Bundle, version: str, end: float) -> str | None:
    """Ask for each of the bundle's examples; return the first fault of the answers, None if there is none.

    A record at a time, each on a connection of its own, so that more than one worker is asked.
    """
    for example in json.loads((bundle.folder / EXAMPLES).read_bytes()):
        status, answer = _ask(api, example["record"], version, end)
        _check_key(api, status)
        if status != HTTPStatus.OK:
            return f"it answers a reference record with {status} ({answer.get('detail', 'no reason')})"
        answered = [answer["probabilities"][label] for label in bundle.manifest.labels]
        gap = float(np.abs(np.subtract(answered, example["probabilities"])).max())
        if not gap <= TOLERANCE:
            return f"it answers a reference record {gap:.2g} away from what was registered"
    return None


def _check_key(api: PredictorApi, status: int) -> None:
    if status in NO_KEY:
        raise NotCheckedError(f"the predictor at {api.url} wants another key (GRADECAST_API_KEY)")


def _ask(api: PredictorApi, record: dict[str, Any], version: str, end: float) -> tuple[int, dict[str, Any]]:
    """Ask until a worker answers with the version, or with an error that is not one of being busy.

    Raises NotCheckedError when the time is over, or the predictor is gone.
    """
    while True:
        try:
            status, answer = api.forecast(record)
        except (OSError, ValueError) as error:
            status, answer = HTTPStatus.SERVICE_UNAVAILABLE, {"detail": str(error)}
        if status not in BUSY and (status != HTTPStatus.OK or answer["model_version"] == version):
            return status, answer
        if time.monotonic() > end:
            now = answer.get("detail") or f"it answers with version {answer.get('model_version')}"
            raise NotCheckedError(f"the predictor at {api.url} was not ready in time: {now}")
        time.sleep(PAUSE)
