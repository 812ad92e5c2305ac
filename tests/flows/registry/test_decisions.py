"""A decision is carried out whole, wherever the process that carries it out is killed."""

from typing import Any

import pytest
from mlflow import MlflowClient

from data.log.history import Decision
from flows.registry.bundling import Submission
from flows.registry.decisions import (
    carry_out,
    deciding,
    finish,
    promotion,
    way_back,
)
from tests.flows.registry.desk import NAME, Desk

WRITES = (
    "set_model_version_tag",
    "set_registered_model_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "update_model_version",
    "delete_registered_model_tag",
    "delete_model_version_tag",
)


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


class MortalClient(MlflowClient):
    """A client whose process is killed before its n-th write."""

    def __init__(self, uri: str, writes: int) -> None:
        super().__init__(uri, uri)
        self._left = writes
        for name in WRITES:
            setattr(self, name, self._counted(getattr(super(), name)))

    def _counted(self, write: Any) -> Any:
        def counted(*arguments: Any, **named: Any) -> Any:
            if not self._left:
                raise Killed
            self._left -= 1
            return write(*arguments, **named)

        return counted


def promoted(version: str) -> Decision:
    return Decision(
        model=NAME, event="promoted", version=version, champion=version, by="test", reason="better"
    )


def turned_back() -> Decision:
    return Decision(model=NAME, event="rolled back", version="2", champion="1", by="test", reason="worse")


def test_a_promotion_killed_anywhere_is_whole_after_the_next_look_or_never_was(
    weak: Submission, submission: Submission, desk: Desk
) -> None:
    desk.seat(weak)
    before, writes, outcomes = desk.history(), 0, set()
    desk.add(submission)
    while True:
        client = MortalClient(desk.settings.mlflow_uri, writes)
        try:
            carry_out(client, desk.settings, promotion(client, promoted("2"), {"promoted": "true"}))
        except Killed:
            with deciding(desk.settings, NAME):
                pass
        aliases = desk.aliases()
        assert aliases in ({"champion": "2", "previous": "1"}, {"champion": "1"})
        whole = aliases["champion"] == "2"
        history = desk.history()
        assert history == ([*before, ("promoted", "2", "2", "test")] if whole else before)
        assert desk.tags("2").get("replaces") == ("1" if whole else None)
        outcomes.add(whole)
        if whole and client._left:
            break
        writes += 1
        if whole:
            back_to_one(desk)
            before = history
    assert outcomes == {True, False}
    assert writes > 8


def back_to_one(desk: Desk) -> None:
    client = desk.client
    client.set_registered_model_alias(NAME, "champion", "1")
    client.delete_registered_model_alias(NAME, "previous")
    client.delete_model_version_tag(NAME, "2", "replaces")


def test_a_decision_is_done_though_the_history_cannot_be_written_and_is_recorded_later(
    weak: Submission, submission: Submission, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.seat(weak)
    desk.add(submission)
    away = desk.settings.model_copy(update={"log_url": "sqlite:////nowhere/at/all/log.db"})
    assert not carry_out(desk.client, away, promotion(desk.client, promoted("2"), {}))
    assert not carry_out(desk.client, away, way_back(desk.client, turned_back()))
    assert "cannot be written now, and will be" in capsys.readouterr().err
    assert desk.aliases() == {"champion": "1"}
    assert len(desk.history()) == 1
    desk.client.set_registered_model_alias(NAME, "previous", "2")  # as a person may meanwhile
    assert finish(desk.client, desk.settings, NAME)
    assert desk.aliases() == {"champion": "1", "previous": "2"}
    assert [entry[0] for entry in desk.history()] == ["promoted", "promoted", "rolled back"]


def test_a_model_that_was_never_registered_has_nothing_to_finish(desk: Desk) -> None:
    assert finish(desk.client, desk.settings, "no-such-model")
