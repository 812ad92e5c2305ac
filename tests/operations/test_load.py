"""`make load`: thirty users on the real predictor, and where a server stops keeping up."""

from pathlib import Path

import pytest

from load.__main__ import STEPS, main
from load.knee import Second, knee, read_history, steps_of
from load.report import words
from tests.serving.running import running, wait_until


def seconds(*steps: tuple[int, float], of: int = 10) -> list[Second]:
    """A ramp: users and answers a second of each step."""
    found = [(users, rate) for users, rate in steps for _ in range(of)]
    return [Second(at, users, rate, 0, 5, 9, 20) for at, (users, rate) in enumerate(found)]


def test_the_knee_is_where_throughput_stops_following_the_users() -> None:
    found = knee(steps_of(seconds((1, 100), (2, 195), (4, 380), (8, 420), (16, 425))))
    assert found is not None
    assert (found.users, found.rate) == (4, 380)


def test_failures_are_a_knee_too() -> None:
    failing = [
        second._replace(failures=30.0) if second.users == 4 else second
        for second in seconds((1, 100), (2, 200), (4, 400))
    ]
    found = knee(steps_of(failing))
    assert found is not None
    assert found.users == 2


def test_a_server_that_keeps_up_has_no_knee() -> None:
    ramp = seconds((1, 100), (2, 200), (4, 400))
    assert knee(steps_of(ramp)) is None
    assert "No knee up to 4 users" in words(ramp, "http://127.0.0.1:9696", ramp=True)


def test_users_that_were_there_for_a_moment_are_no_step() -> None:
    ramp = [*seconds((1, 100)), *seconds((2, 150), of=1), *seconds((4, 400))]
    assert [step.users for step in steps_of(ramp)] == [1, 4]


def test_nobody_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--address", "http://127.0.0.1:1", "--into", str(tmp_path)]) == 2
    assert "make serve" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_thirty_users_are_answered_and_reported(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path / "home", GRADECAST_MODEL_URI=bundle_folder) as server:
        wait_until(lambda: server.ready()[0] == 200, "it is ready")
        address = f"http://127.0.0.1:{server.port}"
        assert main(["--address", address, "--seconds", "15", "--into", str(tmp_path)]) == 0
    (folder,) = tmp_path.glob("load-*")
    found = read_history(folder / "load_stats_history.csv")
    assert max(second.users for second in found) == 30
    assert sum(second.failures for second in found) == 0
    assert (folder / "load.png").read_bytes().startswith(b"\x89PNG")
    assert "30 users:" in capsys.readouterr().out


@pytest.mark.slow
def test_a_ramp_goes_through_its_steps_and_looks_for_the_knee(bundle_folder: Path, tmp_path: Path) -> None:
    with running(tmp_path / "home", GRADECAST_MODEL_URI=bundle_folder) as server:
        wait_until(lambda: server.ready()[0] == 200, "it is ready")
        address = f"http://127.0.0.1:{server.port}"
        assert main(["--address", address, "--ramp", "--seconds", "5", "--into", str(tmp_path)]) == 0
    (folder,) = tmp_path.glob("load-*")
    found = steps_of(read_history(folder / "load_stats_history.csv"))
    assert {step.users for step in found} <= set(STEPS)
    assert len(found) >= 5
    assert "knee" in (folder / "load.md").read_text().lower()
