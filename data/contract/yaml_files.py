"""The one door for YAML that people write, contracts and grids: small, plain, each fault with its line."""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from data.errors import BadInput

MOST_BYTES = 500_000  # a survey of a thousand questions takes half of it
DEEPEST = 20
MOST_ENTRIES = 1_000  # of one list, or keys of one mapping
MOST_NODES = 50_000  # as written, and once every alias stands for what it means: seconds of reading
LONGEST = {True: 200, False: 5_000}  # characters of a key, and of any other text
PLAIN_NUMBER = re.compile(
    r"[-+]?(0|[1-9][0-9]{0,17})|[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?|[-+]?\.(inf|Inf|INF)"
    r"|\.(nan|NaN|NAN)"
)
TAG = "tag:yaml.org,2002:"
NUMBERS = (f"{TAG}int", f"{TAG}float")
KINDS = {"int": "a whole number", "float": "a number", "timestamp": "a date", "bool": "true or false"}
DIGITS = 18  # of a whole number, as many as 64 bits hold
SHOWN = 60  # characters of what somebody wrote, in an error


class _Loader(yaml.SafeLoader):
    """A loader that stops at what is too much or nested too deeply, before time or Python's stack is out."""

    depth = count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        self.count += 1
        _refuse_much(self.get_mark(), self.depth, self.count)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def find_yaml(kind: str, name_or_path: str | Path, folder: Path) -> Path:
    """Return a YAML file given by path, or by its name among ours in a folder; raises BadInput."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / f"{str(name_or_path).replace('-', '_')}.yaml"
    if not is_file(path):
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        near = difflib.get_close_matches(shortened(name_or_path), known, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise BadInput(
            f"there is no {kind} {shortened(name_or_path)!r}.",
            remedy=f"{meant}Name one of: {', '.join(known)}; or give the path of a YAML file.",
        )
    return path


def is_file(path: str | Path) -> bool:
    """Tell whether there is such a file; a name that no file can have is that of none."""
    return os.path.isfile(path)  # noqa: PTH113  Path.is_file raises where a name is too long


def shortened(given: object) -> str:
    """Return what somebody wrote, short enough for a sentence."""
    text = str(given)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def read_text(path: Path) -> str:
    """Read a file of YAML; raises BadInput where it is too large or no UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(
            f"it cannot be read: {error.strerror}.", file=path, remedy="Check its rights."
        ) from error
    if len(content) > MOST_BYTES:
        remedy = "Leave out what nobody reads, or split it."
        raise BadInput(f"it is larger than {MOST_BYTES // 1000} kB.", file=path, remedy=remedy)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput("not UTF-8 text.", file=path, remedy="Save it as UTF-8.") from error


def parse_yaml(text: str, *, file: str | Path, strict: bool = True) -> tuple[yaml.Node | None, Any]:
    """Return the nodes of a text, merged and with their lines, and the plain values that they hold.

    Not strict for what an earlier release accepted: numbers in YAML 1.1's other notations, long lists.
    Raises BadInput with file and line.
    """
    try:
        loader = _Loader(text)
        tree = loader.get_single_node()
        _refuse(tree, strict)
        return tree, None if tree is None else loader.construct_document(tree)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or f"not YAML: {getattr(error, 'reason', error)}"
        raise BadInput(f"{where}{problem}.", file=file, remedy="Mend the YAML there.") from error


def _refuse(tree: yaml.Node | None, strict: bool) -> None:
    """Refuse keys that are no texts or there twice and, where strict, what may not mean what it seems to."""
    for count, (node, is_key) in enumerate(_nodes(tree), start=1):
        _refuse_much(node.start_mark, 0, count)
        if isinstance(node, yaml.ScalarNode):
            _refuse_value(node, LONGEST[is_key], strict)
        elif strict and len(node.value) > MOST_ENTRIES:
            raise _at(node, f"{len(node.value):,} entries here, and at most {MOST_ENTRIES:,} can be")
        if isinstance(node, yaml.MappingNode):
            _refuse_keys(node)


def _nodes(
    node: yaml.Node | None, depth: int = 1, *, is_key: bool = False
) -> Iterator[tuple[yaml.Node, bool]]:
    """Walk all nodes, and what an alias stands for each time; tell which are keys."""
    if node is None:
        return
    _refuse_much(node.start_mark, depth, 0)
    yield node, is_key
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _nodes(key, depth + 1, is_key=True)
            yield from _nodes(value, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _nodes(child, depth + 1)


def _refuse_keys(node: yaml.MappingNode) -> None:
    """Refuse a key written twice, which YAML would let the last one win, and a key that is no text."""
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _at(key, "a key must be a text or a number")
        if key.value in seen:
            raise _at(key, f"{shortened(key.value)!r} is there twice")
        seen.add(key.value)


def _refuse_value(node: yaml.ScalarNode, longest: int, strict: bool) -> None:
    text = node.value
    if node.tag == f"{TAG}str":
        if strict and len(text) > longest:
            raise _at(node, f"a text of {len(text):,} characters, and at most {longest:,} can be here")
    elif node.tag != f"{TAG}merge":
        value = _value_of(node)
        if strict and node.tag in NUMBERS and not PLAIN_NUMBER.fullmatch(text):
            much = f"would be read as {value}" if len(text) <= DIGITS else f"is longer than {DIGITS} digits"
            raise _at(node, f"{shortened(text)!r} {much}; write a plain decimal number, or quote a text")


def _value_of(node: yaml.ScalarNode) -> Any:
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        ValueError,
    ) as error:  # of int(), date()
        kind = KINDS.get(node.tag.removeprefix(TAG), "what its tag says")
        raise _at(node, f"{shortened(node.value)!r} cannot be read as {kind}; quote a text") from error


def _refuse_much(mark: yaml.Mark, depth: int, count: int) -> None:
    if depth > DEEPEST:
        raise yaml.MarkedYAMLError(problem=f"nested more than {DEEPEST} deep", problem_mark=mark)
    if count > MOST_NODES:
        problem = f"more than {MOST_NODES:,} entries in all, with what aliases stand for"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _at(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
