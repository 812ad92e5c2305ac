"""The walls of the house: who may import whom, and how large a room may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
ROOMS = ("data", "flows", "serving")
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 500, 30
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_no_import_crosses_a_wall(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=str(tmp_path))
    assert code == 0, capsys.readouterr().out


def test_a_room_of_flows_never_imports_a_command() -> None:
    graph = grimp.build_graph("flows", cache_dir=None)
    commands = {name for name in graph.find_children("flows") if not graph.find_children(name)}
    commands.remove("flows.settings")
    rooms = graph.modules - commands
    upward = [
        (name, command)
        for name in rooms
        for command in commands & graph.find_modules_directly_imported_by(name)
    ]
    assert len(commands) > 10
    assert upward == []


def test_importing_writes_nothing(tmp_path: Path) -> None:
    imports = "import data.bundle.bundle, flows.pipeline, serving.app, serving.sync.bring"
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", imports], cwd=tmp_path, env=environment, check=True)
    written = [path for path in tmp_path.rglob("*") if path != tmp_path / ".prefect"]  # empty, Prefect's own
    assert written == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_hold_one_idea_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    long = {
        f"{node.name} (line {node.lineno})": size
        for node in functions(text)
        if (size := body_lines(node)) > MOST_LINES_OF_A_FUNCTION
    }
    assert long == {}


def functions(text: str) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, Function))


def body_lines(node: Function) -> int:
    """Lines of a function's body without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
