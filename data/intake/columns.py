"""Guess what one column of a file is: its kind, role, codes and range, and why."""

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from data.contract.columns import LONGEST_LABEL, MISSING_MARKS, RESERVED, Column
from data.rows.dates import DAY, MONTH
from data.rows.frames import to_ids, to_numbers, within_reach
from data.rows.kinds import DAYS_A_YEAR, NO_WORDS, WHOLE, YES_WORDS, date_of
from data.rows.notation import Notation, Settled, settle_freely, slips_of

MOST_CODES = 20
"""Different texts up to which a column is taken for one of codes."""
MOST_LEVELS = 7
"""Whole numbers 0 or 1 to this at most are taken for levels."""
MOST_NAMES = 40
"""Whole numbers up to so many different ones that behave like names are taken for codes."""
SCALES = (
    ("none", "very low", "low", "moderate", "medium", "high", "very high"),
    ("never", "almost never", "rarely", "sometimes", "often", "usually", "almost always", "always"),
    ("very bad", "bad", "poor", "fair", "average", "good", "very good", "excellent"),
    ("negative", "neutral", "positive"),
    ("near", "moderate", "far"),
    ("tiny", "small", "medium", "large", "very large"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("beginner", "intermediate", "advanced", "expert"),
    ("f", "e", "e+", "d-", "d", "d+", "c-", "c", "c+", "b-", "b", "b+", "a-", "a", "a+"),
    (
        *("none", "no formal education", "primary", "primary school", "some high school", "high school"),
        *("secondary", "some college", "college", "associate's degree", "bachelor's", "bachelor's degree"),
        *("university", "postgraduate", "master's", "master's degree", "doctorate", "phd"),
    ),
    ("keine", "sehr niedrig", "niedrig", "gering", "mittel", "hoch", "sehr hoch"),
    ("nie", "selten", "manchmal", "oft", "häufig", "immer"),
    ("negativ", "neutral", "positiv"),
    ("sehr schlecht", "schlecht", "mittel", "gut", "sehr gut"),
    ("aucun", "faible", "bas", "moyen", "élevé", "haut", "très élevé"),
    ("jamais", "rarement", "parfois", "souvent", "toujours"),
    ("ninguno", "bajo", "medio", "alto", "muy alto"),
    ("nunca", "raramente", "a veces", "a menudo", "siempre"),
    ("nenhum", "baixo", "médio", "alto", "muito alto"),
    ("nunca", "raramente", "às vezes", "frequentemente", "sempre"),
)
"""Words that have an order, each row from little to much."""
AUDITED = re.compile(
    r"gender|\bsex|geschlecht|g[eé]nero|\bgenre\b|\brace|\brass|ethni|\betni|\braza|\bra[çc]a|relig|konfession"
    r"|national|nacional|staatsang|herkunft|\borigin\b|\borigen|origem|migra|disab|behinder|handicap|discapac"
    r"|defici[eê]n|special needs|language|sprache|\blangue|\blengua|idioma|l[ií]ngua|\bskin|country of birth"
    r"|geburtsland|pays de naiss|pa[ií]s de na",
    re.IGNORECASE,
)
"""Names of what an audit asks about, in English, German, French, Spanish and Portuguese."""
NAMING = re.compile(
    r"code|course|\bkurs|\bcurso|class(?!es)|klasse|school|schule|[ée]cole|escuela|escola|program|major|subject"
    r"|job|occup|beruf|profession|type|typ\b|mode|group|gruppe|region|district|city|zip|plz|qualification|status",
    re.IGNORECASE,
)
"""Names of columns whose numbers are names of something."""
MOST_SENSIBLE = 1e12
"""Numbers that are names are no larger."""
FREE_TEXT = 3
"""Words of a usual cell from which on it is free text."""
COUNTS = re.compile(
    r"absen|missed|truan|tardi|lateness|\blate\b|detention|incident|session|visit|log-?ins?\b|click",
    re.IGNORECASE,
)
"""Names of columns that may grow over the period."""
STUDENT_NAMES = re.compile(
    r"^(?:id|uuid)$|(?:student|pupil|learner|person|matriculation)[\w\s-]*(?:id|code|key|nr|no|number|uuid)$"
    r"|^(?:student|pupil|learner)$",
    re.IGNORECASE,
)
"""Names of columns that say who a student is."""
BIRTH = re.compile(
    r"birth|\bborn|\bdob\b|geboren|geburt|\bgeb\b|naissance|\bné|nacimiento|nascimento|nascido", re.IGNORECASE
)
"""Names of columns that say when somebody was born."""
ROOM = 5
"""Years that students of another year may be younger or older than those of the file."""
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


def notations_of(frame: pd.DataFrame, delimiter: str) -> Settled:
    """Find how the columns of a file write their numbers and dates, of those that are of such."""
    texts = {str(name): frame[name].dropna() for name in frame if frame[name].dtype.kind not in "iufb"}
    return settle_freely({name: [map(str, cells)] for name, cells in texts.items()}, delimiter)


def guess_column(
    series: pd.Series, *, nominal: bool = False, audit: bool = False, notation: Notation | None = None
) -> Guess:
    """Guess one column that is not the target; a person may have said that it holds names, or is to audit.

    The notation is how its numbers or dates were written before they were read.
    """
    name, cells = str(series.name), texts_of(series)
    if name in RESERVED or not name.strip():
        return Guess(name, None, ["left out: Gradecast keeps a column of its own under this name"])
    said = texts_of(series, none_is_said=True)
    values = said.nunique()
    if values < 2:
        return Guess(name, None, [f"left out: {values or 'no'} value in {len(cells):,} rows"])
    nominal = nominal or cells.nunique() < 2  # None is one of two labels
    audited = audit or AUDITED.search(name.replace("_", " ")) is not None
    guess = None if nominal else _of_values(name, cells, notation, audited=audited)
    if guess is None:
        cells = said
        guess = _text(
            name, cells, cells.dropna().value_counts(), MOST_NAMES if nominal or audited else MOST_CODES
        )
    if guess.keys is None:
        return guess
    if "none" in {str(code).casefold() for code in guess.keys.get("codes", {})}:
        guess.reasons.append("None is taken for a label: delete its code where it says that nothing is known")
    guess.keys = {"title": title_of(name) or name.strip(), **guess.keys}
    unit = notation.unit if notation else ""
    if unit and guess.keys["kind"] in ("number", "integer"):
        guess.keys["unit"] = unit
    coded = guess.keys["kind"] not in ("number", "integer", "date")
    if guess.role == "feature" and audited and (coded or audit):
        guess.keys["role"] = "audit"
        why = "as you said" if audit else "by its name"
        guess.reasons.append(f"audit, {why}: recorded for fairness, not seen by the model")
    _say_missing(guess, int(cells.isna().sum()), len(cells))
    return _that_holds(guess)


def _of_values(name: str, cells: pd.Series, notation: Notation | None, *, audited: bool) -> Guess | None:
    """Guess a column that may hold who a student is, dates or numbers."""
    guess = None if audited else _repeated_id(name, cells)
    return guess or _dates(name, cells, notation) or _numeric(name, cells, audited=audited)


def _say_missing(guess: Guess, missing: int, rows: int) -> None:
    if guess.keys is None or not missing:
        return
    if guess.role == "feature":
        guess.keys["nullable"] = True
        guess.reasons.append(f"nullable: {missing:,} of {rows:,} cells are empty")
    else:
        guess.reasons.append(f"{missing:,} cells are empty: those rows will be set aside")


def _that_holds(guess: Guess) -> Guess:
    """Return the guess, or none where no contract would have it."""
    longest = max(map(len, (guess.name, *map(str, (guess.keys or {}).get("codes", ())))))
    if longest > LONGEST_LABEL:
        return Guess(guess.name, None, [f"left out: a text of {longest:,} characters is no code or name"])
    try:
        Column.model_validate({"name": guess.name, **(guess.keys or {})})
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        return Guess(guess.name, None, [f"left out: {said}; rename it, or write its line by hand"])
    return guess


def names_students(name: str) -> bool:
    """Tell whether a column's name says that it holds who a student is."""
    return STUDENT_NAMES.search(name.strip()) is not None


def sounds_counted(name: str) -> bool:
    """Tell whether a column's name says that it is added up over a period."""
    return COUNTS.search(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name)) is not None


def count_again(cells: pd.Series) -> int:
    """Count the rows whose student has an earlier row, by raw cells of a column; 0 where it is a code."""
    ids = to_ids(cells, whole=False).dropna()
    return int(ids.duplicated().sum()) if ids.nunique() > FEW else 0


def texts_of(series: pd.Series, *, none_is_said: bool = False) -> pd.Series:
    """Return cells as stripped text, missing ones as none; "None" may be a label that is said."""
    texts = series.astype("string").str.strip()
    marks = MISSING_MARKS - {"none"} if none_is_said else MISSING_MARKS
    return texts.mask(texts.str.casefold().isin([*marks])).astype(object)


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
        f"id, by its name: {again:,} of {len(cells):,} rows are of a student who has an earlier row; those "
        "of one are kept together in split and folds. Without `several` only the first row of each is used"
    )
    keys = {"role": "id", "kind": "integer" if whole else "nominal", "several": True}
    return Guess(name, keys, [reason], again)


def _dates(name: str, cells: pd.Series, notation: Notation | None) -> Guess | None:
    """Guess a column of dates: the age where its name says birth, else the days since the first of them."""
    days = [day for day in map(date_of, cells.dropna()) if isinstance(day, date)]
    if notation is None or not notation.order or not days:
        return None
    first, last = min(days), max(days)
    keys: dict[str, Any] = {"kind": "date"}
    if notation.order in (DAY, MONTH):
        keys["day_first"] = notation.order == DAY
    if not BIRTH.search(name.replace("_", " ")):
        reason = f"date, {first} to {last}: the model sees the days since the first one; or put another day"
        return Guess(name, {**keys, "days_since": first}, [reason])
    at = date(datetime.now(UTC).year, 1, 1)
    ages = [(at - day).days / DAYS_A_YEAR for day in (last, first)]
    keys |= {"age_at": at, "min": max(0, int(ages[0]) - ROOM), "max": int(ages[1]) + 1 + ROOM}
    reason = f"date of birth, by its name, {first} to {last}: the model sees the age on {at}"
    return Guess(name, keys, [f"{reason}; put the day on which your year begins"])


def _numeric(name: str, cells: pd.Series, *, audited: bool) -> Guess | None:
    written, wrong = to_numbers(cells)
    numbers = within_reach(written)
    found = numbers.dropna()
    if not len(found) or wrong.sum() > slips_of(len(found)):
        return None
    beyond = int(written.notna().sum()) - len(found)
    guess = _of_numbers(name, numbers, found, audited=audited)
    if beyond:
        guess.reasons.append(f"{beyond:,} cells are beyond what a model reads: those rows will be set aside")
    if wrong.any():
        bad = str(cells[pd.Series(wrong, index=cells.index)].iloc[0])[:30]
        guess.reasons.append(
            f"{int(wrong.sum()):,} of its cells are no numbers, such as {bad!r}: mend them in the file"
        )
    return guess


def _of_numbers(name: str, numbers: pd.Series, found: pd.Series, *, audited: bool) -> Guess:
    low, high, whole = float(found.min()) + 0.0, float(found.max()) + 0.0, bool((found % 1 == 0).all())
    unique = found.is_unique and not numbers.isna().any() and whole
    if unique and (re.search(ID_NAMES, name) or found.is_monotonic_increasing) and len(found) > MOST_CODES:
        return Guess(name, {"role": "id", "kind": "integer"}, ["id: whole numbers, none of them twice"])
    levels = sorted(found.unique()) if whole else []
    if levels == [0, 1]:
        return Guess(name, {"kind": "boolean"}, ["boolean: 0 and 1; 1 is yes"])
    codes = codes_of([f"{level:.0f}" for level in levels]) if 1 < len(levels) <= MOST_NAMES else {}
    if codes and (audited or _are_names(name, levels, len(found))):
        reason = f"nominal: {len(levels)} whole numbers that behave like names; give labels"
        return Guess(name, {"kind": "nominal", "codes": codes}, [reason])
    if low in (0, 1) and len(levels) <= MOST_LEVELS and high - low == len(levels) - 1:
        reason = f"ordinal: {low:.0f} to {high:.0f}; give labels, and say nominal where they have no order"
        return Guess(name, {"kind": "ordinal", "codes": codes}, [reason])
    kind = "integer" if whole else "number"
    return Guess(name, {"kind": kind, **_range(low, high)}, [f"{kind}, range: {low:g} to {high:g} was seen"])


def _are_names(name: str, levels: list[float], rows: int) -> bool:
    """Tell whether whole numbers are names: few, each of many rows, with gaps that no count or mark has."""
    if len(levels) < 3 or rows < 5 * len(levels) or levels[-1] > MOST_SENSIBLE:
        return False
    lower = np.array(levels[: max(3, len(levels) // 2)])
    steps = np.gcd.reduce(np.diff(lower).astype(int))
    filled = len(lower) / ((lower[-1] - lower[0]) / steps + 1)
    gaps = filled < (0.9 if NAMING.search(name) else 0.2)
    return bool(gaps and levels[-1] >= MOST_CODES)


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


def _text(name: str, cells: pd.Series, counts: pd.Series, most: int) -> Guess:
    values = [str(value) for value in counts.index]
    lowered = {value.casefold() for value in values}
    if cells.is_unique and len(values) > MOST_CODES:
        return Guess(name, {"role": "id", "kind": "nominal"}, ["id: no text twice"])
    if len(lowered) < len(values):
        return Guess(name, None, ["left out: some of its texts differ in capitals alone; make them one"])
    if len(values) > most:
        return Guess(name, None, [_too_many(cells, values)])
    if len(values) == 2 and (ordered := _no_and_yes(values)):
        return Guess(name, {"kind": "boolean", "codes": codes_of(ordered)}, ["boolean: no first, then yes"])
    scale = next((scale for scale in SCALES if {_word(v) for v in values} <= set(scale)), None)
    if scale and len(values) > 2:
        ordered = sorted(values, key=lambda value: scale.index(_word(value)))
        return Guess(
            name, {"kind": "ordinal", "codes": codes_of(ordered)}, ["ordinal: its words have an order"]
        )
    reason = f"nominal: {len(values)} different texts"
    if len(values) > 2:
        reason += "; say ordinal, and put them in order, where they have one"
    return Guess(name, {"kind": "nominal", "codes": codes_of(sorted(values, key=_natural))}, [reason])


def _natural(value: str) -> tuple[int, str]:
    return (len(value), value) if value.isdecimal() else (MOST_CODES, value)


def _word(value: str) -> str:
    return value.casefold().replace("\N{MINUS SIGN}", "-").replace("_", " ")


def _no_and_yes(values: list[str]) -> list[str]:
    """Return two texts as no and yes, or nothing where they are not."""
    for no, yes in (values, values[::-1]):
        if no.casefold() in NO_WORDS and yes.casefold() in YES_WORDS:
            return [no, yes]
    return []


def _too_many(cells: pd.Series, values: list[str]) -> str:
    """Say what a column of many texts is, and what would bring it in."""
    mixed = int(to_numbers(cells)[1].sum())
    if 0 < mixed < 0.5 * len(cells):
        return f"left out: {len(values):,} different texts; {mixed:,} cells are no number: mend those"
    words = float(np.median([len(value.split()) for value in values]))
    kind = "free text" if words >= FREE_TEXT else f"{len(values):,} different texts"
    return f"left out: {kind}, too many for codes; make a few groups of them to bring it in"
