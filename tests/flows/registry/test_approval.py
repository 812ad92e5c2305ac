"""A promotion that a person must approve, on a real Prefect server and a real registry."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from prefect import Flow, flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun

from flows.register import register
from flows.registry.approval import NOBODY, Answer, answer_of
from flows.registry.registration import Registered, settle_answer
from flows.registry.submission import Submission
from flows.support.command import without_heartbeats
from flows.support.locks import is_locked
from flows.support.prefect_server import prefect_server
from tests.flows.registry.desk import NAME, Desk

PATIENCE = 60.0
PAUSED = FlowRunFilter.model_validate({"state": {"type": {"any_": ["PAUSED"]}}})
YES = {"decision": "approve", "name": "Ms Jones", "reason": "it knows\nthe new programme"}
APPROVED = Answer(approved=True, by="Ms Jones", reason="fair")


@task
def pass_on(answer: Answer) -> Answer:
    """Stand for what comes after the answer."""
    return answer


@flow
def asks(version: str, hours: float) -> Answer:
    """Ask as `register` does, and go on."""
    return pass_on(answer_of(NAME, version, "## Compared", hours))


@pytest.fixture
def client(prefect_api: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    """A client of the server that flows of this test use, with the desk's registry."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("GRADECAST_HOME", str(desk.settings.home))
    monkeypatch.setenv("GRADECAST_PREDICTOR_URL", "")
    monkeypatch.setenv("GRADECAST_APPROVAL_HOURS", "0.03")
    with (
        prefect_server(desk.settings.home),
        without_heartbeats(),
        get_client(sync_client=True) as client,
    ):
        yield client


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Where a flow waits while its test answers it."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def start(pool: ThreadPoolExecutor, flow_: Flow[..., Any], *arguments: Any, **named: Any) -> Future[Any]:
    return pool.submit(copy_context().run, flow_, *arguments, **named)


def paused(client: SyncPrefectClient, version: str) -> FlowRun:
    """Wait for the run that waits for a person to decide of a version, until its form is there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for run in client.read_flow_runs(flow_run_filter=PAUSED):
            if run.name == f"approve-{NAME}-version-{version}" and len(form(client, run)) > 1:
                return run
        time.sleep(0.1)
    raise AssertionError("no run is paused")


def form(client: SyncPrefectClient, run: FlowRun) -> dict[str, str]:
    """Return what the form of a paused run is made of, by key."""
    wanted = {"prefix": "", "limit": 10}
    answer = client.request("POST", "/flow_runs/{id}/input/filter", path_params={"id": run.id}, json=wanted)
    return {each["key"].rpartition("-")[2]: each["value"] for each in answer.json()}


def test_a_person_approves_in_a_typed_form_and_wrong_answers_are_refused(
    client: SyncPrefectClient, background: ThreadPoolExecutor
) -> None:
    asked = start(background, asks, "4", 0.02)
    run = paused(client, "4")
    assert "## Compared" in form(client, run)["description"]
    assert '"enum":["approve","reject"]' in form(client, run)["schema"]
    for wrong in ({**YES, "decision": "maybe"}, {**YES, "name": ""}, {"decision": "approve"}):
        assert client.resume_flow_run(run.id, run_input=wrong).status.value == "REJECT"
    client.resume_flow_run(run.id, run_input=YES)
    assert asked.result() == Answer(approved=True, by="Ms Jones", reason="it knows the new programme")
    shown = [artifact for artifact in client.read_artifacts() if artifact.flow_run_id == run.id]
    assert [(artifact.key, artifact.data) for artifact in shown] == [("approval", "## Compared")]


@pytest.mark.usefixtures("client")
def test_without_an_answer_in_time_nothing_changes_and_the_run_goes_on() -> None:
    answer = asks("5", 1 / 3600)
    assert (answer.approved, answer.by) == (False, NOBODY)
    assert answer.reason.startswith("nobody answered within")


def test_a_model_that_wins_waits_for_a_person_and_is_promoted_when_they_approve(
    client: SyncPrefectClient,
    background: ThreadPoolExecutor,
    weak: Submission,
    submission: Submission,
    desk: Desk,
) -> None:
    desk.seat(weak)
    desk.add(submission)
    arguments = (submission.trained, submission.processed, "grade_class")
    registering = start(background, register, *arguments, approval="required")
    run = paused(client, "2")
    assert desk.aliases() == {"champion": "1", "challenger": "2"}
    assert not is_locked(desk.settings.home / "registry.lock"), "others may decide meanwhile"
    assert "version 2 against champion 1" in form(client, run)["description"]
    client.resume_flow_run(run.id, run_input=YES)
    done = registering.result()
    assert done.promoted
    assert done.reason.startswith("approved by Ms Jones: it knows the new programme; better: log loss -")
    assert desk.aliases() == {"champion": "2", "previous": "1"}
    assert desk.history()[-1] == ("promoted", "2", "2", "Ms Jones")
    assert "no predictor is named" in done.canary


def waiting(desk: Desk, submission: Submission) -> Registered:
    registered = desk.register(submission, approval="required")
    assert registered.waits
    assert not registered.promoted
    return registered


def test_a_model_that_a_person_rejects_stays_challenger_with_their_reason(
    weak: Submission, submission: Submission, desk: Desk
) -> None:
    desk.seat(weak)
    registered = waiting(desk, submission)
    own = desk.own(submission)
    kept = settle_answer(own, registered, Answer(approved=False, by="Mr Smith", reason="exam weeks"))
    assert not kept.promoted
    assert kept.reason.startswith("rejected by Mr Smith: exam weeks; better: log loss")
    assert desk.aliases() == {"champion": "1", "challenger": "2"}
    assert desk.history()[-1] == ("rejected", "2", "1", "Mr Smith")
    assert settle_answer(own, registered, APPROVED) == kept, "what is settled stays settled"
    assert desk.register(submission, approval="required").reason == kept.reason, "and is not asked again"


def test_a_model_is_judged_again_if_the_champion_changed_while_it_waited(
    weak: Submission, submission: Submission, of_more_students: Submission, desk: Desk
) -> None:
    desk.seat(weak)
    registered = waiting(desk, submission)
    desk.seat(of_more_students)
    settled = settle_answer(desk.own(submission, promotion_margin=0.0), registered, APPROVED)
    assert not settled.promoted
    assert desk.aliases()["champion"] == "3"
    assert desk.history()[-1] == ("rejected", "2", "3", "pipeline")


def test_a_model_that_loses_is_not_asked_about(weak: Submission, submission: Submission, desk: Desk) -> None:
    desk.seat(submission)
    kept = desk.register(weak, approval="required")
    assert not kept.waits
    assert desk.history()[-1] == ("rejected", "2", "1", "pipeline")


def test_a_first_champion_is_asked_about_too(submission: Submission, desk: Desk) -> None:
    registered = waiting(desk, submission)
    assert desk.aliases() == {"challenger": "1"}
    assert settle_answer(desk.own(submission), registered, APPROVED).promoted
    assert desk.aliases() == {"champion": "1"}
