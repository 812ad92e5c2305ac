"""Folders and files that are whole or not there, with real processes building and dying; and locks."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data.durable import file_lock, is_locked
from flows.runtime.workspace import finished_file, finished_folder

ROOT = Path(__file__).parents[2]
BUILDER = """
import sys
from pathlib import Path
from flows.runtime.workspace import finished_folder
def build(draft):
    (draft / "half").write_text("half")
    print(draft, flush=True)
    input()
finished_folder(Path(sys.argv[1]), build)
"""


def start_to_build(final: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that is in the middle of building a folder, and where its draft is."""
    pipe = subprocess.PIPE
    arguments = [sys.executable, "-c", BUILDER, str(final)]
    builder = subprocess.Popen(arguments, cwd=ROOT, text=True, stdin=pipe, stdout=pipe)
    assert builder.stdout is not None
    return builder, Path(builder.stdout.readline().strip())


def write_one(draft: Path) -> None:
    (draft / "file").write_text("whole")


def drafts(final: Path) -> list[Path]:
    return [path for path in (final.parent / ".drafts").iterdir() if path.is_dir()]


def test_a_folder_is_built_once_and_found_the_next_time(tmp_path: Path) -> None:
    final = tmp_path / "made" / "folder"
    assert finished_folder(final, write_one)
    assert not finished_folder(final, lambda draft: pytest.fail("built again"))
    assert (final / "file").read_text() == "whole"
    assert drafts(final) == []


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(draft: Path) -> None:
        write_one(draft)
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="the disk is full"):
        finished_folder(tmp_path / "folder", build)
    assert not (tmp_path / "folder").exists()
    assert drafts(tmp_path / "folder") == []


def test_drafts_of_killed_builders_are_swept_by_the_next_run_and_that_of_a_live_one_is_not(
    tmp_path: Path,
) -> None:
    dead, dead_draft = start_to_build(tmp_path / "of-the-dead")
    late, late_draft = start_to_build(tmp_path / "of-the-late")
    with start_to_build(tmp_path / "of-the-living")[0] as living:
        kill(dead)
        assert dead_draft.exists()
        assert finished_folder(tmp_path / "another", write_one)
        assert not dead_draft.exists()
        assert not (tmp_path / "of-the-dead").exists()
        kill(late)
        assert late_draft.exists()
        assert not finished_folder(tmp_path / "another", write_one), "it has nothing to build"
        assert not late_draft.exists()
        living.communicate("\n")
    assert living.returncode == 0
    assert (tmp_path / "of-the-living" / "half").exists()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_of_two_that_build_at_once_one_wins_and_the_other_takes_its_work(tmp_path: Path) -> None:
    both_at_work = threading.Barrier(2)

    def build(draft: Path) -> None:
        write_one(draft)
        both_at_work.wait()

    builders = [threading.Thread(target=finished_folder, args=(tmp_path / "folder", build)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert (tmp_path / "folder" / "file").read_text() == "whole"
    assert drafts(tmp_path / "folder") == []


def test_a_file_appears_whole_and_a_failed_one_leaves_the_former(tmp_path: Path) -> None:
    def fail(draft: Path) -> None:
        draft.write_text("half")
        raise ValueError("the disk is full")

    finished_file(tmp_path / "file.html", lambda draft: draft.write_text("whole") and None)
    with pytest.raises(ValueError, match="the disk is full"):
        finished_file(tmp_path / "file.html", fail)
    assert (tmp_path / "file.html").read_text() == "whole"
    assert drafts(tmp_path / "file.html") == []


@pytest.mark.parametrize("shared", [False, True])
def test_a_lock_keeps_a_second_holder_out_but_of_those_who_share_it(tmp_path: Path, shared: bool) -> None:
    lock = tmp_path / "folder" / "lock"
    assert not is_locked(lock), "it was never made"
    with file_lock(lock, shared=shared):
        assert is_locked(lock) != shared
        with pytest.raises(BlockingIOError), file_lock(lock, blocking=False):
            pytest.fail("two holders of one exclusive lock")
        if shared:
            with file_lock(lock, shared=True, blocking=False):
                pass
    assert not is_locked(lock)


def test_a_child_that_inherits_the_descriptor_holds_the_lock_until_it_ends(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock") as descriptor:
        child = subprocess.Popen(["cat"], pass_fds=(descriptor,), stdin=subprocess.PIPE)
    assert is_locked(tmp_path / "lock")
    child.communicate(b"")
    assert not is_locked(tmp_path / "lock")
