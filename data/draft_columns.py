"""Guess what a column is from its cells: kind, role, codes or range, each with what speaks for it."""

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from data.cells import to_numbers, within_reach
from data.columns import MISSING_TEXTS, RESERVED
from data.features import WHOLE
from data.students import count_again, names_students

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


def texts_of(series: pd.Series) -> pd.Series:
    """Return cells as stripped text, missing ones as none."""
    texts = series.astype("string").str.strip()
    return texts.mask(texts.isin([*MISSING_TEXTS])).astype(object)


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
