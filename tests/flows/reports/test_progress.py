"""Progress is a bar on a terminal and a few lines elsewhere."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from flows.runtime.progress import open_console, search_progress, stage


def plain() -> Console:
    return Console(file=StringIO(), width=100)


def said(console: Console) -> list[str]:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_a_search_says_four_lines_where_there_is_no_terminal() -> None:
    console = plain()
    with search_progress(console) as on_done:
        for done in range(1, 101):
            on_done(done, 100, 0.5 - done / 1000)
    assert len(said(console)) == 4
    assert said(console)[-1] == "grid search: 100 of 100  best log loss 0.4000"


def test_a_search_draws_a_bar_on_a_terminal() -> None:
    console = Console(file=StringIO(), width=100, force_terminal=True)
    with search_progress(console) as on_done:
        on_done(3, 4)
        on_done(4, 4)
    assert "4/4" in "".join(said(console))


def test_a_stage_says_when_it_starts_and_when_it_is_done() -> None:
    console = plain()
    with stage("process", console):
        pass
    first, last = said(console)
    assert first == "process …"
    assert last.startswith("process: done in ")


def test_a_stage_that_fails_says_so_and_lets_the_error_through() -> None:
    console = plain()
    with pytest.raises(ValueError, match="no such thing"), stage("process", console):
        raise ValueError("no such thing")
    assert said(console)[-1].startswith("process: stopped in ")


def test_a_pipe_is_written_to_in_plain_lines_of_a_hundred_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    open_console().print("done", style="red")
    assert capsys.readouterr().out == "done\n"
    assert open_console().width == 100


WORK = """
import sys
from pathlib import Path
from flows.runtime.progress import open_console, search_progress, stage
from flows.runtime.progress import to_stderr
with stage("train", open_console()), search_progress(open_console()) as on_done:
    for done in range(100):
        on_done(done, 100, 0.5)
        to_stderr("a line")
Path(sys.argv[1]).write_text("done")
"""


def test_work_goes_on_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WORK, str(tmp_path / "end")]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as work:
        assert work.stdout is not None
        assert work.stderr is not None
        work.stdout.close()
        work.stderr.close()
    assert (work.returncode, (tmp_path / "end").exists()) == (0, True)
