"""Draft a contract from a file: every guess marked as one, with what speaks for it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from data.cells import to_numbers, within_reach
from data.contract import Contract
from data.contract_file import parse_contract
from data.draft_columns import Guess, guess_column, texts_of, title_of
from data.draft_target import TargetGuess, guess_target, rule_on
from data.errors import BadInput
from data.giveaways import Power, power_alone
from data.sources import read_whole

STRONG = 0.4
"""Part of the doubt from which a column that is named like the target, or follows it, is taken for a leak."""
FOLLOWS_SCORE = 0.8
"""Rank correlation with the score from which a column of the same name but its number is a leak."""
HEAD = """\
# Drafted from {file}, {rows:,} rows. Every line marked "guess" is one: read it, mend it, and delete the mark.
# Then: .venv/bin/python -m data.contract check {file} --contract THIS_FILE
name: {name}
title: {title}  # guess
description: ""
"""


def draft_contract(path: Path, target: str, name: str | None = None) -> str:
    """Return the YAML of a draft for a CSV or Parquet file.

    Raises BadInput where the file cannot be read, has no such column, or nothing in it can be a feature.
    """
    frame = read_whole(str(path))
    if target not in frame:
        names = ", ".join(map(str, frame.columns))
        raise BadInput(f"there is no column {target!r}.", file=path, remedy=f"There are: {names}.")
    wanted = guess_target(frame[target])
    guesses = [guess_column(frame[column]) for column in frame.columns if column != wanted.keys["column"]]
    _one_id(guesses)
    if wanted.score:
        _as_score(next(g for g in guesses if g.name == wanted.score), "the target's classes are cut from it")
    strengths = {g.name: _strength(g, frame, wanted) for g in guesses if g.role == "feature" and g.keys}
    for guess in guesses:
        if guess.name in strengths:
            _judge(guess, strengths[guess.name], frame, wanted, target)
    known = [g for g in guesses if g.keys and g.role == "feature"]
    if not known:
        raise BadInput("no column of it can be a feature.", file=path, remedy="Write the contract by hand.")
    text = _write(path, len(frame), name or _name(path), wanted, guesses, _thumb(known, strengths))
    parse_contract(text, Contract, file="the draft")
    return text


def _one_id(guesses: list[Guess]) -> None:
    """Keep one column that could be the id; others name students too, or single rows, and are left out."""
    ids = sorted((g for g in guesses if g.role == "id"), key=lambda guess: guess.again == 0)
    for guess in ids[1:]:
        rows = ids[0].again and not guess.again
        reason = f"row, where {ids[0].name} names the student" if rows else "student as well as the id does"
        guess.keys, guess.reasons = None, [f"left out: it names each {reason}"]


def _as_score(guess: Guess, reason: str) -> None:
    keys = {k: v for k, v in (guess.keys or {}).items() if k in ("title", "min", "max")}
    whole = (guess.keys or {}).get("kind") == "integer"
    guess.keys = {**keys, "role": "score", "kind": "integer" if whole else "number"}
    guess.reasons = [f"score: {reason}; trained on, never a feature", *guess.reasons[1:]]


def _strength(guess: Guess, frame: pd.DataFrame, wanted: TargetGuess) -> Power:
    cells = texts_of(frame[guess.name])
    numbers, wrong = to_numbers(cells)
    if wrong.any():
        codes = pd.Categorical(cells).codes
        numbers = pd.Series(np.where(codes < 0, np.nan, codes))
    return power_alone(guess.name, numbers.to_numpy()[:, None], wanted.y, wanted.labels)


def _judge(guess: Guess, power: Power, frame: pd.DataFrame, wanted: TargetGuess, target: str) -> None:
    """Make a column that gives the class away the score that it is cut from, or a leak."""
    written, wrong = to_numbers(texts_of(frame[guess.name]))
    numbers = within_reach(written)
    alike = _stem(guess.name) == _stem(target) and guess.name != target
    near = wanted.score and not wrong.any() and abs(_rank(numbers, frame[wanted.score])) >= FOLLOWS_SCORE
    if power.gives_away and not wrong.any() and _follow(wanted, guess.name, numbers.to_numpy()):
        _as_score(guess, "the classes follow from it")
    elif power.gives_away or (alike and (near or power.explained >= STRONG)):
        named = "named like the target, and " if alike else ""
        guess.keys = {k: v for k, v in (guess.keys or {}).items() if k != "nullable"} | {"role": "leak"}
        guess.reasons.append(f"leak: {named}{power.evidence}")
    elif power.explained >= STRONG / 2:
        guess.reasons.append(f"look at it: {power.evidence}; known when a forecast is asked for?")


def _follow(wanted: TargetGuess, name: str, score: np.ndarray) -> bool:
    """Let the classes follow from a score, turned round where they rise as it falls, if they do."""
    if wanted.score or not wanted.keys.get("ordered", True):
        return False
    rule = rule_on(score, wanted.y, wanted.labels)
    if rule is None and rule_on(-score, wanted.y, wanted.labels):
        wanted.turn_round()
        rule = rule_on(score, wanted.y, wanted.labels)
    if rule is None:
        return False
    wanted.keys["at_least"], wanted.score = rule[0], name
    wanted.reasons.append(f"at_least: with these bounds {name} gives {rule[1]:.1%} of the classes")
    return True


def _rank(numbers: pd.Series, score: pd.Series) -> float:
    return float(numbers.corr(within_reach(to_numbers(texts_of(score))[0]), method="spearman"))


def _stem(name: str) -> str:
    return re.sub(r"[\d_\s]+", "", name).casefold()


def _thumb(known: list[Guess], strengths: dict[str, Power]) -> str:
    return max(known, key=lambda guess: strengths[guess.name].explained).name


def _name(path: Path) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    return words if words[:1].isalpha() else f"data_{words}".rstrip("_")


def _write(path: Path, rows: int, name: str, wanted: TargetGuess, guesses: list[Guess], thumb: str) -> str:
    lines = [HEAD.format(file=path, rows=rows, name=name, title=title_of(name)), "target:"]
    lines += [f"  # guess: {reason}" for reason in wanted.reasons]
    lines += [f"  {key}: {_flow(value)}" for key, value in wanted.keys.items()]
    lines += ["", "# guess: the strongest feature alone", f"rule_of_thumb: {_flow(thumb)}", "", "columns:"]
    for guess in guesses:
        lines += [f"  # guess: {reason}" for reason in guess.reasons if guess.keys is not None]
        left_out = "; ".join(guess.reasons)
        line = f"{_flow(guess.name)}: {_flow(guess.keys)}" if guess.keys else f"# {guess.name}, {left_out}"
        lines.append(f"  {line}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
