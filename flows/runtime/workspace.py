"""The state folder: files and folders that are whole or not there, fingerprints of their making."""

import ast
import hashlib
import json
import logging
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from data.contract.contract import Contract
from data.durable import digest, file_lock, is_locked, put

DRAFTS, LOCK, DAMAGED = ".drafts", ".lock", ".damaged"
SEAL = "digests.json"
"""The file of a finished folder that has the SHA-256 of each other one."""

log = logging.getLogger("gradecast.workspace")


def finished_folder(final: Path, build: Callable[[Path], None]) -> bool:
    """Make a folder by building it elsewhere and renaming it; return False when it was there already.

    A run that is killed leaves a draft behind, never a half-written folder under its final name; the
    next run sweeps drafts whose owner is gone. Of two that build the same folder at once, one wins. One
    that is there and whose bytes are not those that were built is put aside, and made anew.
    """
    if final.is_dir() and fault_of(final) is None:
        with file_lock(final.parent / DRAFTS / LOCK):
            _sweep(final.parent / DRAFTS)
        return False
    with _place(final) as place:
        draft = place / "draft"
        draft.mkdir()
        build(draft)
        _seal(draft)
        _put_damaged_aside(final)
        try:
            put(draft, final)
        except OSError:
            if not final.is_dir():
                raise
    return True


def finished_file(final: Path, write: Callable[[Path], object]) -> None:
    """Write a file elsewhere and rename it, so that it is never half-written; replaces what was there."""
    with _place(final) as place:
        write(place / final.name)
        put(place / final.name, final)


def fault_of(folder: Path) -> str | None:
    """Return what a finished folder has other than what was built, None for nothing."""
    try:
        sealed: dict[str, str] = json.loads((folder / SEAL).read_bytes())
        wrong = [name for name, expected in sealed.items() if digest(folder / name) != expected]
    except (OSError, ValueError) as error:
        return f"{SEAL} cannot be read ({error})" if isinstance(error, ValueError) else str(error)
    return f"{wrong[0]} has other bytes than were written" if wrong else None


def _seal(draft: Path) -> None:
    """Write down the digest of each file of a folder."""
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    digests = {path.relative_to(draft).as_posix(): digest(path) for path in files}
    (draft / SEAL).write_text(json.dumps(digests, indent=1), encoding="utf-8")


def _put_damaged_aside(final: Path) -> None:
    """Make room for a folder; the damaged one is kept, for a person may have changed it on purpose."""
    with file_lock(final.parent / DRAFTS / LOCK):  # another run may have made it anew already
        fault = fault_of(final) if final.is_dir() else None
        if fault is None:
            return
        aside = final.parent / DAMAGED / final.name
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(exist_ok=True)
        final.rename(aside)
    log.warning("%s was damaged and is made anew: %s. What was there is in %s.", final, fault, aside)


@contextmanager
def _place(final: Path) -> Iterator[Path]:
    """Yield a folder of one's own to draft in, on the same disk, and remove it in the end.

    Its lock tells others that its owner lives. It is taken while no other can sweep: between being
    made and being locked it would look abandoned.
    """
    drafts = final.parent / DRAFTS
    with ExitStack() as held:
        with file_lock(drafts / LOCK):
            _sweep(drafts)
            place = Path(tempfile.mkdtemp(prefix=f"{final.name}-", dir=drafts))
            held.enter_context(file_lock(place / LOCK))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _sweep(drafts: Path) -> None:
    """Remove the drafts whose owner no longer holds their lock."""
    for place in drafts.iterdir():
        if place.is_dir() and not is_locked(place / LOCK):
            shutil.rmtree(place, ignore_errors=True)


ROOT = Path(__file__).parents[2]
OURS = ("data", "flows")
GROUND = ("flows/settings.py", "flows/runtime/", "data/processes.py")
"""How work is set, run and shown: no result depends on it. Settings in use are named beside the code."""
ONLY_TOLD = frozenset({"description", "help", "actionable", "accumulates", "audited", "at_risk", "costs"})
"""Parts of a contract that cards, pages and audits alone go by."""


def fingerprint(**parts: Any) -> str:
    """Return 16 hex digits of the SHA-256 of named parts that can be written as JSON."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def contract_part(contract: Contract, *unused: str) -> dict[str, Any]:
    """Return a contract without what is only told, and without other parts that a stage does not use."""
    left_out = ONLY_TOLD.union(unused)
    whole = {field: part for field, part in contract.model_dump(mode="json").items() if field not in left_out}
    named = {"target": whole["target"], **whole["columns"]}
    parts = {
        name: {field: part for field, part in fields.items() if field not in left_out}
        for name, fields in named.items()
    }
    return {**whole, "target": parts.pop("target"), "columns": list(parts.values())}


@cache
def code_digest(*starts: str, root: Path = ROOT) -> str:
    """Return the digest of modules and of all of ours that they import, or of all code in folders."""
    files = {path for start in starts for path in _files(start, root)}
    named = [(path.as_posix(), (root / path).read_bytes().hex()) for path in sorted(files)]
    return fingerprint(code=named)


def git_commit() -> str:
    """Return the commit of the code, with "+changes" when it differs; "unknown" outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return f"{commit}+changes" if _git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _files(start: str, root: Path) -> Iterable[Path]:
    place = root / start
    if place.is_dir():
        return (p.relative_to(root) for p in place.rglob("*") if p.suffix in (".py", ".yaml"))
    return with_imports(Path(start), root)


def with_imports(start: Path, root: Path = ROOT) -> set[Path]:
    """Return a module's file and those of ours that it imports, directly or not."""
    found, left = set[Path](), [start]
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += [file for file in _imports(root / path, root) if not file.as_posix().startswith(GROUND)]
    return found


@cache
def _imports(path: Path, root: Path) -> tuple[Path, ...]:
    """Return the files of ours that a file imports, but those that its tasks and flows alone use."""
    tree = ast.parse(path.read_bytes())
    wiring = [part for part in tree.body if isinstance(part, ast.FunctionDef) and _is_wiring(part)]
    used = {node.id for part in tree.body if part not in wiring for node in _names(part)}
    unused = {node.id for part in wiring for node in _names(part)} - used
    names = [name for node in ast.walk(tree) for name in _imported(node, unused)]
    return tuple(dict.fromkeys(file for name in names for file in _modules(name, root)))


def _names(tree: ast.AST) -> Iterator[ast.Name]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Name))


def _is_wiring(function: ast.FunctionDef) -> bool:
    """Tell whether a function is a Prefect task or flow: it wires, and what it calls does the work."""
    return any(name.id in ("task", "flow") for part in function.decorator_list for name in _names(part))


def _imported(node: ast.AST, unused: set[str]) -> Iterator[str]:
    """Yield the dotted names that an import statement brings in."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return
    start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        if (alias.asname or alias.name.partition(".")[0]) not in unused:
            yield start + alias.name


def _modules(name: str, root: Path) -> Iterator[Path]:
    """Yield the files of a dotted name that is ours: of its packages, its module, or the one it is of."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1) if parts[0] in OURS else ():
        place = Path(*parts[:count])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if (root / file).is_file():
                yield file
