"""Whether the predictor follows the registry to a version."""

import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

from flows.support.predictor_api import PredictorApi, Ready

PAUSE = 0.2  # seconds between two looks


class Followed(NamedTuple):
    """What became of it: `refused` alone speaks against the version."""

    state: Literal["follows", "no predictor", "another model", "refused", "late"]
    detail: str


def follow(api: PredictorApi, name: str, version: str, seconds: float) -> Followed:
    """Wait until the predictor answers with a version, or has refused it, or the time is over."""
    ready = None
    for ready in _looks(api, seconds):
        told = judge(ready, api.url, name, version)
        if told is not None:
            return told
    if ready is not None and ready.wanted == version:
        return Followed("refused", f"it has not answered with version {version}: {ready.detail}")
    now = f"it answers with version {ready.version}" if ready and ready.version else "it does not answer"
    return Followed("late", f"the predictor at {api.url} did not follow within {seconds:g} s: {now}")


def judge(ready: Ready | None, url: str, name: str, version: str) -> Followed | None:
    """Return what a look at the predictor settles; None where one must go on waiting."""
    if ready is None:
        return Followed("no predictor", f"no predictor answers at {url}")
    if ready.model not in (None, name):
        return Followed("another model", f"the predictor at {url} serves {ready.model}")
    if ready.version == version:
        return Followed("follows", f"the predictor at {url} answers with version {version}")
    if f"version {version} was refused" in ready.detail:
        return Followed("refused", ready.detail)
    return None


def _looks(api: PredictorApi, seconds: float) -> Iterator[Ready | None]:
    """Look again and again; one that answered once may be away for a while, as when it starts again."""
    end, before = time.monotonic() + seconds, api.ready()
    yield before
    while time.monotonic() < end:
        time.sleep(PAUSE)
        before = api.ready() or before
        yield before
