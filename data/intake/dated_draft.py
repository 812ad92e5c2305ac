"""Draft the contract of a folder of tables: which one has the students, how the others belong to them.

The student table is the one with the target. A key is the fewest of its columns that name each row once and
are found in other tables too. A table with a day in it is dated; one with a row for each of something is
joined to those that name it.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from data.contract.columns import RESERVED
from data.contract.contract import Contract, parse_contract
from data.errors import BadInput
from data.intake.columns import texts_of, title_of
from data.intake.draft import Draft, Wishes, draft_contract, flow
from data.rows.frames import to_numbers
from data.snapshots.snapshots import open_snapshots
from data.snapshots.tables import files_in, is_packed, members_of, unpack
from data.sources.files import READERS
from data.sources.reading import read_whole

MOST_KEYS = 3  # columns of a key
MOST_VALUES = 3  # columns of a table that something is taken from
STEPS = 7  # checkpoints
ISO = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[T ].*)?")
KNOWN = (
    r"known|record|enter|publish|graded|marked_on",
    r"submit|hand|return|score_?date",
    r"date|(?:^|_)day(?:$|_)|when|time|writ|sat_on",
    r"due|week",
)
"""Names of columns of days, the likeliest to be that on which a row became known first."""
SINCE = r"(?<!un)(?<!de)regist|enrol|join|entry|came|arriv"
UNTIL = r"unregist|deregist|left|leav|withdr|exit|until"
START, COHORT = r"start|begin|began|first_day", r"year|cohort|presentation|session|intake"
COUNTED = r"weight|credit|day|absen|miss|hour|minute|click|visit|count|number|times"
NO_VALUE = r"^id_|(?:^|_)(?:id|code|key|no|nr|number)$|^is_|banked"


@dataclass
class Found:
    """A table, its columns of days, and how it belongs to the students."""

    name: str
    file: str
    frame: pd.DataFrame
    days: list[str] = field(default_factory=list)
    key: tuple[str, ...] = ()
    joined: dict[str, tuple[str, ...]] = field(default_factory=dict)
    known: str = ""


def draft_tables(path: Path, target: str, name: str | None = None, wishes: Wishes | None = None) -> Draft:
    """Draft the contract of a folder or a ZIP of tables; raises BadInput where they say too little."""
    with _files(path) as files:
        if not files:
            remedy = f"It takes files ending in: {READERS}."
            raise BadInput("there is no table in it.", file=path, remedy=remedy)
        tables = {
            Path(file).stem: Found(Path(file).stem, file, read_whole(str(p)).frame)
            for file, p in files.items()
        }
        owners = [table for table in tables.values() if target in table.frame]
        if len(owners) != 1:
            found = ", ".join(f"{t.file} ({', '.join(map(str, t.frame.columns))})" for t in tables.values())
            said = "no table has" if not owners else f"{len(owners)} tables have"
            raise BadInput(f"{said} the column {target!r}.", file=path, remedy=f"There are: {found}.")
        students = owners[0]
        layout = _Layout(path, students, [t for t in tables.values() if t is not students])
        layout.find()
        flat = draft_contract(files[students.file], target, name or _name(path), wishes)
        text = layout.write(flat.text)
    contract = parse_contract(text, Contract, file="the draft")
    with open_snapshots(str(path), contract):
        return Draft(text, flat.assumed, flat.left_out)


@contextmanager
def _files(path: Path) -> Iterator[dict[str, Path]]:
    """Give the tables of a folder or a ZIP, by the names of their files."""
    if not is_packed(path):
        yield {name: p for name, p in files_in(path).items() if p.suffix.lower() in READERS.split()}
        return
    with TemporaryDirectory(prefix="gradecast-") as scratch, zipfile.ZipFile(path) as packed:
        names = [
            one for one in sorted(members_of(packed, path)) if Path(one).suffix.lower() in READERS.split()
        ]
        yield unpack(packed, names, Path(scratch), path)


def _name(path: Path) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    return words if words[:1].isalpha() else f"data_{words}".rstrip("_")


def is_day(cells: pd.Series, name: str, *, dates: bool) -> bool:
    """Tell whether a column holds days: dates, or whole numbers under a name that says so."""
    texts = texts_of(cells).dropna().astype(str)
    if texts.empty:
        return False
    if dates:
        return bool(texts.str.fullmatch(ISO).mean() > 0.9)
    if not any(re.search(pattern, name, re.IGNORECASE) for pattern in (*KNOWN, SINCE, UNTIL)):
        return False
    numbers = to_numbers(texts)[0].dropna()
    return bool(len(numbers) > 0.9 * len(texts) and (numbers % 1 == 0).all() and numbers.nunique() > 2)


class _Layout:
    """How the tables belong together."""

    def __init__(self, path: Path, students: Found, others: list[Found]) -> None:
        self.path, self.students, self.others = path, students, others
        self.reasons: list[str] = []
        every = [cells for table in (students, *others) for _, cells in table.frame.items()]
        self.dates = any(is_day(cells, "", dates=True) for cells in every)

    def find(self) -> None:
        """Find keys, days and joins; raises BadInput where no table is dated."""
        for table in (self.students, *self.others):
            table.days = [str(n) for n in table.frame if is_day(table.frame[n], str(n), dates=self.dates)]
        self.key = self._student_key()
        for table in self.others:
            self._place(table)
        self.dated = [table for table in self.others if table.known]
        if not self.dated:
            remedy = "Name the column of the day on which a row became known date, day, known or the like."
            raise BadInput("no table has days and says whose its rows are.", file=self.path, remedy=remedy)

    def _student_key(self) -> tuple[str, ...]:
        """Return the fewest columns that name each student once, those shared with most tables first."""
        frame = self.students.frame
        shared = {
            str(n): sum(n in t.frame for t in self.others) for n in frame if n not in self.students.days
        }
        names = sorted((n for n, tables in shared.items() if tables), key=lambda n: -shared[n])
        for size in range(1, MOST_KEYS + 1):
            for some in combinations(names, size):
                if not frame.duplicated(list(some)).any() and not frame[list(some)].isna().any(axis=None):
                    return some
        found = ", ".join(names) or "none"
        remedy = f"Columns that other tables have too: {found}. Keep one row for each student."
        raise BadInput("nothing names each student once.", file=self.students.file, remedy=remedy)

    def _place(self, table: Found) -> None:
        """Say how a table belongs to the students: by their key or a part of it, its own or a joined one."""
        there = {str(name) for name in table.frame}
        if set(self.key) <= there and not table.frame.duplicated(list(self.key)).any():
            self.students.joined[table.name] = self.key
            return
        for other in self.others:
            common = tuple(str(name) for name in other.frame if name in table.frame)
            several = table.frame.duplicated(list(common)).any() if common else False
            if other is table or not several or all(name in self.students.frame for name in common):
                continue
            if not other.frame.duplicated(list(common)).any():
                table.joined[other.name] = common
                there |= {str(name) for name in other.frame}
        table.key = tuple(name for name in self.key if name in there) or self._part(table)
        if table.key:
            table.known = _first(KNOWN, table.days)

    def _part(self, table: Found) -> tuple[str, ...]:
        """Return the columns of a table that students have too, as their course."""
        days = {*self.students.days, *table.days}
        return tuple(str(name) for name in self.students.frame if name in table.frame and name not in days)

    def write(self, flat: str) -> str:
        """Return the draft of the student table with the dated section and what is taken put in."""
        head, _, columns = flat.partition("\ncolumns:\n")
        taken, self.reasons = self._taken(), []
        dated = self._dated_lines()
        told = [self._cohort, self._start() if self.dates else ""]
        dropped = {*self.key, *self._ends.values(), *filter(None, told)} - self._kept
        kept = _without(columns, dropped)
        names = [re.match(r'\s*"?([^":]+)"?:', line) for line in kept if not line.strip().startswith("#")]
        there = {found[1] for found in names if found}
        thumb = f"rule_of_thumb: {flow(self._thumb(taken, there))}"
        head = re.sub(r"^rule_of_thumb:.*$", lambda _: thumb, head, flags=re.MULTILINE)
        head = re.sub("^(?:#.*\n)+", lambda found: _about(found[0], self.path), head, count=1)
        own = self.key[0] if len(self.key) == 1 else _free("student_of_course", there)
        lines = [head.rstrip(), "", *dated, "", "columns:"]
        lines += [f"  {flow(own)}: {{title: Student, role: id, kind: nominal}}", *kept, ""]
        lines += [f"  {flow(name)}: {flow(keys)}" for name, keys in taken.items() if name not in there]
        return "\n".join(lines) + "\n"

    @property
    def _kept(self) -> set[str]:
        """The parts of a key that say something of the student: a course, not who it is."""
        few = {n for n in self.key if self.students.frame[n].nunique() <= 20}
        return (few - {self._cohort}) if len(self.key) > 1 else set()

    def _with_joined(self, table: Found) -> dict[str, pd.Series]:
        """Return the columns of a table and those it is joined to."""
        found = {str(name): cells for name, cells in table.frame.items()}
        for other in self.others:
            if other.name in table.joined:
                found |= {str(n): cells for n, cells in other.frame.items() if str(n) not in found}
        return found

    @property
    def _ends(self) -> dict[str, str]:
        """The columns of the days between which a student is there."""
        days = [n for n, c in self._with_joined(self.students).items() if is_day(c, n, dates=self.dates)]
        until = _first((UNTIL,), days)
        since = _first((SINCE,), [day for day in days if day != until])
        return {key: name for key, name in (("from", since), ("until", until)) if name}

    @property
    def _cohort(self) -> str:
        several = [n for n, c in self._with_joined(self.students).items() if 1 < c.nunique() <= 20]
        return _first((COHORT,), several)

    def _dated_lines(self) -> list[str]:
        first, last = self._span()
        step = max(1, int(round(last / STEPS, -1 if last > STEPS * 10 else 0)))
        days = list(range(0, max(last, 2 * step) + 1, step))[: STEPS + 2]
        lines = ["dated:", "  # guess: the table with the target", f"  students: {flow(self.students.name)}"]
        lines += [
            "  # guess: the fewest columns that name each student once",
            f"  key: {flow(list(self.key))}",
        ]
        who = [name for name in self.key if self.students.frame[name].nunique() > 20]
        if len(self.key) > 1 and len(who) == 1 and self.students.frame[who[0]].duplicated().any():
            lines += ["  # guess: some are there more than once", f"  person: {flow(who[0])}"]
        if self._cohort:
            lines += ["  # guess: its newest is held out", f"  cohort: {{column: {flow(self._cohort)}}}"]
        if self.dates:
            lines += ["  # guess: the date of day 0", f"  start: {flow(self._start())}"]
        if self._ends:
            lines += ["  # guess: there to be forecast between these", f"  present: {flow(self._ends)}"]
        lines += [f"  # guess: records are known from day {first} to {last}"]
        lines += [f"  earliest: {min(0, first)}", f"  checkpoints: {flow(days)}", "  tables:"]
        return lines + self._table_lines()

    def _start(self) -> str:
        days = [n for n, c in self._with_joined(self.students).items() if is_day(c, n, dates=True)]
        found = _first((START, SINCE), days) or next(iter(days), "")
        if not found:
            remedy = "Give the student table, or one with a row a student or course, the date of day 0."
            raise BadInput(
                "days are dates, and nothing says when the year begins.", file=self.path, remedy=remedy
            )
        return found

    def _span(self) -> tuple[int, int]:
        """Return the first and about the last of the days on which rows became known."""
        found = []
        for table in self.dated:
            texts = texts_of(table.frame[table.known]).dropna()
            if self.dates:
                days = pd.to_datetime(texts.astype(str).str[:10], errors="coerce")
                found.append((days - days.min()).dt.days.dropna().to_numpy())
            else:
                found.append(to_numbers(texts)[0].dropna().to_numpy())
        every = np.concatenate(found)
        return (-400 if self.dates else int(every.min())), max(2, int(np.quantile(every, 0.95)))

    def _table_lines(self) -> list[str]:
        lines = []
        for table in (self.students, *self.others):
            needed = any(table.name in other.joined for other in (self.students, *self.others))
            keys: dict[str, Any] = {"from": table.file}
            if table.joined:
                keys["join"] = {other: list(columns) for other, columns in table.joined.items()}
            if table is self.students or needed:
                lines.append(f"    {flow(table.name)}: {flow(keys)}")
            if table.known:
                name = self._dated_name(table)
                own = {} if table.key == self.key else {"key": list(table.key)}
                lines.append(
                    f"    # guess: a row is known from {table.known} on: is that when it was entered?"
                )
                lines.append(f"    {flow(name)}: {flow({**keys, **own, 'known': table.known})}")
            elif not needed and table is not self.students:
                lines.append(
                    f"    # {table.file} was left out: it has no day, or does not say whose its rows are"
                )
        return lines

    def _taken(self) -> dict[str, dict[str, Any]]:
        """Propose what is taken from each dated table."""
        found: dict[str, dict[str, Any]] = {}
        names = {table.name: self._dated_name(table) for table in self.dated}
        for table in self.dated:
            name = names[table.name]
            found |= self._of_rows(table, name)
            for column in self._values(table)[:MOST_VALUES]:
                found |= _of_values(name, column)
            for other in table.joined:
                if other in names:
                    parts = [_word(f"{one}_so_far") for one in (names[other], name)]
                    title = f"{title_of(names[other])} without {title_of(name)}"
                    taken = {"formula": " - ".join(parts)}
                    found[_word(f"{name}_open")] = {"title": title, "kind": "integer", "taken": taken}
        return found

    def _of_rows(self, table: Found, name: str) -> dict[str, dict[str, Any]]:
        whole = {"kind": "integer", "min": 0}
        counted = {"title": f"{title_of(name)} so far", **whole, "taken": {"stat": "count", "of": name}}
        found = {_word(f"{name}_so_far"): counted}
        if table.key == self.key:
            title = f"Days since the last of {title_of(name)}"
            since = {"title": title, **whole, "nullable": True, "taken": {"stat": "days_since", "of": name}}
            found[_word(f"days_since_{name}")] = since
        return found

    def _dated_name(self, table: Found) -> str:
        needed = any(table.name in other.joined for other in (self.students, *self.others))
        return f"{table.name}_dated" if needed else table.name

    def _values(self, table: Found) -> list[str]:
        """List the columns of numbers of a table, and of those it is joined to, that may say something."""
        own = (*self.key, *table.key, *RESERVED, *(name for keys in table.joined.values() for name in keys))
        days = {day for one in (table, *self.others) for day in one.days}
        found = []
        for name, cells in self._with_joined(table).items():
            texts = texts_of(cells).dropna().drop_duplicates()
            barred = name in own or name in days or re.search(NO_VALUE, name, re.IGNORECASE) or "." in name
            if not barred and len(texts) > 1 and not to_numbers(texts)[1].any():
                found.append((name not in table.frame, name))
        return [name for _, name in sorted(found, key=lambda one: one[0])]

    def _thumb(self, taken: Mapping[str, Mapping[str, Any]], there: set[str]) -> str:
        means = [name for name, keys in taken.items() if keys["taken"].get("stat") == "mean"]
        return next(iter([*means, *taken, *sorted(there)]))


def _of_values(name: str, column: str) -> dict[str, dict[str, Any]]:
    """Propose the sum of what counts, and mean and last of everything else."""
    found = {}
    for stat in ("sum",) if re.search(COUNTED, column, re.IGNORECASE) else ("mean", "last"):
        keys = {"title": f"{title_of(name)}: {stat} of {column}", "kind": "number"}
        none = {} if stat == "sum" else {"nullable": True}
        taken = {"stat": stat, "of": f"{name}.{column}"}
        found[_word(f"{name}_{stat}_{column}")] = {**keys, **none, "taken": taken}
    return found


def _about(lines: str, path: Path) -> str:
    """Return the first lines of a draft with the place of all the tables in that of one."""
    lines = re.sub(
        "(?<=Drafted from ).*?(?=, [0-9,]+ rows)", lambda _: f"the tables of {path}", lines, count=1
    )
    return re.sub("(?<=check ).*(?= --contract)", lambda _: str(path), lines, count=1)


def _first(patterns: Sequence[str], names: Sequence[str]) -> str:
    """Return the first name that fits the first pattern that any fits; empty where none does."""
    fits = (name for pattern in patterns for name in names if re.search(pattern, name, re.IGNORECASE))
    return next(fits, "")


def _word(text: str) -> str:
    """Return a name that can stand in a formula."""
    return re.sub(r"\W+", "_", text).strip("_")


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(f"{name}_", taken)


def _without(columns: str, dropped: set[str]) -> list[str]:
    """Return the lines of columns without some, and without what is said of them and of an id."""
    lines, waiting = [], []
    for line in columns.splitlines():
        waiting.append(line)
        if line.strip().startswith("# guess"):
            continue
        named = re.match(r'\s*"?([^":]+)"?:', line)
        if not ((named and named[1] in dropped) or "role: id" in line):
            lines += waiting
        waiting = []
    return lines
