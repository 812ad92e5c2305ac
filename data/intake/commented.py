"""A contract's YAML with the comments above its lines: read, changed by key, and written as a draft is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from data.contract.yaml_files import parse_yaml
from data.errors import BadInput
from data.intake.draft import flow

GUESS = "# guess"
BEHIND = re.compile(r"\s(#.*)$")
BLOCKS = ("target", "columns")
"""What is written with a line for each of its keys."""
Place = tuple[str, ...]
"""The keys that lead to a value: of the whole, or of the target or a column."""


@dataclass
class Commented:
    """A contract as plain values, and the comments above and behind its lines.

    above: comment lines by place, () for those at the end. behind: what stands behind a line, likewise.
    """

    raw: dict[str, Any]
    above: dict[Place, list[str]] = field(default_factory=dict)
    behind: dict[Place, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, file: Path) -> Self:
        """Read a contract's text; raises BadInput where it is no YAML of keys."""
        tree, raw = parse_yaml(text, file=file)
        if not isinstance(tree, yaml.MappingNode) or not isinstance(raw, dict):
            raise BadInput("the file holds no contract.", file=file, remedy="Draft one with infer.")
        found, lines = cls(raw), text.splitlines()
        for place, line, last in _places(tree):
            found.above[place] = _comments_above(lines, line)
            if (behind := BEHIND.search(lines[last])) and not lines[line].strip().startswith("#"):
                found.behind[place] = behind[1] if line == last else ""
        found.above[()] = _comments_above(lines, len(lines))
        return found

    def guesses(self, *place: str) -> list[str]:
        """Return the reasons of a line's guesses that nobody has confirmed."""
        comments = [*self.above.get(place, []), self.behind.get(place, "")]
        return [one.removeprefix(GUESS).lstrip(": ") for one in comments if one.startswith(GUESS)]

    def confirm(self, *place: str) -> None:
        """Take the marks of guesses off a line, which somebody has read."""
        self.above[place] = [one for one in self.above.get(place, []) if not one.startswith(GUESS)]
        self.behind.pop(place, None)

    def text(self) -> str:
        """Return the whole as YAML, a line for each key of the target and of the columns."""
        lines: list[str] = []
        for key, value in self.raw.items():
            lines += [*([""] if key in BLOCKS and lines else []), *self.above.get((key,), [])]
            if key not in BLOCKS or not isinstance(value, Mapping):
                lines.append(self._line((key,), value))
                continue
            lines.append(f"{key}:")
            for name, one in value.items():
                place = (key, str(name))
                lines += [f"  {comment}" for comment in self.above.get(place, [])]
                lines.append(f"  {self._line(place, one)}")
        return "\n".join([*lines, *(f"  {comment}" for comment in self.above.get((), []))]) + "\n"

    def _line(self, place: Place, value: Any) -> str:
        behind = self.behind.get(place)
        return f"{flow(place[-1])}: {flow(value)}{f'  {behind}' if behind else ''}"


def _places(tree: yaml.MappingNode) -> list[tuple[Place, int, int]]:
    """Return each place with the line that it begins in and the one that it ends in."""
    found: list[tuple[Place, int, int]] = []
    for key, value in tree.value:
        found.append(((key.value,), key.start_mark.line, _last(value, key)))
        if key.value in BLOCKS and isinstance(value, yaml.MappingNode):
            found += [((key.value, k.value), k.start_mark.line, _last(v, k)) for k, v in value.value]
    return found


def _last(value: yaml.Node, key: yaml.Node) -> int:
    """Return the line that a value ends in; a block's end is the beginning of what follows."""
    flat = not isinstance(value, yaml.CollectionNode) or value.flow_style
    return int(value.end_mark.line if flat else key.start_mark.line)


def _comments_above(lines: list[str], line: int) -> list[str]:
    found: list[str] = []
    while line and lines[line - 1].strip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip())
    return found
