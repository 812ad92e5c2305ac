"""Draft a contract from a file: each column's kind and role, the target, what gives it away."""

import fnmatch
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from data.contract.columns import ELAPSED, LONGEST_LABEL
from data.contract.contract import IGNORE, Contract, parse_contract
from data.contract.leakage import LEAVES, LeakageScore, leakage_score
from data.errors import BadInput
from data.intake.columns import (
    MOST_CODES,
    Guess,
    codes_of,
    guess_column,
    notations_of,
    sounds_counted,
    texts_of,
    title_of,
)
from data.rows.frames import to_numbers, within_reach
from data.rows.kinds import WHOLE
from data.rows.notation import Settled
from data.rows.spreadsheets import nearest_name
from data.sources.files import as_plain
from data.sources.reading import read_whole

BAD_ENDS = r"fail|drop|\bleft\b|leav|\bno(?:ne|t|thing)?\b|below|insufficient|poor|withdraw|at risk|^f$"
GOOD_ENDS = r"pass|graduat|yes|excellent|advanced|distinction|very good|^a\+?$"
NOISE = 0.05
"""Part by which a bound may be wrong more often than the best one, to be a rounder number."""
FOLLOWS = 0.85
"""Share of rows whose class a rule on a score must give for the draft to take it for the rule."""


@dataclass
class TargetGuess:
    """The target's keys, the class positions (n,) of the rows, -1 for none, and the reasons."""

    keys: dict[str, Any]
    y: np.ndarray
    reasons: list[str]
    score: str | None = None
    sure: bool = False
    """Whether the order of the classes is beyond doubt, by their names."""

    def turn_round(self) -> None:
        """List the classes the other way."""
        self.keys["classes"] = dict(reversed(self.keys["classes"].items()))
        self.keys["at_risk"] = self.labels[-1:]
        self.y = np.where(self.y < 0, -1, len(self.labels) - 1 - self.y)

    @property
    def labels(self) -> list[str]:
        """Return the class labels in their order."""
        return list(self.keys["classes"].values())


def guess_target(series: pd.Series) -> TargetGuess:
    """Guess the target from its own cells; a number of many values is a score that two classes are cut from.

    Raises BadInput where there are no classes in it.
    """
    cells = texts_of(series).map(_as_code, na_action="ignore")
    values = [str(value) for value in cells.dropna().unique()]
    if len({value.casefold() for value in values}) < len(values):
        reason = "some of its texts differ in capitals alone."
        raise BadInput(reason, column=str(series.name), remedy="Make them one in the file.")
    if len(values) < 2:
        raise BadInput(
            "the target has fewer than two values.", column=str(series.name), remedy="Name another."
        )
    if max(map(len, values)) > LONGEST_LABEL:
        reason = f"a text of {max(map(len, values)):,} characters is too long for a class."
        raise BadInput(reason, column=str(series.name), remedy="Name the column with the class.")
    written, wrong = to_numbers(cells)
    numbers = within_reach(written)
    if not wrong.any() and len(values) > MOST_CODES / 2:
        return _cut(str(series.name), numbers)
    if len(values) > MOST_CODES:
        reason = f"{len(values):,} different texts are too many classes."
        raise BadInput(reason, column=str(series.name), remedy="Name the column with the class, or a number.")
    return _classes(str(series.name), cells, values, numeric=not wrong.any())


def _as_code(value: str) -> str:
    """Return a whole number as it is written for short: 1.0 and 01 are one class."""
    whole = WHOLE.fullmatch(value)
    return str(int(whole[1])) if whole else value


def _cut(name: str, score: pd.Series) -> TargetGuess:
    bound = _simplest(float(score.quantile(0.35)), float(score.quantile(0.55)))
    keys = {
        "column": f"{name} band",
        "title": title_of(name),
        **({"derive": "at_least"} if re.search(r"\s", name) else {"derive": f"{name} >= {bound}"}),
        **({"at_least": {"Reached": float(bound)}} if re.search(r"\s", name) else {}),
        "classes": {1: "Reached", 0: "Not reached"},
        "at_risk": ["Not reached"],
    }
    reasons = [
        f"{name} is a number of many values: taken for a score, and cut in two near its middle",
        f"put the bound that your school uses in place of {bound}; for more classes give at_least",
    ]
    y = np.where(score.isna(), -1, (score < float(bound)).astype(int))
    return TargetGuess(keys, y, reasons, score=name)


def _classes(name: str, cells: pd.Series, values: list[str], *, numeric: bool) -> TargetGuess:
    single = all(len(value) == 1 for value in values)
    ordered = numeric or single or len(values) == 2
    values.sort(key=lambda value: (_end(value), float(value) if numeric else 0, value.casefold()))
    codes = codes_of(values)
    risky = [label for label in codes.values() if re.search(BAD_ENDS, label, re.IGNORECASE)]
    labels = list(codes.values())
    at_risk = risky if risky and len(risky) < len(labels) else labels[-1:]
    reasons = ["give each code a label" if numeric else "classes as they are written"]
    if ordered:
        reasons.append("taken to be in order, best first: turn the list round where it is not")
    else:
        reasons.append(
            "taken to have no order: leave ordered out, and list them best first, where they have one"
        )
    reasons.append("at risk: by their names" if risky else "at risk: the last one")
    keys = {"column": name, "title": title_of(name), **({} if ordered else {"ordered": False})}
    keys |= {"classes": codes, "at_risk": at_risk}
    if cells.isna().any():
        keys["waiting"] = True
        reasons.append(
            f"waiting: {int(cells.isna().sum()):,} rows have no outcome yet; they wait, and are not bad"
        )
    place = {value: position for position, value in enumerate(values)}
    y = cells.map(place).fillna(-1).astype(int).to_numpy()
    ends = [_end(value) for value in values]
    letters = [value.casefold() for value in values] == [*"abcdefg"][: len(values)]
    return TargetGuess(keys, y, reasons, sure=letters or (ends[0] < 0 < ends[-1]))


def _end(value: str) -> int:
    """Put what is called good first and what is called bad last."""
    if re.search(BAD_ENDS, value, re.IGNORECASE) and len(value) > 1:
        return 1
    return -1 if re.search(GOOD_ENDS, value, re.IGNORECASE) and len(value) > 1 else 0


def rule_on(score: np.ndarray, y: np.ndarray, labels: list[str]) -> tuple[dict[str, float], float] | None:
    """Find lower bounds of a score for all classes but the last, and the share of rows that they give right.

    None where the classes do not fall with the score or too few rows follow.
    """
    known = ~np.isnan(score) & (y >= 0)
    score, y = score[known], y[known]
    middles = [float(np.median(score[y == k])) for k in range(len(labels)) if (y == k).any()]
    if len(middles) < len(labels) or any(upper <= lower for upper, lower in pairwise(middles)):
        return None
    bounds = {label: _bound(score, y <= k) for k, label in enumerate(labels[:-1])}
    if any(upper <= lower for upper, lower in pairwise(bounds.values())):
        return None
    given = (score[:, None] < np.array(list(bounds.values()))).sum(axis=1)
    share = float((given == y).mean())
    return (bounds, share) if share >= FOLLOWS else None


def _bound(score: np.ndarray, reached: np.ndarray) -> float:
    """Return the simplest number that parts rows that reached a class from the others with fewest errors."""
    order = np.argsort(score, kind="stable")
    points, starts = np.unique(score[order], return_index=True)
    below = np.r_[0, np.cumsum(reached[order])][starts]  # reached, and yet below each point
    above = (~reached).sum() - (starts - below)  # not reached, and yet at or above it
    wrong = below + above
    good = wrong <= wrong.min() * (1 + NOISE)  # about as few, where labels are noisy
    first = last = int(wrong.argmin())
    while first > 1 and good[first - 1]:
        first -= 1
    while last + 1 < len(points) and good[last + 1]:
        last += 1
    return float(_simplest(float(points[first - 1]) if first else float(points[0]) - 1, float(points[last])))


def _simplest(low: float, high: float) -> Decimal:
    """Return the number in (low, high] with the fewest digits."""
    for digits in range(-2, 7):
        step = Decimal(1).scaleb(-digits)
        number = (Decimal(high) / step).to_integral_value(rounding="ROUND_FLOOR") * step
        if number > Decimal(low):
            return number if number != number.to_integral_value() else number.quantize(Decimal(1))
    return Decimal(repr(high))


STEPS = 6
"""Steps of a rule of thumb."""
STRONG = 0.4
"""Part of the doubt from which a column that is named like the target, or follows it, is taken for a leak."""
MOST_EMPTY = 3
"""Columns from which on a row with a single cell is one without anything in it."""
FOLLOWS_SCORE = 0.8
"""Rank correlation with the score from which a column of the same name but its number is a leak."""
ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON leaves as it is, and YAML takes for a new line or refuses."""
HEAD = """\
# Drafted from {file}, {rows:,} rows. Every line marked "guess" is one: read it, mend it, and delete the mark.
# Then: .venv/bin/python -m data.contract check {file} --contract THIS_FILE
"""
NAMED = """\
name: {name}
title: {title}  # guess
description: ""
"""


@dataclass(frozen=True)
class Wishes:
    """What a person says of columns, by their names or patterns of them, before anything is guessed."""

    nominal: Sequence[str] = ()
    leak: Sequence[str] = ()
    audit: Sequence[str] = ()
    ignore: Sequence[str] = ()

    def check(self, names: Sequence[str], path: Path) -> None:
        """Raise BadInput for a pattern that no column has."""
        for pattern in (*self.nominal, *self.leak, *self.audit, *self.ignore):
            if not any(wished(name, [pattern]) for name in names):
                remedy = f"There are: {', '.join(names)}."
                raise BadInput(f"no column is named {pattern!r}.", file=path, remedy=remedy)


def wished(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a column's name is one of those, or fits a pattern of them."""
    return any(name == one or fnmatch.fnmatchcase(name.casefold(), one.casefold()) for one in patterns)


@dataclass(frozen=True)
class Draft:
    """A contract's YAML, and what a person must know beside it: assumptions, and columns left out."""

    text: str
    assumed: tuple[str, ...]
    left_out: tuple[str, ...]


def draft_contract(path: Path, target: str, name: str | None = None, wishes: Wishes | None = None) -> Draft:
    """Draft the contract of a file; what is left out is named with its reason.

    Raises BadInput where the file cannot be read, has no such column, or nothing in it can be a feature.
    """
    wishes = wishes or Wishes()
    whole = read_whole(str(path))
    frame = whole.frame
    _check_there(frame, target, wishes, path)
    settled = notations_of(frame, whole.header.delimiter if whole.header else ",")
    if target in settled.questions:
        remedy = "Write it in the file as it is meant."
        raise BadInput(f"{settled.questions[target]}.", file=path, column=target, remedy=remedy)
    frame = _with_anything(as_plain(frame, settled.notations))
    wanted = guess_target(frame[target])
    guesses = [
        _guessed(frame[column], settled, wishes)
        for column in frame.columns
        if str(column) not in (wanted.keys["column"], target) or (wanted.score and str(column) == target)
    ]
    _one_id(guesses)
    _settle_roles(guesses, frame, wanted, target, wishes)
    known = [g for g in guesses if g.keys and g.role == "feature"]
    for guess in known if ELAPSED not in frame else ():
        _accumulate(guess)
    if not known:
        raise BadInput("no column of it can be a feature.", file=path, remedy="Write the contract by hand.")
    notes = tuple(whole.header.notes if whole.header else ())
    assumed = (*notes, *settled.notes)
    text = _write(
        path, len(frame), name or _name(path), wanted, guesses, _thumb(known, frame, wanted), assumed
    )
    parse_contract(text, Contract, file="the draft")
    left = tuple(f"column {_shown(g.name)}: {'; '.join(g.reasons)}" for g in guesses if g.keys is None)
    return Draft(text, assumed, left)


def _check_there(frame: pd.DataFrame, target: str, wishes: Wishes, path: Path) -> None:
    """Raise BadInput where the target, or a column that is wished for, is not in the file."""
    if target not in frame:
        names = ", ".join(map(str, frame.columns))
        near = nearest_name(target, map(str, frame.columns))
        meant = f"Did you mean {near!r}? " if near else ""
        raise BadInput(f"there is no column {target!r}.", file=path, remedy=f"{meant}There are: {names}.")
    wishes.check([str(column) for column in frame.columns], path)


def _with_anything(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that say more than one thing: a number of the row alone is none."""
    texts = frame.astype("string").apply(lambda cells: cells.str.strip())
    said = (texts.notna() & (texts != "")).sum(axis=1)
    return frame[(said > 1) | (frame.shape[1] < MOST_EMPTY)].reset_index(drop=True)


def _guessed(series: pd.Series, settled: Settled, wishes: Wishes) -> Guess:
    """Guess a column as a person wishes it, else from its cells."""
    name = str(series.name)
    if wished(name, wishes.ignore):
        return Guess(name, {"role": IGNORE}, ["ignored, as you said"])
    if name in settled.questions:
        return Guess(
            name, None, [f"left out: {settled.questions[name]}: write it as it is meant in the file"]
        )
    guess = guess_column(
        series,
        nominal=wished(name, wishes.nominal),
        audit=wished(name, wishes.audit),
        notation=settled.notations.get(name),
    )
    if guess.keys is not None and wished(name, wishes.leak):
        guess.keys = {k: v for k, v in guess.keys.items() if k != "nullable"} | {"role": "leak"}
        guess.reasons.append("leak, as you said")
    return guess


def _settle_roles(
    guesses: list[Guess], frame: pd.DataFrame, wanted: TargetGuess, target: str, wishes: Wishes
) -> None:
    """Find the score and the leaks among the features."""
    if wanted.score:
        score = next(g for g in guesses if g.name == wanted.score)
        _as_score(score, "the target's classes are cut from it")
    strengths = {g.name: _strength(g, frame, wanted) for g in guesses if g.role == "feature" and g.keys}
    for guess in guesses:
        if guess.name in strengths and not wished(guess.name, wishes.nominal):
            _judge(guess, strengths[guess.name], frame, wanted, target)


def _accumulate(guess: Guess) -> None:
    """Let a feature accumulate that sounds so and holds numbers from 0 on."""
    keys = guess.keys or {}
    if sounds_counted(guess.name) and keys.get("kind") in ("integer", "number") and keys.get("min", -1) >= 0:
        guess.keys = {**keys, "min": 0, "accumulates": True}
        reason = "accumulates, by its name: it grows over the period, and this file has the whole period's"
        guess.reasons.append(reason)


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


def _strength(guess: Guess, frame: pd.DataFrame, wanted: TargetGuess, leaves: int = LEAVES) -> LeakageScore:
    cells = texts_of(frame[guess.name])
    numbers, wrong = to_numbers(cells)
    if (guess.keys or {}).get("kind") == "date":
        days = pd.to_datetime(cells.str[:10], format="ISO8601", errors="coerce")
        numbers, wrong = (days - pd.Timestamp(0)).dt.days.astype(float), np.zeros(1, dtype=bool)
    if wrong.any():
        codes = pd.Categorical(cells).codes
        numbers = pd.Series(np.where(codes < 0, np.nan, codes))
    return leakage_score(guess.name, numbers.to_numpy()[:, None], wanted.y, wanted.labels, leaves)


def _judge(guess: Guess, score: LeakageScore, frame: pd.DataFrame, wanted: TargetGuess, target: str) -> None:
    """Make a column that gives the class away the score that it is cut from, or a leak."""
    written, wrong = to_numbers(texts_of(frame[guess.name]))
    numbers = within_reach(written)
    alike = _stem(guess.name) == _stem(target) and guess.name != target
    near = wanted.score and not wrong.any() and abs(_rank(numbers, frame[wanted.score])) >= FOLLOWS_SCORE
    if score.gives_away and not wrong.any() and _follow(wanted, guess.name, numbers.to_numpy()):
        _as_score(guess, "the classes follow from it")
    elif score.gives_away or (alike and (near or score.explained >= STRONG)):
        named = "named like the target, and " if alike else ""
        guess.keys = {k: v for k, v in (guess.keys or {}).items() if k != "nullable"} | {"role": "leak"}
        guess.reasons.append(f"leak: {named}{score.evidence}")
    elif score.explained >= STRONG / 2:
        guess.reasons.append(f"look at it: {score.evidence}; known when a forecast is asked for?")


def _follow(wanted: TargetGuess, name: str, score: np.ndarray) -> bool:
    """Let the classes follow from a score, turned round where they rise as it falls, if they do."""
    if wanted.score or not wanted.keys.get("ordered", True):
        return False
    rule = rule_on(score, wanted.y, wanted.labels)
    key, sign = "at_least", 1
    if rule is None and (turned := rule_on(-score, wanted.y, wanted.labels)):
        if wanted.sure:
            rule, key, sign = turned, "at_most", -1
        else:
            wanted.turn_round()
            rule = rule_on(score, wanted.y, wanted.labels)
    if rule is None:
        return False
    wanted.keys[key], wanted.score = {label: sign * bound for label, bound in rule[0].items()}, name
    wanted.reasons.append(f"{key}: with these bounds {name} gives {rule[1]:.1%} of the classes")
    return True


def _rank(numbers: pd.Series, score: pd.Series) -> float:
    return float(numbers.corr(within_reach(to_numbers(texts_of(score))[0]), method="spearman"))


def _stem(name: str) -> str:
    return re.sub(r"[\d_\s]+", "", name).casefold()


def _thumb(known: list[Guess], frame: pd.DataFrame, wanted: TargetGuess) -> str | None:
    """Return the feature of which a rule of few steps tells most of rows held out; none where none does."""
    gains = {guess.name: _strength(guess, frame, wanted, STEPS).explained for guess in known}
    best = max(gains, key=gains.__getitem__)
    return best if gains[best] > 0 else None


def _name(path: Path) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    return words if words[:1].isalpha() else f"data_{words}".rstrip("_")


def _write(
    path: Path,
    rows: int,
    name: str,
    wanted: TargetGuess,
    guesses: list[Guess],
    thumb: str | None,
    assumed: Sequence[str],
) -> str:
    lines = [HEAD.format(file=path, rows=rows).rstrip(), *(f"# Assumed: {_shown(note)}" for note in assumed)]
    lines += [NAMED.format(name=name, title=flow(title_of(name))), "target:"]
    lines += [f"  # guess: {_shown(reason)}" for reason in wanted.reasons]
    lines += [f"  {key}: {flow(value)}" for key, value in wanted.keys.items()]
    if thumb is not None:
        about = "# guess: the feature that alone, in a rule of few steps, tells most of rows held out"
        lines += ["", about, f"rule_of_thumb: {flow(thumb)}"]
    lines += ["", "columns:"]
    for guess in guesses:
        lines += [f"  # guess: {_shown(reason)}" for reason in guess.reasons if guess.keys is not None]
        left_out = f"# {_shown(guess.name)}, {_shown('; '.join(guess.reasons))}"
        lines.append(f"  {flow(guess.name)}: {flow(guess.keys)}" if guess.keys else f"  {left_out}")
    return "\n".join(lines) + "\n"


def _shown(text: str) -> str:
    """Return a text for a comment: on one line, and of characters that YAML takes."""
    return "".join(c if c.isprintable() else " " for c in text)


def flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    text = text.removesuffix("\n").removesuffix("\n...")
    return text if text.isprintable() and not text.startswith("? ") else _quoted(value)


def _quoted(value: Any) -> str:
    """Return a value as JSON that is YAML too: no pair of surrogates stands for one character there."""
    return ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
