"""How a column writes its numbers: found from the whole column, and asked for where nothing decides.

1.234 is twelve hundred in one country and little more than one in the next. What a cell can mean under a
decimal point and under a decimal comma is compared over a column: a cell that can mean one thing only
decides for all, then the contract's range, then the file's other columns. What is left is a question.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from data.contract.columns import Column, Kind, Role, is_missing
from data.contract.contract import Contract
from data.rows.dates import DateEvidence, as_iso, latest_year
from data.rows.kinds import NumberRule, Reason, rule_of

POINT, COMMA = ".", ","
SPACES = " \N{NO-BREAK SPACE}\N{FIGURE SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}"
CURRENCIES = "€|\\$|£|¥|₹|zł|Kč|EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|CZK|HUF|R\\$|BRL"
SHORT_UNITS = "h|hr|hrs|min|kg|g|cm|km|m|pts?|yrs?|y|Std\\.?"
"""Units that may follow a number without a space."""
WORDS = r"[^\W\d_]{1,15}\.?(?:[ /][^\W\d_]{1,15}\.?){0,2}"
CELL = re.compile(
    rf"(?P<sign>[-+\N{{MINUS SIGN}}]?)(?P<before>{CURRENCIES})?[{SPACES}]?(?P<inner>[-+\N{{MINUS SIGN}}]?)"
    rf"(?P<body>[.,]?[0-9](?:[0-9.,'’{SPACES}]*[0-9])?[.,]?)(?P<exponent>[eE][-+]?[0-9]{{1,3}})?"
    rf"(?:[{SPACES}]?(?P<after>%|{CURRENCIES}|{SHORT_UNITS})|[{SPACES}](?P<words>{WORDS}))?"
)
GROUPS = re.compile(rf"[1-9][0-9]{{0,2}}(?:([,.'{SPACES}])[0-9]{{3}})(?:\1[0-9]{{3}})*")
ALL_PLAIN = re.compile(r"(?:[-+]?[0-9]+(?:\.(?:[0-9]{1,2}|[0-9]{4,}))?\n)*")
PERCENT = "%"
UNITS = (
    ("h", "hr", "hrs", "hour", "hours", "std", "stunde", "stunden", "heure", "heures", "hora", "horas"),
    ("min", "mins", "minute", "minutes", "minuten", "minuto", "minutos"),
    ("d", "day", "days", "tag", "tage", "jour", "jours", "día", "días", "dia", "dias"),
    ("y", "yr", "yrs", "year", "years", "jahr", "jahre", "an", "ans", "año", "años", "ano", "anos"),
    ("pt", "pts", "point", "points", "punkt", "punkte", "punto", "puntos", "ponto", "pontos"),
    (PERCENT, "percent", "prozent"),
    ("€", "eur", "euro", "euros"),
    ("$", "usd", "dollar", "dollars"),
    ("£", "gbp", "pound", "pounds"),
)
MIXED = "some have a decimal point and some a decimal comma"
WITH_NOTATION = (Kind.NUMBER, Kind.INTEGER, Kind.DATE)
MOST_NAMED = 5  # columns of one sentence
MOSTLY = 0.5
"""Share of a column's numbers that have a unit from which on it is the column's."""


@dataclass(frozen=True)
class Reading:
    """What one cell can mean: its digits under a decimal point and under a comma, and its unit."""

    point: str | None
    comma: str | None
    unit: str

    @property
    def ambiguous(self) -> bool:
        """Whether it means two different numbers."""
        return self.point is not None and self.comma is not None and self.point != self.comma


@lru_cache(maxsize=10_000)
def reading_of(text: str) -> Reading | None:
    """Return what a cell can mean; None where it is no number in any notation."""
    found = CELL.fullmatch(text.strip())
    if found is None or len(text) > 100 or (found["sign"] and found["inner"]):
        return None
    body = found["body"].replace("’", "'")
    sign = "-" if (found["sign"] or found["inner"]) in ("-", "\N{MINUS SIGN}") else ""
    both = (_digits(body, POINT), _digits(body, COMMA))
    if both == (None, None):
        return None
    point, comma = (None if d is None else f"{sign}{d}{found['exponent'] or ''}" for d in both)
    unit = found["before"] or found["after"] or found["words"] or ""
    return Reading(point, comma, unit if unit in CURRENCIES else unit.casefold().rstrip("."))


def _digits(body: str, mark: str) -> str | None:
    """Return a number's digits with a decimal point, if `mark` is its decimal mark."""
    whole, found, part = body.partition(mark)
    if part and not part.isdecimal():
        return None
    if whole and not whole.isdecimal():
        groups = GROUPS.fullmatch(whole)
        if groups is None or groups[1] == mark:
            return None
        whole = "".join(filter(str.isdecimal, whole))
    if not whole and not part:
        return None
    return f"{whole}.{part}" if found else whole


def same_unit(one: str, other: str) -> bool:
    """Tell whether two units are one: hour, hours, h and Stunden; hours and hours a week."""
    return _unit_word(one) == _unit_word(other)


@lru_cache(maxsize=1_000)
def _unit_word(unit: str) -> str:
    word = re.split("[ /]", unit.casefold().strip(), maxsplit=1)[0].rstrip(".")
    return next((words[0] for words in UNITS if word in words), word)


@dataclass(frozen=True)
class Notation:
    """How the cells of a column write numbers.

    decimal: the decimal mark. refused: marks of which nothing has decided what they are, so that a cell that
    could be two numbers by one of them is none. unit: what follows the numbers. percent_of_one: 85 % is 0.85.
    """

    decimal: str = POINT
    refused: str = ""
    unit: str = ""
    percent_of_one: bool = False
    special: bool = False
    """Whether there are cells that programs write otherwise."""
    order: str = ""
    """Of dates, which part is first; years of two digits are those up to `latest`."""
    latest: int = 0

    @property
    def reads_plainly(self) -> bool:
        """Whether a number that is written as programs write it is that number."""
        return not self.order and self.decimal == POINT and POINT not in self.refused and self.unit != PERCENT

    def plain(self, text: str) -> str:
        """Return a cell's number or date as programs write it; any other cell as it is, and as neither."""
        if self.order:
            return as_iso(text, self.order, self.latest)
        found = None if is_missing(text) else reading_of(text)
        if found is None:
            return text
        digits = found.point if self.decimal == POINT else found.comma
        bare_percent = self.unit == PERCENT and not found.unit and found.point != "0"
        if bare_percent or (found.ambiguous and any(mark in text for mark in self.refused)):
            return _no_number(text)
        if found.unit and not (self.unit and same_unit(found.unit, self.unit)):
            return text
        if digits is None:  # a decimal point among decimal commas is one; 3,5 among points is no number
            return found.point if found.point is not None else text
        if digits == text.strip().removeprefix("+"):
            return text
        return str(Decimal(digits) / 100) if self.percent_of_one else digits


def _no_number(text: str) -> str:
    """Return a text that is not taken for a number."""
    try:
        float(text)
    except ValueError:
        return text
    return f"{text} (unclear)"


@dataclass
class ColumnEvidence:
    """What the cells of one column have said so far of how they write numbers.

    points, commas: cells whose decimal mark is certain. unclear: a cell that could be two numbers, by the
    mark in it. fit: how many of those the contract allows, by decimal mark.
    """

    column: Column | None = None
    numbers: int = 0
    others: int = 0
    units: Counter[str] = field(default_factory=Counter)
    points: int = 0
    commas: int = 0
    unclear: dict[str, str] = field(default_factory=dict)
    fit: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    parted: str = ""
    """A cell that means one number only, which programs write otherwise."""

    def take(self, texts: Sequence[str | None]) -> None:
        """Look at more cells of the column."""
        known = [text for text in texts if text]
        joined = "\n".join([*known, ""])
        if joined.isascii() and ALL_PLAIN.fullmatch(joined):  # as most columns of most files are
            self.numbers += len(known)
            if POINT in joined:
                self.points += 1
            return
        for text, count in Counter(known).items():
            if not is_missing(text):
                self._take_one(text.strip(), count)

    def _take_one(self, text: str, count: int) -> None:
        found = reading_of(text)
        if found is None:
            self.others += count
            return
        self.numbers += count
        if found.unit:
            self.units[found.unit] += count
            self.examples.setdefault(found.unit, text)
        if found.ambiguous:
            self.unclear.setdefault(COMMA if COMMA in text else POINT, text)
            for mark, digits in ((POINT, found.point), (COMMA, found.comma)):
                self.fit[mark] += self._allows(digits) * count
        elif not found.unit and any(mark in text for mark in f"'’{SPACES},"):
            self.parted = self.parted or text
        if found.point is None:
            self.commas += count
            self.parted = self.parted or text
        elif found.comma is None:
            self.points += count

    def _allows(self, digits: str | None) -> bool:
        if self.column is None or digits is None:
            return True
        return not isinstance(NumberRule(self.column).read(digits), Reason)

    @property
    def is_plain(self) -> bool:
        """Whether all numbers so far are written as programs write them, beyond doubt."""
        return not (self.unclear or self.units or self.commas or self.parted)

    @property
    def mark(self) -> str:
        """The decimal mark that the column's own cells decide; nothing where none or both do."""
        return "" if bool(self.points) == bool(self.commas) else POINT if self.points else COMMA

    @property
    def unit(self) -> str:
        """The unit that most of the numbers have."""
        if not self.units:
            return ""
        unit = self.units.most_common(1)[0][0]
        alike = sum(count for other, count in self.units.items() if same_unit(other, unit))
        return unit if alike >= MOSTLY * self.numbers else ""


@dataclass(frozen=True)
class Settled:
    """What was found of the columns of a file: how each writes numbers, what to tell, what to ask."""

    notations: Mapping[str, Notation]
    notes: tuple[str, ...] = ()
    questions: Mapping[str, str] = field(default_factory=dict)


Evidence = ColumnEvidence | DateEvidence


def evidence_of(column: Column) -> Evidence:
    """Return what collects how a column writes its numbers or dates."""
    return DateEvidence(column) if column.dated else ColumnEvidence(column)


def notation_columns(contract: Contract) -> dict[str, Column]:
    """Return the columns of a contract that are read from a file and hold numbers or dates."""
    return {
        c.name: c for c in contract.columns.values() if c.kind in WITH_NOTATION and c.role is not Role.LEAK
    }


BAD_SHARE = 0.02
"""Part of a column's cells that may be no numbers in one of numbers."""
STRAY = 20
"""Numbers from which on a single cell that is none is taken for a slip."""


def slips_of(numbers: int) -> int:
    """Return how many cells of a column of so many numbers may be none."""
    return max(1, int(BAD_SHARE * numbers)) if numbers >= STRAY else 0


def settle_freely(columns: Mapping[str, Iterable[Iterable[str | None]]], delimiter: str) -> Settled:
    """Decide how columns write their numbers or dates that no contract speaks of, of those that are of such.

    Each column's texts come in parts.
    """
    found: dict[str, Evidence] = {}
    for name, parts in columns.items():
        numbers, dates = ColumnEvidence(), DateEvidence()
        for part in parts:
            texts = list(part)
            numbers.take(texts)
            dates.take(texts)
        if numbers.numbers and numbers.others <= slips_of(numbers.numbers):
            found[name] = numbers
        elif dates.dates and dates.others <= slips_of(dates.dates):
            found[name] = dates
    return settle(found, delimiter)


def with_fallbacks(settled: Settled, contract: Contract, names: Sequence[str]) -> Settled:
    """Return what was found of a file, with a note of what is taken where it says nothing."""
    notes = [
        f"column {c.name}: {c.instead} is taken where a cell is empty"
        if c.name in names
        else f"column {c.name}: it is not in the file, and {c.instead} is taken for it"
        for c in contract.fallbacks
    ]
    return replace(settled, notes=(*settled.notes, *notes))


def settle(found: Mapping[str, Evidence], delimiter: str) -> Settled:
    """Decide how each column writes numbers or dates; `delimiter` parts the cells of the file."""
    dates = {name: one for name, one in found.items() if isinstance(one, DateEvidence)}
    numbers = {name: one for name, one in found.items() if isinstance(one, ColumnEvidence)}
    both = [_settle_numbers(numbers, delimiter), _settle_dates(dates)]
    return Settled(
        {**both[0].notations, **both[1].notations},
        both[0].notes + both[1].notes,
        {**both[0].questions, **both[1].questions},
    )


def _settle_dates(found: Mapping[str, DateEvidence]) -> Settled:
    orders = {evidence.order for evidence in found.values()} - {""}
    of_file = orders.pop() if len(orders) == 1 else ""
    notations: dict[str, Notation] = {}
    said: dict[str, list[str]] = {}
    questions: dict[str, str] = {}
    for name, evidence in found.items():
        order, why = evidence.decide(of_file)
        if not order:
            questions[name] = why
            continue
        notations[name] = Notation(
            order=order, latest=latest_year(evidence.column), special=not evidence.is_plain
        )
        if sentence := evidence.sentence(order, why):
            said.setdefault(sentence, []).append(name)
    notes = tuple(f"{_listed(names)}: {sentence}" for sentence, names in said.items())
    return Settled(notations, notes, questions)


def _settle_numbers(found: Mapping[str, ColumnEvidence], delimiter: str) -> Settled:
    marks = {evidence.mark for evidence in found.values()} - {""}
    of_file = marks.pop() if len(marks) == 1 else ""
    notations: dict[str, Notation] = {}
    said: dict[str, list[str]] = {}
    questions: dict[str, str] = {}
    for name, evidence in found.items():
        notation, why = _decided(evidence, of_file, delimiter)
        if notation is None:
            questions[name] = why
            continue
        if wrong := _other_unit(evidence):
            questions[name] = wrong
        notations[name] = notation
        for sentence in _sentences(evidence, notation, why):
            said.setdefault(sentence, []).append(name)
    notes = tuple(f"{_listed(names)}: {sentence}" for sentence, names in said.items())
    return Settled(notations, notes, questions)


def _decided(found: ColumnEvidence, of_file: str, delimiter: str) -> tuple[Notation | None, str]:
    """Return a column's notation and why it is that, or nothing and what to ask."""
    decimal, refused, why = found.mark or of_file or POINT, "", ""
    if found.points and found.commas:
        decimal = POINT if found.points >= found.commas else COMMA
        refused, why = POINT + COMMA, MIXED
    elif not found.mark and found.unclear and found.fit.total():
        decimal, why = _of_unclear(found, of_file, delimiter)
        if not decimal:
            return None, why
        refused = "" if of_file else COMMA if decimal == POINT else POINT
        refused = "".join(mark for mark in refused if mark not in found.unclear)
    elif not found.mark and (found.unclear or not of_file):
        refused = COMMA if delimiter == COMMA and not found.unclear else POINT + COMMA
    unit, column = found.unit, found.column
    of_one = unit == PERCENT and column is not None and column.max is not None and column.max <= 1
    return Notation(decimal, refused, unit, of_one, not found.is_plain), why


def _of_unclear(found: ColumnEvidence, of_file: str, delimiter: str) -> tuple[str, str]:
    """Return the decimal mark of a column none of whose own cells is certain, and why; or what to ask."""
    most = max(found.fit.values())
    least = most / 2 if found.column is not None and found.column.whole else 1  # 1.001 is no whole number
    possible = {mark for mark in (POINT, COMMA) if found.fit[mark] >= least}
    if of_file in possible:
        return of_file, "as the other columns have it"
    if len(possible) == 1 and not of_file:
        return possible.pop(), "for the contract's range allows nothing else"
    if delimiter == COMMA and COMMA not in found.unclear and not of_file:
        return POINT, "for commas part the cells"
    text = next(iter(found.unclear.values()))
    reading = reading_of(text)
    both = sorted({reading.point or "", reading.comma or ""}) if reading else []
    return "", f"{text!r} could be {' or '.join(both)}, and nothing in the file decides which"


def _other_unit(found: ColumnEvidence) -> str:
    """Return what to ask where the cells count in something else than the contract."""
    wanted = found.column.unit if found.column else ""
    if not (wanted and found.unit) or same_unit(wanted, found.unit):
        return ""
    return f"{found.examples[found.unit]!r} is not in {wanted}, in which the contract counts"


def _sentences(found: ColumnEvidence, notation: Notation, why: str) -> Iterator[str]:
    """Say what was assumed of a column."""
    shown = next(iter(found.unclear.values()), found.parted)
    plain = notation.plain(shown) if shown else ""
    if why == MIXED:
        if found.unclear:
            yield f"{MIXED}, so that {shown!r} is not clear and no number"
    elif why and plain == shown:
        yield f"{shown!r} is {plain}, {why}"
    elif plain != shown and (notation.decimal == COMMA or shown == found.parted or POINT not in plain):
        mark = "a decimal comma" if notation.decimal == COMMA else "thousands parted"
        yield f"numbers are written with {mark}{', ' + why if why else ''}; {shown!r} is {plain}"
    if notation.unit:
        shown = found.examples[notation.unit]
        yield f"numbers are written with their unit; {shown!r} is {notation.plain(shown)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names[:MOST_NAMED])}{more}"


def read_alone(column: Column, text: str) -> Any:
    """Return what a cell means that stands in no column of others, as in a form."""
    rule = rule_of(column)
    if column.kind not in WITH_NOTATION:
        return rule.read(text)
    evidence = evidence_of(column)
    evidence.take([text])
    settled = settle({column.name: evidence}, COMMA)
    if settled.questions:
        return Reason.NOT_A_DATE if column.dated else Reason.NOT_A_NUMBER
    return rule.read(settled.notations[column.name].plain(text))
