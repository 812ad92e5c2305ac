"""The canary against the real predictor: it follows, refuses, answers otherwise, or is not there."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from data.bundle.bundle import Bundle
from data.bundle.manifest import EXAMPLES, MODEL
from data.log.database import open_log
from data.log.reading import read_log
from flows.registry.bundling import Submission
from flows.registry.rollout import (
    NotCheckedError,
    await_rollout,
    compare,
    roll_back,
    rollout_of,
    serves_this_registry,
    watch,
)
from flows.runtime.predictor_api import PredictorApi, Ready
from flows.settings import Settings
from tests.flows.registry.conftest import desk_at
from tests.flows.registry.desk import NAME, Desk
from tests.serving.running import Running, running, wait_until

PATIENT = 60.0
KEY = "known to very few"


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, empty_registry: Path, settings: Settings, weak: Submission
) -> Iterator[tuple[Desk, Running]]:
    """A registry with one champion, and a predictor that serves it."""
    desk = desk_at(tmp_path_factory.mktemp("watched"), empty_registry, settings)
    desk.seat(weak)
    with running(desk.settings.home, WEB_CONCURRENCY=2, GRADECAST_API_KEY=KEY) as server:
        wait_until(lambda: server.version() == "1", "the first champion is served")
        url = f"http://127.0.0.1:{server.port}"
        named = {"predictor_url": url, "api_key": SecretStr(KEY), "canary_seconds": PATIENT}
        yield Desk(desk.settings.model_copy(update=named), desk.logged), server


def api_of(desk: Desk) -> PredictorApi:
    api = PredictorApi.of(desk.settings)
    assert api is not None
    return api


def first_example(bundle: Path) -> dict[str, object]:
    record: dict[str, object] = json.loads((bundle / EXAMPLES).read_text())[0]["record"]
    return record


def asked(desk: Desk) -> list[str]:
    """How each logged forecast was asked for."""
    return [row["via"] for row in read_log(open_log(desk.settings.database_url), "grade_class")]


def version_of(api: PredictorApi, record: dict[str, object]) -> object:
    return api.forecast(record)[1].get("model_version")


def test_the_predictor_follows_a_promotion_and_is_asked_for_the_reference_records(
    watched: tuple[Desk, Running], submission: Submission
) -> None:
    desk, server = watched
    version = desk.seat(submission)
    found = watch(desk.settings, NAME, version)
    assert found.state == "passed", found.detail
    assert server.version() == version
    assert desk.tags(version)["canary"] == found.detail
    wait_until(lambda: len(asked(desk)) >= 20, "the log has them")
    assert set(asked(desk)) == {"canary"}
    assert watch(desk.settings, NAME, version).detail == "it passed before"


def test_the_predictor_answers_from_the_old_version_soon_after_a_rollback(
    watched: tuple[Desk, Running], submission: Submission
) -> None:
    desk, _ = watched
    desk.seat(submission)
    record = first_example(desk.own(submission).bundle)
    api = api_of(desk)
    wait_until(lambda: version_of(api, record) != "1", "the new version answers")
    roll_back(desk.settings, NAME, "1", reason="drill", by="test")
    assert await_rollout(api, NAME, "1", PATIENT).state == "follows"
    wait_until(lambda: version_of(api, record) == "1", "the old version answers")


def test_answers_far_from_the_reference_are_a_fault(
    watched: tuple[Desk, Running], submission: Submission, weak: Submission
) -> None:
    desk, server = watched
    other = submission if server.version() == "1" else weak
    bundle = Bundle.load(desk.own(other).bundle)
    fault = compare(api_of(desk), bundle, str(server.version()), time.monotonic() + PATIENT)
    assert fault is not None
    assert "away from what was registered" in fault


def test_errors_to_the_reference_records_are_a_fault(
    watched: tuple[Desk, Running], tmp_path: Path, submission: Submission
) -> None:
    desk, server = watched
    bundle = Bundle.load(desk.own(submission).bundle)
    broken = {**first_example(bundle.folder), "Absences": 99}
    (tmp_path / EXAMPLES).write_text(json.dumps([{"record": broken, "probabilities": [0.2] * 5}]))
    bundle.folder = tmp_path
    fault = compare(api_of(desk), bundle, str(server.version()), time.monotonic() + PATIENT)
    assert fault is not None
    assert fault.startswith("it answers a reference record with 422")


def test_a_predictor_of_another_registry_is_left_alone(
    watched: tuple[Desk, Running], desk: Desk, submission: Submission, weak: Submission
) -> None:
    of_other, server = watched
    for each in (submission, weak):
        desk.seat(each)
    named = {"predictor_url": of_other.settings.predictor_url, "api_key": SecretStr(KEY)}
    elsewhere = desk.settings.model_copy(update=named)
    assert serves_this_registry(api_of(of_other), of_other.client, NAME)
    version = str(server.version())
    before = desk.history()
    found = watch(elsewhere, NAME, version)
    assert found.state == "not checked"
    assert "serves the models of another registry" in found.detail
    assert desk.history() == before


def test_without_a_predictor_nothing_happens(desk: Desk, weak: Submission) -> None:
    desk.seat(weak)
    nowhere = desk.settings.model_copy(update={"predictor_url": "http://127.0.0.1:9"})
    found = watch(nowhere, NAME, "1")
    assert (found.state, found.detail) == ("not checked", "no predictor answers at http://127.0.0.1:9")
    unnamed = desk.settings.model_copy(update={"predictor_url": ""})
    assert watch(unnamed, NAME, "1").detail == "no predictor is named"
    assert desk.aliases() == {"champion": "1"}


def test_a_predictor_that_does_not_follow_in_time_is_told_and_nothing_happens(
    watched: tuple[Desk, Running],
) -> None:
    desk, server = watched
    found = await_rollout(api_of(desk), NAME, "99", 0.5)
    assert found.state == "late"
    assert f"it answers with version {server.version()}" in found.detail


@pytest.mark.parametrize(
    ("ready", "state"),
    [
        (None, "no predictor"),
        (Ready("pass-fail", "3", None, ""), "another model"),
        (Ready(NAME, "3", None, ""), "follows"),
        (Ready(NAME, "2", "3", "version 3 was refused: model.onnx: the bytes are not those"), "refused"),
        (Ready(None, None, None, "There is no model to answer with: version 3 was refused: …"), "refused"),
        (Ready(NAME, "2", "3", "the registry does not answer"), None),
        (Ready(NAME, "2", None, ""), None),
    ],
)
def test_each_look_at_the_predictor_is_judged(ready: Ready | None, state: str | None) -> None:
    told = rollout_of(ready, "http://predictor", NAME, "3")
    assert (told.state if told else None) == state


def test_a_predictor_that_wants_a_key_which_one_does_not_have_is_left_alone(
    watched: tuple[Desk, Running], submission: Submission
) -> None:
    desk, server = watched
    keyless, bundle = PredictorApi(desk.settings.predictor_url), Bundle.load(desk.own(submission).bundle)
    with pytest.raises(NotCheckedError, match="wants another key"):
        compare(keyless, bundle, str(server.version()), time.monotonic() + PATIENT)
    with pytest.raises(NotCheckedError, match="wants another key"):
        serves_this_registry(keyless, desk.client, NAME)


def test_a_promotion_that_the_predictor_refuses_is_taken_back_with_the_reason(
    watched: tuple[Desk, Running], of_more_students: Submission
) -> None:
    desk, server = watched
    former = desk.aliases()["champion"]
    version = desk.add(of_more_students)
    (follower,) = server.beside("serving.sync.follow")
    os.kill(follower, signal.SIGSTOP)  # it was whole when it was promoted, and is not when it is fetched
    desk.promote(version)
    with desk.spoilt(MODEL, version):
        os.kill(follower, signal.SIGCONT)
        found = watch(desk.settings, NAME, version)
    assert found.state == "rolled back"
    assert (
        f"version {version} was refused: {MODEL}: the bytes are not those that were registered"
        in found.detail
    )
    assert desk.aliases()["champion"] == former
    assert desk.history()[-1] == ("rolled back", version, former, "canary")
    assert desk.tags(version)["rolled_back"] == f"{found.detail} (canary)"
    assert await_rollout(api_of(desk), NAME, former, PATIENT).state == "follows"
    assert server.version() == former
