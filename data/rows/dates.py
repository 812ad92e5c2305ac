"""How a column writes its dates: in which order day and month stand, found from the whole column.

31.12.2025 can be read in one order only and decides for its column; 03/04/2025 cannot. Where no cell
decides, the contract does, then the file's other columns, then the range that the contract allows. What is
left is a question. Years of two digits are of the hundred years that end where the contract's day is.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache

from data.contract.columns import Column, is_missing
from data.rows.kinds import Reason, rule_of

DAY, MONTH, EITHER = "day first", "month first", "either"
"""Orders; `EITHER` takes what can be read in one order alone."""
CLOCK = r"(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?[AaPp][Mm]|Z|[+-][0-9]{2}:?[0-9]{2})?)?"
CELL = re.compile(rf"([0-9]{{1,4}})([./-]) ?([0-9]{{1,2}})\2 ?([0-9]{{1,4}}){CLOCK}")
ALL_ISO = re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}\n)*")
AHEAD, CENTURY = 50, 100


@lru_cache(maxsize=10_000)
def readings_of(text: str, latest: int) -> dict[str, str]:
    """Return the ISO dates that a cell can mean, by order; none where it is no date.

    A year of two digits is the last such year up to `latest`.
    """
    found = CELL.fullmatch(text.strip())
    if found is None:
        return {}
    first, second, third = found[1], found[3], found[4]
    if len(first) == 4:
        iso = _iso(first, second, third)
        return {DAY: iso, MONTH: iso} if iso else {}
    if len(third) == 2:
        third = str(latest - (latest - int(third)) % CENTURY)
    both = {DAY: _iso(third, second, first), MONTH: _iso(third, first, second)}
    return {order: iso for order, iso in both.items() if iso}


def _iso(year: str, month: str, day: str) -> str | None:
    if len(year) != 4 or len(day) > 2:
        return None
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


def as_iso(text: str, order: str, latest: int) -> str:
    """Return a cell's date as ISO 8601 has it, any other cell as it is, and one that is unclear too."""
    if is_missing(text):
        return text
    found = readings_of(text, latest)
    if order == EITHER:
        return found[DAY] if len(set(found.values())) == 1 and DAY in found else _only(found, text)
    return found.get(order, text)


def _only(found: Mapping[str, str], text: str) -> str:
    return next(iter(found.values())) if len(found) == 1 else text


def latest_year(column: Column | None) -> int:
    """Return the last year that two digits can mean in a column: nobody is born after the day of the age."""
    if column is not None and column.age_at is not None:
        return column.age_at.year
    day = column.days_since if column is not None else None
    return (day or datetime.now(UTC).date()).year + AHEAD


@dataclass
class DateEvidence:
    """What the cells of one column have said so far of how they write dates.

    dates, others: cells that are one and that are none. sure: cells that can be read in one order alone.
    points: cells that leave it open, with points between, as where the day is first.
    unclear: a cell that could be two dates. fit: how many of those the contract allows, by order.
    """

    column: Column | None = None
    dates: int = 0
    others: int = 0
    sure: Counter[str] = field(default_factory=Counter)
    points: int = 0
    unclear: str = ""
    fit: Counter[str] = field(default_factory=Counter)
    shown: str = ""
    """A cell that is not as ISO 8601 has it."""

    def take(self, texts: Sequence[str | None]) -> None:
        """Look at more cells of the column."""
        known = [text for text in texts if text]
        if ALL_ISO.fullmatch("\n".join([*known, ""])):
            self.dates += len(known)
            return
        for text, count in Counter(known).items():
            if not is_missing(text):
                self._take_one(text.strip(), count)

    def _take_one(self, text: str, count: int) -> None:
        found = readings_of(text, latest_year(self.column))
        if not found:
            self.others += count
            return
        self.dates += count
        if found.get(DAY) != text:
            self.shown = self.shown or text
        if len(found) == 1:
            self.sure[next(iter(found))] += count
        elif found[DAY] != found[MONTH]:
            self.unclear = self.unclear or text
            self.points += "." in text
            for order, iso in found.items():
                self.fit[order] += self._allows(iso) * count

    def _allows(self, iso: str) -> bool:
        return self.column is None or not isinstance(rule_of(self.column).read(iso), Reason)

    @property
    def is_plain(self) -> bool:
        """Whether all dates so far are as ISO 8601 has them."""
        return not self.shown

    @property
    def order(self) -> str:
        """The order that the contract or the column's own cells decide; nothing where none does."""
        if self.column is not None and self.column.day_first is not None:
            return DAY if self.column.day_first else MONTH
        if len(self.sure) == 2:
            return EITHER
        return next(iter(self.sure), "")

    def decide(self, of_file: str) -> tuple[str, str]:
        """Return the order and why it is that; no order where that must be asked. `of_file`: the others'."""
        if self.order == EITHER:
            return EITHER, "some with the day first and some with the month first"
        if self.order or not self.unclear:
            return self.order or EITHER, ""
        if self.points:
            return DAY, "as where points stand between"
        if of_file:
            return of_file, "as the other columns have it"
        possible = [order for order, count in self.fit.items() if count == max(self.fit.values())]
        if len(possible) == 1:
            return possible[0], "for the contract's range allows nothing else"
        found = readings_of(self.unclear, latest_year(self.column))
        both = f"{found[DAY]} or {found[MONTH]}"
        return "", f"{self.unclear!r} could be {both}, and nothing in the file decides which"

    def sentence(self, order: str, why: str) -> str:
        """Say what was assumed; nothing where all is as ISO 8601 has it."""
        if not self.shown:
            return ""
        iso = as_iso(self.shown, order, latest_year(self.column))
        if order == EITHER and not why:
            return f"{self.shown!r} is {iso}"
        if order == EITHER:
            open_ = f", so that {self.unclear!r} is not clear and no date" if self.unclear else ""
            return f"dates are written {why}{open_}"
        return f"dates are written {order}{', ' + why if why else ''}; {self.shown!r} is {iso}"
