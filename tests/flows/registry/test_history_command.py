"""`python -m flows.history`: what was decided, and whether the record is whole."""

import json

import pytest
import sqlalchemy as sa

from data.log.database import history, open_log
from flows.history import main
from flows.registry.bundling import Submission
from flows.registry.rollout import roll_back
from tests.flows.registry.desk import NAME, Desk


@pytest.fixture
def at_home(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A person's environment with that registry."""
    monkeypatch.setenv("GRADECAST_HOME", str(desk.settings.home))
    return desk


@pytest.fixture
def turned_back(at_home: Desk, weak: Submission, submission: Submission) -> Desk:
    """A registry in which a promotion was rolled back."""
    at_home.seat(weak)
    at_home.seat(submission)
    roll_back(at_home.settings, NAME, None, reason="grades look odd", by="Ms Jones")
    return at_home


@pytest.mark.usefixtures("turned_back")
def test_the_history_is_a_table_of_what_was_decided(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == NAME
    assert [line.split()[0] for line in lines if "UTC" not in line and line[:1].isdigit()] == ["1", "2", "3"]
    last = next(line for line in lines if line.startswith("3"))
    assert "rolled back" in last
    assert "Ms Jones" in last
    assert "grades look odd" in last


@pytest.mark.usefixtures("turned_back")
def test_the_history_as_json_has_all_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json"]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(entry["event"], entry["version"], entry["champion"]) for entry in entries] == [
        ("promoted", "1", "1"),
        ("promoted", "2", "2"),
        ("rolled back", "2", "1"),
    ]
    assert all("evidence" in entry and len(entry["digest"]) == 64 for entry in entries)


@pytest.mark.parametrize("entry", [2, 3])
def test_a_changed_or_a_removed_entry_is_told_and_ends_with_1(
    turned_back: Desk, entry: int, capsys: pytest.CaptureFixture[str]
) -> None:
    change: sa.Update | sa.Delete = sa.update(history).where(history.c.entry == 2).values(by="nobody")
    if entry == 3:
        change = sa.delete(history).where(history.c.entry == 3)
    with open_log(turned_back.settings.database_url).begin() as connection:
        connection.execute(change)
    assert main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"history: {'entry 2' if entry == 2 else 'it does not end with entry 3'}")


@pytest.mark.usefixtures("at_home")
def test_where_nothing_was_decided_the_history_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.strip() == "grade-class: nothing has been decided yet."


@pytest.mark.usefixtures("at_home")
def test_a_database_that_does_not_answer_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADECAST_LOG_URL", "sqlite:////nowhere/at/all/log.db")
    assert main([]) == 2
    assert "the history cannot be read: unable to open database file" in capsys.readouterr().out
