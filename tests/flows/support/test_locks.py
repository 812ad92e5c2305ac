"""Locks that hold between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from data.durable import file_lock, is_locked


def test_a_lock_keeps_a_second_holder_out(tmp_path: Path) -> None:
    with (
        file_lock(tmp_path / "lock"),
        pytest.raises(BlockingIOError),
        file_lock(tmp_path / "lock", blocking=False),
    ):
        pytest.fail("two holders of one exclusive lock")


def test_many_can_share_a_lock_that_none_can_then_have_alone(tmp_path: Path) -> None:
    with (
        file_lock(tmp_path / "lock", shared=True),
        file_lock(tmp_path / "lock", shared=True),
        pytest.raises(BlockingIOError),
        file_lock(tmp_path / "lock", blocking=False),
    ):
        pytest.fail("an exclusive lock beside shared ones")


def test_a_lock_is_free_once_its_holder_is_done(tmp_path: Path) -> None:
    with file_lock(tmp_path / "folder" / "lock"):
        assert is_locked(tmp_path / "folder" / "lock")
    assert not is_locked(tmp_path / "folder" / "lock")
    assert not is_locked(tmp_path / "never-made")


def test_a_child_that_inherits_the_descriptor_holds_the_lock_until_it_ends(tmp_path: Path) -> None:
    waiting = [sys.executable, "-c", "input()"]
    with file_lock(tmp_path / "lock") as descriptor:
        child = subprocess.Popen(waiting, pass_fds=(descriptor,), stdin=subprocess.PIPE)
    assert is_locked(tmp_path / "lock")
    child.communicate(b"\n")
    assert not is_locked(tmp_path / "lock")
