"""A promotion that a person must approve: asked without waiting, answered by command or form."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

from flows.approve import main
from flows.register import register
from flows.registry.bundling import Submission
from flows.registry.decisions import (
    ASKED,
    OVERDUE,
    ApprovalAnswer,
    ApprovalQuestion,
    PromotionVerdict,
    settle,
    settle_answer,
    waiting,
)
from flows.registry.registration import Registered
from flows.rollback_flow import approve
from flows.runtime.commands import without_heartbeats
from flows.runtime.run_page import APPROVAL_WANTED
from flows.runtime.server import prefect_server
from tests.flows.registry.desk import NAME, Desk

PATIENCE = 60.0
APPROVED = ApprovalAnswer(approved=True, by="Ms Jones", reason="fair")
WHY = ("--reason", "it knows\nthe new programme", "--by", "Ms Jones")


pytestmark = pytest.mark.usefixtures("at_home", "without_predictor")


@pytest.fixture
def without_predictor(at_home: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody follows a promotion."""
    monkeypatch.setenv("GRADECAST_PREDICTOR_URL", "")


@pytest.fixture
def client(prefect_api: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    """A client of the server that flows of this test use."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with (
        prefect_server(desk.settings.home),
        without_heartbeats(),
        get_client(sync_client=True) as client,
    ):
        yield client


def asked(desk: Desk, submission: Submission) -> Registered:
    if "challenger" not in desk.aliases():
        desk.add(submission)  # which logs it once for all tests
    registered = desk.register(submission, approval="required")
    assert registered.waits
    assert not registered.promoted
    return registered


def ask_long_ago(desk: Desk, version: str) -> None:
    """Let a question be two days old."""
    (question,) = [each for each in waiting(desk.client, NAME) if each.version == version]
    old = ApprovalQuestion(**question.model_dump() | {"at": datetime.now(UTC) - timedelta(days=2)})
    desk.client.set_model_version_tag(NAME, version, ASKED, old.model_dump_json())


def announced(client: SyncPrefectClient) -> list[dict[str, dict[str, object]]]:
    """Wait until the server has kept the event."""
    query = {"filter": {"event": {"name": [APPROVAL_WANTED]}}}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = client.request("POST", "/events/filter", json=query).json()["events"]
        if found:
            return list(found)
        time.sleep(0.2)
    raise AssertionError("no event came")


def test_a_model_that_wins_is_asked_about_and_nothing_waits_for_the_answer(
    client: SyncPrefectClient, weak: Submission, submission: Submission, desk: Desk
) -> None:
    desk.seat(weak)
    desk.add(submission)
    done = register(submission.trained, submission.processed, "grade_class", approval="required")
    assert (done.waits, done.promoted) == (True, False)
    assert desk.aliases() == {"champion": "1", "challenger": "2"}
    assert desk.history()[-1] == ("asked", "2", "1", "pipeline")
    event = announced(client)[0]
    assert event["resource"] == {"prefect.resource.id": f"gradecast.model.{NAME}"}
    assert event["payload"]["approve"] == 'make approve VERSION=2 REASON="…"'
    refused = approve("2", decision="perhaps", name="x", reason="y", return_state=True)
    assert refused.is_failed()
    state = approve(2, decision="approve", name="Ms Jones", reason="fair", return_state=True)
    assert state.is_completed(), state.message
    assert str(state.message).startswith(
        "version 2 of grade-class is champion: approved by Ms Jones: fair; better"
    )
    assert desk.aliases() == {"champion": "2", "previous": "1"}


def test_a_person_sees_what_waits_and_approves_it_by_command(
    weak: Submission, submission: Submission, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.seat(weak)
    asked(desk, submission)
    assert main([]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "version 2 against champion 1" in shown
    assert "Version 2 waits since" in shown
    assert main(["--version", "2", *WHY]) == 0
    assert "no predictor is named" in " ".join(capsys.readouterr().out.split())
    assert desk.aliases() == {"champion": "2", "previous": "1"}
    assert desk.history()[-1] == ("promoted", "2", "2", "Ms Jones")
    assert desk.tags("2")["reason"].startswith(
        "approved by Ms Jones: it knows the new programme; better: log loss -"
    )
    assert main([]) == 0
    assert "nothing waits for a person" in capsys.readouterr().out


def test_a_model_that_a_person_rejects_stays_challenger_with_their_reason_and_is_not_asked_about_again(
    weak: Submission, submission: Submission, desk: Desk
) -> None:
    desk.seat(weak)
    asked(desk, submission)
    assert main(["--reject", "--version", "2", "--reason", "exam weeks", "--by", "Mr Smith"]) == 0
    assert desk.aliases() == {"champion": "1", "challenger": "2"}
    assert desk.history()[-1] == ("rejected", "2", "1", "Mr Smith")
    again = desk.register(submission, approval="required")
    assert not again.waits
    assert again.reason.startswith("rejected by Mr Smith: exam weeks; better: log loss")


def test_an_answer_that_cannot_be_taken_is_told_and_changes_nothing(
    weak: Submission, submission: Submission, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.seat(weak)
    asked(desk, submission)
    before = desk.history()
    decided = "version 1 of grade-class does not wait for a person: it was decided already"
    for arguments, message in (
        (["--version", "9", *WHY], "has no version 9. Versions that wait: 2"),
        (["--version", "2"], "a decision needs a reason"),
        (["--version", "2", "--reason", " "], "a decision needs a reason"),
        (["--version", "1", *WHY], decided),
    ):
        assert main(arguments) == 2
        assert message in " ".join(capsys.readouterr().out.split())
    assert (desk.history(), desk.aliases()) == (before, {"champion": "1", "challenger": "2"})


def test_after_the_time_to_answer_an_equal_run_asks_again(
    weak: Submission, submission: Submission, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.seat(weak)
    asked(desk, submission)
    ask_long_ago(desk, "2")
    assert main(["--version", "2", *WHY]) == 3
    assert "more than 24 h ago" in " ".join(capsys.readouterr().out.split())
    assert desk.aliases()["champion"] == "1"
    assert asked(desk, submission).version == "2"
    assert main(["--version", "2", *WHY]) == 0
    assert desk.aliases()["champion"] == "2"


def test_what_an_earlier_release_rejected_because_nobody_answered_is_asked_about_again(
    weak: Submission, submission: Submission, desk: Desk
) -> None:
    desk.seat(weak)
    desk.add(submission)
    late = PromotionVerdict(False, f"{OVERDUE}nobody answered within 24 h; better: log loss -0.1", {})
    settle(desk.client, desk.settings, NAME, "2", late, "time limit")
    assert asked(desk, submission).version == "2"


def test_a_model_is_judged_again_if_the_champion_changed_while_it_waited(
    weak: Submission,
    submission: Submission,
    of_more_students: Submission,
    desk: Desk,
    capsys: pytest.CaptureFixture[str],
) -> None:
    desk.seat(weak)
    asked(desk, submission)
    desk.seat(of_more_students)
    assert main(["--version", "2", *WHY]) == 3
    assert "was judged against champion 1, and version 3 is champion now" in " ".join(
        capsys.readouterr().out.split()
    )
    judged = desk.register(submission, approval="required", promotion_margin=0.0)
    assert (judged.waits, judged.promoted) == (False, False)
    assert desk.aliases()["champion"] == "3"
    assert desk.history()[-1] == ("rejected", "2", "3", "pipeline")


def test_a_first_champion_is_asked_about_too(submission: Submission, desk: Desk) -> None:
    asked(desk, submission)
    assert desk.aliases() == {"challenger": "1"}
    assert settle_answer(desk.settings, NAME, "1", APPROVED).promoted
    assert desk.aliases() == {"champion": "1"}
