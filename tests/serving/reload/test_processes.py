"""A process that is kept running: how often it is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from data.processes import LONGEST_PAUSE
from serving.processes import Sidecar
from tests.serving.running import wait_until


class Counted(Sidecar):
    """One that says how often it was started."""

    starts = 0

    def begin(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        return super().begin()


@pytest.fixture
def short_lived() -> Counted:
    """A module that is not there."""
    return Counted("serving.nothing")


def test_one_that_keeps_ending_is_started_ever_more_rarely(
    short_lived: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    for now in range(10 * int(LONGEST_PAUSE)):
        short_lived.restart(now)
        if short_lived.process is not None:
            short_lived.process.wait(60)
    assert 10 <= short_lived.starts <= 20


def test_one_that_cannot_be_started_is_tried_again_and_harms_nobody(
    short_lived: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    for now in range(10):
        short_lived.restart(now)
    assert 2 <= short_lived.starts <= 6


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sidecar:
    """A process that does not listen."""
    script = tmp_path / "sleeper"
    script.write_text("#!/bin/sh\ntrap '' TERM\necho > \"$0.ready\"\nwhile :; do sleep 1; done\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    sleeper = Sidecar("ignored")
    sleeper.restart(0)
    wait_until((tmp_path / "sleeper.ready").exists, "it runs")
    return sleeper


def test_one_that_does_not_end_when_told_to_is_killed(sleeper: Sidecar) -> None:
    process = sleeper.process
    assert isinstance(process, subprocess.Popen)
    sleeper.end()
    sleeper.wait(0.2)
    assert process.returncode == -9
