"""Rollback: by command, by function and by flow, on a real registry."""

import subprocess
import sys

import pytest

from data.bundle.manifest import MODEL
from data.errors import BadInput, Stopped
from flows.registry.bundling import Submission
from flows.registry.rollout import roll_back, withdraw
from flows.rollback import main
from flows.rollback_flow import rollback
from tests.flows.registry.desk import NAME, Desk


def back(desk: Desk, to: str | None = None) -> str | None:
    return roll_back(desk.settings, NAME, to, reason="grades look odd", by="Ms Jones").champion


@pytest.fixture
def two(desk: Desk, weak: Submission, submission: Submission) -> Desk:
    """A registry whose second version has replaced the first."""
    desk.seat(weak)
    desk.seat(submission)
    return desk


def test_a_rollback_makes_the_version_before_champion_and_says_who_did_it_and_why(two: Desk) -> None:
    assert back(two) == "1"
    assert two.aliases() == {"champion": "1"}
    assert two.history()[-1] == ("rolled back", "2", "1", "Ms Jones")
    assert two.tags("2")["rolled_back"] == "grades look odd (Ms Jones)"


def test_one_can_turn_back_to_a_version_by_its_number_and_forward_again(two: Desk) -> None:
    back(two, "1")
    assert back(two, "2") == "2"
    assert two.aliases() == {"champion": "2", "previous": "1"}
    assert not two.tags("2")["rolled_back"]


def test_turning_back_twice_goes_further_back(
    two: Desk, of_more_students: Submission, submission: Submission
) -> None:
    two.seat(of_more_students)
    assert two.aliases() == {"champion": "3", "previous": "2"}
    assert back(two) == "2"
    assert two.aliases() == {"champion": "2", "previous": "1"}
    assert back(two) == "1"


def test_a_rollback_without_a_previous_version_says_so(desk: Desk, submission: Submission) -> None:
    desk.seat(submission)
    with pytest.raises(BadInput, match="no version is noted as the one before it"):
        back(desk)
    assert desk.aliases() == {"champion": "1"}


def test_a_rollback_without_a_champion_says_so(desk: Desk) -> None:
    with pytest.raises(BadInput, match="grade-class has no champion"):
        back(desk)


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("7", "no version 7 that ever was champion. Versions that were champion: 1"),
        ("3", "no version 3 that ever was champion"),
        ("2", "version 2 of grade-class is champion already"),
        ("soon", "no version soon"),
    ],
)
def test_a_version_that_cannot_be_gone_back_to_is_refused_with_those_that_can(
    two: Desk, of_more_students: Submission, to: str, says: str
) -> None:
    two.add(of_more_students)
    with pytest.raises(BadInput, match=says):
        back(two, to)
    assert two.aliases() == {"champion": "2", "previous": "1"}


def test_a_version_that_was_rolled_back_is_not_promoted_again_by_an_equal_run(
    two: Desk, submission: Submission
) -> None:
    back(two)
    again = two.register(submission)
    assert not again.promoted
    assert again.reason == "it was champion once, and was rolled back: grades look odd (Ms Jones)"
    assert two.aliases() == {"champion": "1"}
    assert len(two.history()) == 3


def test_nobody_turns_back_to_a_bundle_that_cannot_be_read(two: Desk) -> None:
    two.spoil(MODEL, "1")
    with pytest.raises(Stopped, match="version 1 of grade-class cannot be read"):
        back(two)
    assert two.aliases() == {"champion": "2", "previous": "1"}
    two.spoil(MODEL, "1")  # the same bit again
    assert back(two) == "1"


def test_a_first_champion_that_is_withdrawn_leaves_none(desk: Desk, submission: Submission) -> None:
    desk.seat(submission)
    assert withdraw(desk.settings, NAME, "2", reason="refused", by="canary") is None
    assert desk.aliases() == {"champion": "1"}
    withdrawn = withdraw(desk.settings, NAME, "1", reason="refused", by="canary")
    assert withdrawn is not None
    assert withdrawn.champion is None
    assert desk.aliases() == {}
    assert "was rolled back: refused (canary)" in desk.register(submission).reason


@pytest.fixture
def at_home(two: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A person's environment with that registry, and nothing where the predictor should be."""
    monkeypatch.setenv("GRADECAST_HOME", str(two.settings.home))
    monkeypatch.setenv("GRADECAST_PREDICTOR_URL", "http://127.0.0.1:9")
    return two


def test_the_command_turns_back_and_says_what_the_predictor_does(
    at_home: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--reason", "parents complained", "--by", "Ms Jones"]) == 0
    said = capsys.readouterr().out
    assert "grade-class is back at version 1, from version 2." in said
    assert "No predictor answers at http://127.0.0.1:9." in said
    assert at_home.history()[-1] == ("rolled back", "2", "1", "Ms Jones")


@pytest.mark.usefixtures("at_home")
def test_the_command_ends_with_2_for_a_version_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--to", "9"]) == 2
    assert "Bad input: grade-class has no version 9" in capsys.readouterr().out


def test_the_command_needs_no_prefect() -> None:
    program = "import sys, flows.rollback; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_flow_turns_back(at_home: Desk, prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.runtime.server import prefect_server

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with prefect_server(at_home.settings.home):
        done = rollback(to=1, reason="drill")
        failed = rollback(to="9", return_state=True)
    assert (done.version, done.champion) == ("2", "1")
    assert at_home.history()[-1] == ("rolled back", "2", "1", "rollback deployment")
    assert failed.type.value == "FAILED"
    assert failed.name == "Bad input"
    assert "no version 9" in failed.message
