"""Rollback: by command, by function and by flow, on a real registry; and the history of what was decided."""

import json
import subprocess
import sys

import pytest
import sqlalchemy as sa

from data.bundle.manifest import MODEL
from data.errors import BadInput, Stopped
from data.log.database import history, open_log
from flows.history import main as show_history
from flows.registry.bundling import Submission
from flows.registry.rollout import roll_back, withdraw
from flows.rollback import main
from flows.rollback_flow import rollback
from tests.flows.registry.desk import NAME, Desk


def back(desk: Desk, to: str | None = None) -> str | None:
    return roll_back(desk.settings, NAME, to, reason="grades look odd", by="Ms Jones").champion


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


def test_turning_back_twice_goes_further_back(two: Desk, of_more_students: Submission) -> None:
    two.seat(of_more_students)
    assert two.aliases() == {"champion": "3", "previous": "2"}
    assert back(two) == "2"
    assert two.aliases() == {"champion": "2", "previous": "1"}
    assert back(two) == "1"


def test_without_a_champion_or_one_before_it_there_is_nothing_to_turn_back_to(
    desk: Desk, submission: Submission
) -> None:
    with pytest.raises(BadInput, match="grade-class has no champion"):
        back(desk)
    desk.seat(submission)
    with pytest.raises(BadInput, match="no version is noted as the one before it"):
        back(desk)
    assert desk.aliases() == {"champion": "1"}


def test_a_version_that_cannot_be_gone_back_to_is_refused_with_those_that_can(
    two: Desk, of_more_students: Submission
) -> None:
    two.add(of_more_students)
    for to, says in (
        ("7", "no version 7 that ever was champion. Versions that were champion: 1"),
        ("3", "no version 3 that ever was champion"),
        ("2", "version 2 of grade-class is champion already"),
        ("soon", "no version soon"),
    ):
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
    with (
        two.spoilt(MODEL, "1"),
        pytest.raises(Stopped, match="version 1 of grade-class cannot be read"),
    ):
        back(two)
    assert two.aliases() == {"champion": "2", "previous": "1"}
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


@pytest.mark.usefixtures("at_home")
def test_the_command_turns_back_and_says_what_the_predictor_does(
    two: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--to", "9"]) == 2
    assert "Bad input: grade-class has no version 9" in capsys.readouterr().out
    assert main(["--reason", "parents complained", "--by", "Ms Jones"]) == 0
    said = capsys.readouterr().out
    assert "grade-class is back at version 1, from version 2." in said
    assert "No predictor answers at http://127.0.0.1:9." in said
    assert two.history()[-1] == ("rolled back", "2", "1", "Ms Jones")


def test_the_commands_of_a_decision_need_no_prefect() -> None:
    program = "import sys, flows.approve, flows.history, flows.rollback; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.usefixtures("at_home")
def test_the_flow_turns_back(two: Desk, prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.runtime.server import prefect_server

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with prefect_server(two.settings.home):
        done = rollback(to=1, reason="drill")
        failed = rollback(to="9", return_state=True)
    assert (done.version, done.champion) == ("2", "1")
    assert two.history()[-1] == ("rolled back", "2", "1", "rollback deployment")
    assert failed.type.value == "FAILED"
    assert failed.name == "Bad input"
    assert "no version 9" in failed.message


@pytest.mark.usefixtures("at_home")
def test_the_history_is_a_table_of_what_was_decided_or_json_with_all_evidence(
    two: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    back(two)
    assert show_history([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == NAME
    assert [line.split()[0] for line in lines if "UTC" not in line and line[:1].isdigit()] == ["1", "2", "3"]
    last = next(line for line in lines if line.startswith("3"))
    assert all(text in last for text in ("rolled back", "Ms Jones", "grades look odd"))
    assert show_history(["--json"]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(entry["event"], entry["version"], entry["champion"]) for entry in entries] == [
        ("promoted", "1", "1"),
        ("promoted", "2", "2"),
        ("rolled back", "2", "1"),
    ]
    assert all("evidence" in entry and len(entry["digest"]) == 64 for entry in entries)


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (sa.update(history).where(history.c.entry == 1).values(by="nobody"), "entry 1"),
        (sa.delete(history).where(history.c.entry == 2), "it does not end with entry 2"),
    ],
)
def test_a_changed_or_a_removed_entry_is_told_and_ends_with_1(
    two: Desk, change: sa.Update | sa.Delete, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_log(two.settings.database_url).begin() as connection:
        connection.execute(change)
    assert show_history([]) == 1
    assert capsys.readouterr().err.startswith(f"history: {fault}")


@pytest.mark.usefixtures("at_home")
def test_where_nothing_was_decided_or_no_database_answers_the_history_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_history([]) == 0
    assert capsys.readouterr().out.strip() == "grade-class: nothing has been decided yet."
    monkeypatch.setenv("GRADECAST_LOG_URL", "sqlite:////nowhere/at/all/log.db")
    assert show_history([]) == 2
    assert "the history cannot be read: unable to open database file" in capsys.readouterr().out
