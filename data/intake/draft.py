"""Draft a contract from a file: each column's kind and role, the target, what gives it away."""

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from data.contract.columns import MISSING_MARKS, RESERVED
from data.contract.contract import Contract, parse_contract
from data.contract.leakage import LeakageScore, leakage_score
from data.errors import BadInput
from data.rows.frames import to_ids, to_numbers, within_reach
from data.rows.kinds import WHOLE
from data.sources.reading import read_whole

MOST_CODES = 20
"""Different texts up to which a column is taken for one of codes."""
MOST_LEVELS = 7
"""Whole numbers 0 or 1 to this at most are taken for levels."""
YES_NO = ({"no", "yes"}, {"false", "true"}, {"n", "y"}, {"0", "1"}, {"off", "on"})
SECOND = frozenset({"yes", "true", "y", "1", "on"})
SCALES = (
    ("none", "low", "moderate", "medium", "high", "very high"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("very bad", "bad", "poor", "fair", "good", "very good", "excellent"),
)
AUDITED = "gender|sex|race|ethnic|relig|national|migra|disab|language|skin|country of birth"
STUDENT_NAMES = re.compile(
    r"^(?:id|uuid)$|(?:student|pupil|learner|person|matriculation)[\w\s-]*(?:id|code|key|nr|no|number|uuid)$"
    r"|^(?:student|pupil|learner)$",
    re.IGNORECASE,
)
"""Names of columns that say who a student is."""
FEW = 7
"""Different values up to which a column of such a name may say something else: yes and no, or a level."""
ID_NAMES = r"(?:^|[_\s])(?:id|code|key|nr|no|number|uuid)$|[a-z]I[Dd]$|^(?:student|pupil)$"


@dataclass
class Guess:
    """One column of the draft: its keys in a contract, or none where it is left out, and the reasons."""

    name: str
    keys: dict[str, Any] | None
    reasons: list[str] = field(default_factory=list)
    again: int = 0
    """Rows whose student has an earlier row, of an id that repeats."""

    @property
    def role(self) -> str:
        """Return the role that the draft gives."""
        return str((self.keys or {}).get("role", "feature"))


def guess_column(series: pd.Series) -> Guess:
    """Guess one column that is not the target."""
    name, cells = str(series.name), texts_of(series)
    if name in RESERVED or not name:
        return Guess(name, None, ["left out: Gradecast keeps a column of its own under this name"])
    counts = cells.dropna().value_counts()
    if len(counts) < 2:
        return Guess(name, None, [f"left out: {len(counts) or 'no'} value in {len(cells):,} rows"])
    guess = _repeated_id(name, cells) or _numeric(name, cells) or _text(name, cells, counts)
    missing = int(cells.isna().sum())
    if guess.keys is None:
        return guess
    guess.keys = {"title": title_of(name), **guess.keys}
    coded = guess.keys["kind"] not in ("number", "integer")
    if guess.role == "feature" and coded and re.search(AUDITED, name, re.IGNORECASE):
        guess.keys["role"] = "audit"
        guess.reasons.append("audit, by its name: recorded for fairness, not seen by the model")
    if missing and guess.role == "feature":
        guess.keys["nullable"] = True
        guess.reasons.append(f"nullable: {missing:,} of {len(cells):,} cells are empty")
    elif missing:
        guess.reasons.append(f"{missing:,} cells are empty: those rows will be set aside")
    return guess


def names_students(name: str) -> bool:
    """Tell whether a column's name says that it holds who a student is."""
    return STUDENT_NAMES.search(name.strip()) is not None


def count_again(cells: pd.Series) -> int:
    """Count the rows whose student has an earlier row, by raw cells of a column; 0 where it is a code."""
    ids = to_ids(cells, whole=False).dropna()
    return int(ids.duplicated().sum()) if ids.nunique() > FEW else 0


def texts_of(series: pd.Series) -> pd.Series:
    """Return cells as stripped text, missing ones as none."""
    texts = series.astype("string").str.strip()
    return texts.mask(texts.str.casefold().isin([*MISSING_MARKS])).astype(object)


def title_of(name: str) -> str:
    """Return a name as words."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\s]+", " ", name).strip()
    return words[:1].upper() + (words[1:].lower() if not words[1:].isupper() else words[1:])


def codes_of(values: list[str]) -> dict[Hashable, str]:
    """Return values as codes, whole numbers as such, with a label each that a person will mend."""
    return {int(whole[1]) if (whole := WHOLE.fullmatch(v)) else v: _label(v) for v in values}


def _label(value: str) -> str:
    whole = WHOLE.fullmatch(value)
    return whole[1] if whole else value[:1].upper() + value[1:]


def _repeated_id(name: str, cells: pd.Series) -> Guess | None:
    """Guess an id that is there more than once: by its name, for its cells alone would be a feature's."""
    again = count_again(cells) if names_students(name) else 0
    if not again:
        return None
    numbers, wrong = to_numbers(cells)
    whole = not wrong.any() and bool((numbers.dropna() % 1 == 0).all())
    reason = (
        f"id, by its name: {again:,} of {len(cells):,} rows are of a student who has an earlier row; keep "
        "one row of each, for only the first is used, and where too many are left out the pipeline stops"
    )
    return Guess(name, {"role": "id", "kind": "integer" if whole else "nominal"}, [reason], again)


def _numeric(name: str, cells: pd.Series) -> Guess | None:
    written, wrong = to_numbers(cells)
    numbers = within_reach(written)
    found = numbers.dropna()
    if wrong.any() or not len(found):
        return None
    beyond = int(written.notna().sum()) - len(found)
    guess = _of_numbers(name, numbers, found)
    if beyond:
        guess.reasons.append(f"{beyond:,} cells are beyond what a model reads: those rows will be set aside")
    return guess


def _of_numbers(name: str, numbers: pd.Series, found: pd.Series) -> Guess:
    low, high, whole = float(found.min()), float(found.max()), bool((found % 1 == 0).all())
    unique = found.is_unique and not numbers.isna().any() and whole
    if unique and (re.search(ID_NAMES, name) or found.is_monotonic_increasing) and len(found) > MOST_CODES:
        return Guess(name, {"role": "id", "kind": "integer"}, ["id: whole numbers, none of them twice"])
    levels = sorted(found.unique()) if whole else []
    if levels == [0, 1]:
        return Guess(name, {"kind": "boolean"}, ["boolean: 0 and 1; 1 is yes"])
    if low in (0, 1) and len(levels) <= MOST_LEVELS and high - low == len(levels) - 1:
        codes = codes_of([f"{level:.0f}" for level in levels])
        reason = f"ordinal: {low:.0f} to {high:.0f}; give labels, and say nominal where they have no order"
        return Guess(name, {"kind": "ordinal", "codes": codes}, [reason])
    kind = "integer" if whole else "number"
    return Guess(name, {"kind": kind, **_range(low, high)}, [f"{kind}, range: {low:g} to {high:g} was seen"])


def _range(low: float, high: float) -> dict[str, float]:
    """Return a round range around what was seen; a narrow one far from 0 as it is."""
    if low > 0.5 * high:
        found = {"min": float(np.floor(low)), "max": float(np.ceil(high))}
    else:
        found = {"min": 0.0 if low >= 0 else -_round_up(-low), "max": _round_up(high)}
    whole = max(map(abs, found.values())) < 2**53
    plain = {key: int(value) if whole and value % 1 == 0 else value for key, value in found.items()}
    return plain if found["min"] < found["max"] else {}


def _round_up(value: float) -> float:
    """Return the next number of two digits that ends in 0 or 5; of one below 0, 0."""
    if value <= 0:
        return 0.0
    step = 5 * 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(round(np.ceil(value / step - 1e-9) * step, 6))


def _text(name: str, cells: pd.Series, counts: pd.Series) -> Guess:
    values = [str(value) for value in counts.index]
    lowered = {value.casefold() for value in values}
    if cells.is_unique and len(values) > MOST_CODES:
        return Guess(name, {"role": "id", "kind": "nominal"}, ["id: no text twice"])
    if len(lowered) < len(values):
        return Guess(name, None, ["left out: some of its texts differ in capitals alone; make them one"])
    if len(values) > MOST_CODES:
        mixed = to_numbers(cells)[1]
        odd = f"; {mixed.sum():,} cells are no number" if 0 < mixed.sum() < 0.5 * len(cells) else ""
        return Guess(name, None, [f"left out: {len(values):,} different texts{odd}"])
    if any(lowered == pair for pair in YES_NO):
        ordered = sorted(values, key=lambda value: value.casefold() in SECOND)
        return Guess(name, {"kind": "boolean", "codes": codes_of(ordered)}, ["boolean: no first, then yes"])
    scale = next((scale for scale in SCALES if lowered <= set(scale)), None)
    if scale and len(values) > 2:
        ordered = sorted(values, key=lambda value: scale.index(value.casefold()))
        return Guess(
            name, {"kind": "ordinal", "codes": codes_of(ordered)}, ["ordinal: its words have an order"]
        )
    reason = f"nominal: {len(values)} different texts"
    if len(values) > 2:
        reason += "; say ordinal, and put them in order, where they have one"
    return Guess(name, {"kind": "nominal", "codes": codes_of(sorted(values))}, [reason])


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
    cells = texts_of(series)
    values = [str(value) for value in cells.dropna().unique()]
    if len(values) < 2:
        raise BadInput(
            "the target has fewer than two values.", column=str(series.name), remedy="Name another."
        )
    written, wrong = to_numbers(cells)
    numbers = within_reach(written)
    if not wrong.any() and len(values) > MOST_CODES / 2:
        return _cut(str(series.name), numbers)
    if len(values) > MOST_CODES:
        reason = f"{len(values):,} different texts are too many classes."
        raise BadInput(reason, column=str(series.name), remedy="Name the column with the class, or a number.")
    return _classes(str(series.name), cells, values, numeric=not wrong.any())


def _cut(name: str, score: pd.Series) -> TargetGuess:
    bound = _simplest(float(score.quantile(0.35)), float(score.quantile(0.55)))
    keys = {
        "column": f"{name} band",
        "title": title_of(name),
        "derive": f"{name} >= {bound}" if " " not in name else "at_least",
        **({"at_least": {"Reached": float(bound)}} if " " in name else {}),
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
    place = {value: position for position, value in enumerate(values)}
    return TargetGuess(keys, cells.map(place).fillna(-1).astype(int).to_numpy(), reasons)


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
    frame = read_whole(str(path)).frame
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


def _strength(guess: Guess, frame: pd.DataFrame, wanted: TargetGuess) -> LeakageScore:
    cells = texts_of(frame[guess.name])
    numbers, wrong = to_numbers(cells)
    if wrong.any():
        codes = pd.Categorical(cells).codes
        numbers = pd.Series(np.where(codes < 0, np.nan, codes))
    return leakage_score(guess.name, numbers.to_numpy()[:, None], wanted.y, wanted.labels)


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


def _thumb(known: list[Guess], strengths: dict[str, LeakageScore]) -> str:
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
