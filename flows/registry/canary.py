"""The canary: after a promotion, does the predictor answer with the new version, and as it should?

If it refuses the version, answers with errors or far from the bundle's own answers, the promotion is
taken back without a person. Where nobody can tell, nothing happens.
"""

import json
import time
from http import HTTPStatus
from typing import Any, Literal

import numpy as np
from mlflow import MlflowClient
from pydantic import BaseModel, ConfigDict

from data.bundle import TOLERANCE, Bundle
from data.manifest import EXAMPLES
from flows.registry.champion import load_bundle
from flows.registry.decisions import CANARY
from flows.registry.following import follow
from flows.registry.rollback import withdraw
from flows.registry.store import open_registry, version_named
from flows.settings import Settings
from flows.support.predictor_api import PredictorApi

PAUSE = 0.2  # seconds before a record is asked for again
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
NO_KEY = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


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
    followed = follow(api, name, version, end - time.monotonic())
    if followed.state not in ("follows", "refused"):
        raise NotCheckedError(followed.detail)
    if not serves_this_registry(api, client, name):
        raise NotCheckedError(f"the predictor at {api.url} serves the models of another registry")
    return (
        followed.detail
        if followed.state == "refused"
        else compare(api, load_bundle(name, version), version, end)
    )


def serves_this_registry(api: PredictorApi, client: MlflowClient, name: str) -> bool:
    """Tell whether what the predictor serves is what this registry has under that number.

    A predictor without any model is taken for ours. Raises NotCheckedError where it does not say.
    """
    try:
        status, served = api.model()
    except (OSError, ValueError) as error:
        raise NotCheckedError(f"the predictor at {api.url} does not answer: {error}") from error
    if status in NO_KEY:
        raise NotCheckedError(f"the predictor at {api.url} wants another key (GRADECAST_API_KEY)")
    if status != HTTPStatus.OK:
        return True
    version = version_named(client, name, str(served["version"]))
    return version is not None and load_bundle(name, version).manifest.created == served["created"]


def compare(api: PredictorApi, bundle: Bundle, version: str, end: float) -> str | None:
    """Ask for each of the bundle's examples; return the first fault of the answers, None if there is none.

    A record at a time, each on a connection of its own, so that more than one worker is asked.
    """
    for example in json.loads((bundle.folder / EXAMPLES).read_bytes()):
        status, answer = ask(api, example["record"], version, end)
        if status in NO_KEY:
            raise NotCheckedError(f"the predictor at {api.url} wants another key (GRADECAST_API_KEY)")
        if status != HTTPStatus.OK:
            return f"it answers a reference record with {status} ({answer.get('detail', 'no reason')})"
        answered = [answer["probabilities"][label] for label in bundle.manifest.labels]
        gap = float(np.abs(np.subtract(answered, example["probabilities"])).max())
        if not gap <= TOLERANCE:
            return f"it answers a reference record {gap:.2g} away from what was registered"
    return None


def ask(api: PredictorApi, record: dict[str, Any], version: str, end: float) -> tuple[int, dict[str, Any]]:
    """Ask until a worker answers with the version, or with an error that is not one of being busy.

    Raises NotCheckedError when the time is over, or the predictor is gone.
    """
    while True:
        try:
            status, answer = api.forecast(record)
        except (OSError, ValueError) as error:
            status, answer = HTTPStatus.SERVICE_UNAVAILABLE, {"detail": str(error)}
        waiting = status in BUSY or (status == HTTPStatus.OK and answer["model_version"] != version)
        if not waiting:
            return status, answer
        if time.monotonic() > end:
            said = answer.get("detail") or f"it answers with version {answer.get('model_version')}"
            raise NotCheckedError(f"the predictor at {api.url} was not ready in time: {said}")
        time.sleep(PAUSE)
