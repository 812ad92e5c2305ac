"""A cell has one verdict and one reason, whichever door it comes in by."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.contract.columns import Column, Role
from data.errors import BadInput
from data.rows.frames import json_values, parse_cells
from data.rows.kinds import Reason, rule_of
from data.rows.notation import evidence_of, notation_columns, read_alone, settle
from data.rows.outcomes import from_cells, outcome_reader
from data.rows.quarantine import quarantine
from data.rows.records import record_adapter
from data.rows.spreadsheets import FIRST_ROW
from flows.scoring.forecasts import examine
from flows.scoring.rosters import open_roster
from serving.api import parse_json
from serving.cells import RowReader
from serving.pages.roster_rows import read_roster
from serving.pages.student import read_form
from serving.problems import Problem
from serving.sheet import Sheet
from tests.contract.files import read_records
from tests.contract.tiny import STUDENT, contract_of

TINY = contract_of()
ADAPTER = record_adapter(TINY)
RECORD = {"Student": "1", **{name: str(value) for name, value in STUDENT.items()}}
GRADED = {**RECORD, "Points": "1.5", "Grade": "2"}
ASKED = [*TINY.asked, *filter(None, [TINY.id])]
JUDGED = [*ASKED, *filter(None, [TINY.score]), TINY.target.as_column]
WILD = [
    "", " ", "NA", "nan", "NAN", "-nan", "nan(1)", "None", "null", "0", "1", " 1", "1 ", "\t1", "01", "1.0",
    "1.5", "31", "99.5", "-1", "+2", "1e1", "1e39", "1e400", "inf", "-Infinity", "+inf", "1_0", "1,5", ".5",
    "5.", "0x1", "0x1p3", "many", "=1", "true", "TRUE", "Yes", "much", "farm", "H", "ü", "٢", "1٢", "１",
    "1e-320", "-0", "-0.0", "1d5", "1f", "infinit", "1 2", "\xa01", "1\u2003", "S-1", "1.00", "007", "1.50",
    "1,234", "1.234", "85 %", "6 h", "1 234", "1'234.5", "3,25", "−2", "12.345,5", "€ 3", "ja", "?", "k. A.",
    "9" * 18, "9" * 19, "9" * 400, "-5", "0.0", "2.0", "A", "b", "3", "4.5", "North", "south ", '"', "a\nb",
    "2010-05-31", "31.05.2010", "05/31/2010", "5/6/2010", "6.5.10", "2010-02-30", "31.13.2010", "1900-01-01",
    "2010-05-31 00:00:00", "2010-05-31T08:15:00Z", "31-05-2010", "2010/5/31", "1.2.3", "20100531",
]  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=5)
CELL = st.sampled_from(WILD) | TEXTS | st.floats().map(repr) | st.integers(-40, 40).map(str)
CELLS = st.lists(CELL, min_size=1, max_size=6)
Cells = Sequence[str]
OPEN = "open"
"""The verdict on every cell of a file that leaves open what its numbers are."""
Verdict = Any
"""The value that was taken, None for nothing, or the Reason why none was."""


def by_rule(column: Column, cells: Cells, row: dict[str, str] = RECORD) -> list[Verdict]:
    """Read cells as those of a column of a file in which the row is repeated."""
    rule, numbers = rule_of(column), notation_columns(TINY)
    found = {name: evidence_of(numbers[name]) for name in {**row, column.name: ""} if name in numbers}
    if column.name not in found:
        return [rule.read(cell) for cell in cells]
    for name, evidence in found.items():
        evidence.take(cells if name == column.name else [row[name]] * len(cells))
    settled = settle(found, ",")
    if settled.questions:
        return [OPEN] * len(cells)
    return [rule.read(settled.notations[column.name].plain(cell)) for cell in cells]


def asked_or(read: Callable[..., list[Verdict]]) -> Callable[..., list[Verdict]]:
    """Let a door that asks what a file means have said so of every cell."""

    def door(column: Column, cells: Cells, *more: Any) -> list[Verdict]:
        try:
            return read(column, cells, *more)
        except (BadInput, Problem) as error:
            if "could be" not in f"{error}{getattr(error, 'errors', '')}":
                raise
            return [OPEN] * len(cells)

    return door


def by_form(column: Column, cells: Cells) -> list[Verdict]:
    read = [read_form([column], {column.name: cell}) for cell in cells]
    return [reason_in(faults[column.name]) if faults else record.get(column.name) for record, faults in read]


def rows_with(column: Column, cells: Cells, row: dict[str, str]) -> list[list[str]]:
    """Return a header, and the row with each of the cells in a column."""
    return [
        list({**row, column.name: column.name}),
        *(list({**row, column.name: cell}.values()) for cell in cells),
    ]


def as_csv(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def by_batch(column: Column, cells: Cells) -> list[Verdict]:
    sheet = Sheet(io.BytesIO(as_csv(rows_with(column, cells, RECORD)).encode()))
    (rows,) = sheet.chunks(len(cells) + 1)
    reader = RowReader(sheet.header, TINY, sheet.settled(TINY).notations)
    records, errors = reader.read(rows)
    assert reader.errors(rows) == errors
    sound = iter(records)
    return [reason_of(error, column) if error else next(sound).get(column.name) for error in errors]


def by_roster(column: Column, cells: Cells) -> list[Verdict]:
    text = as_csv(rows_with(column, cells, RECORD))
    roster = read_roster(Sheet(io.BytesIO(text.encode())), TINY)
    read = zip(roster.numbers, roster.records, strict=True)
    found: dict[int, Verdict] = {number: record.get(column.name) for number, record in read}
    troubles = {e.row: reason_in(e.message) for e in roster.troubles if e.column == column.name}
    assert len(troubles) == len(roster.troubles)
    found |= troubles  # of an optional column the row is forecast all the same
    return [found[n] for n in sorted(found)]


def by_score(column: Column, cells: Cells, folder: Path) -> list[Verdict]:
    path = folder / "roster.csv"
    path.write_text(as_csv(rows_with(column, cells, RECORD)), encoding="utf-8")
    (chunk,) = open_roster(str(path), TINY).chunks()
    frame, errors = examine(chunk, TINY)
    taken = zip(values_in(frame, column), errors, strict=True)
    return [reason_of(error, column) if error else value for value, error in taken]


def by_training(column: Column, cells: Cells, folder: Path) -> list[Verdict]:
    path = folder / "students.csv"
    path.write_text(as_csv(rows_with(column, cells, GRADED)), encoding="utf-8")
    frame, not_numbers = parse_cells(read_records(str(path), TINY).frame, TINY, labelled=True)
    faults = quarantine(frame, TINY, not_numbers)[1]
    of_rows = faults["reason"].isin([Reason.CONTRADICTION, Reason.DUPLICATE])
    own = faults[(faults["column"] == column.name) & ~of_rows].set_index("row")["reason"]
    assert own.index.is_unique
    values = values_in(frame, column)
    return [Reason(own[row]) if row in own else value for row, value in enumerate(values, start=FIRST_ROW)]


def by_json(column: Column, value: Any) -> Verdict:
    record = {name: rule_of(TINY.columns[name]).read(text) for name, text in RECORD.items()}
    try:
        return ADAPTER.validate_python({**record, column.name: value})[column.name]
    except ValidationError as error:
        (only,) = error.errors()
        assert only["loc"][0] == column.name
        return JSON_REASONS[only["type"]]


JSON_REASONS = {
    "finite_number": Reason.NOT_FINITE,
    "greater_than_equal": Reason.OUT_OF_RANGE,
    "less_than_equal": Reason.OUT_OF_RANGE,
    "int_type": Reason.NOT_WHOLE,
    "date_type": Reason.NOT_A_DATE,
    "date_range": Reason.OUT_OF_RANGE,
    "float_type": Reason.NOT_A_NUMBER,
    "unknown_code": Reason.UNKNOWN_CODE,
    "id_type": Reason.NOT_WHOLE,
    "id_range": Reason.OUT_OF_RANGE,
}


def by_outcome(column: Column, cell: str) -> tuple[bool, Any]:
    """Tell whether an outcome was taken, and what was: it is refused in JSON's own words."""
    row = {"Student": "1", **({} if column.name == "Points" else {"Grade": "2"}), column.name: cell}
    outcome, faults, _ = outcome_reader(TINY)(from_cells(row, TINY))
    field = {"Student": "student", "Points": "score"}.get(column.name, "outcome")
    return not faults, outcome.get(field)


def reason_of(error: str, column: Column) -> Reason:
    return Reason(error.removeprefix(f"{column.name}: "))


def reason_in(message: str) -> Reason:
    """Return the reason that a sentence for people gives."""
    if message.startswith(("This is still missing.", "Nothing is given.")):
        return Reason.MISSING
    if "isn’t one of the choices" in message:
        return Reason.UNKNOWN_CODE
    return Reason(re.search(r"” is ([a-z ]+)\.", message)[1])  # type: ignore[index]


def values_in(frame: pd.DataFrame, column: Column) -> list[Verdict]:
    if column.dated:
        return json_values(frame[column.name], column)
    return [None if v is None or v != v else v for v in frame[column.name].astype(object)]


def as_json(column: Column, cell: str) -> Any:
    """Return a cell as JSON says it: a number where the column has numbers, which not every text is."""
    if column.coded or column.dated or column.role is Role.ID:
        return cell
    try:
        parsed = parse_json(cell.strip().encode(), 1)
    except Problem:
        return None
    return parsed if isinstance(parsed, int | float) and not isinstance(parsed, bool) else None


def settled_for_json(column: Column, value: Any, verdict: Verdict) -> Verdict:
    """What JSON says otherwise, for it has types: 3.0 is not whole, and an int is as long as it is."""
    if column.whole and isinstance(value, float):
        return Reason.NOT_WHOLE
    if isinstance(value, int) and verdict is Reason.NOT_FINITE:
        return Reason.OUT_OF_RANGE if column.whole else Reason.NOT_A_NUMBER
    return verdict


def check_forecast(column: Column, cells: Cells, folder: Path) -> None:
    wanted = [Reason.MISSING if v is None and column.required else v for v in by_rule(column, cells)]
    for door in (by_batch, by_roster, partial(by_score, folder=folder)):
        found = asked_or(door)(column, cells)
        assert dict(zip(cells, found, strict=True)) == dict(zip(cells, wanted, strict=True)), door
    alone = [read_alone(column, cell) for cell in cells]
    wanted = [Reason.MISSING if one is None and column.required else one for one in alone]
    assert dict(zip(cells, by_form(column, cells), strict=True)) == dict(zip(cells, wanted, strict=True))
    for cell, verdict in zip(cells, [rule_of(column).read(cell) for cell in cells], strict=True):
        value = as_json(column, cell)
        if value is not None and verdict is not None:  # in JSON what is missing is null
            said = by_json(column, value)
            said = float(said) if column.whole and type(said) is int else said
            assert said == settled_for_json(column, value, verdict), cell


def check_training(column: Column, cells: Cells, folder: Path) -> None:
    """Ids and audit columns are wanted here."""
    may_be_missing = column.nullable or column.role is Role.SCORE
    verdicts = by_rule(column, cells, GRADED)
    wanted = [Reason.MISSING if v is None and not may_be_missing else v for v in verdicts]
    found = asked_or(by_training)(column, cells, folder)
    assert dict(zip(cells, found, strict=True)) == dict(zip(cells, wanted, strict=True))


def check_outcome(column: Column, cells: Cells, _: Path) -> None:
    for cell, verdict in zip(cells, [rule_of(column).read(cell) for cell in cells], strict=True):
        taken, value = by_outcome(column, cell)
        assert taken == (verdict is not None and not isinstance(verdict, Reason)), cell
        if taken:
            assert value == (TINY.target.classes[verdict] if column.name == "Grade" else verdict), cell


Check = Callable[[Column, Cells, Path], None]
DOORS = [
    *(pytest.param(check_forecast, column, id=f"forecast-{column.name}") for column in ASKED),
    *(pytest.param(check_training, column, id=f"training-{column.name}") for column in JUDGED),
    *(pytest.param(check_outcome, c, id=f"outcome-{c.name}") for c in JUDGED if c not in TINY.asked),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doors")


@pytest.mark.parametrize(("check", "column"), DOORS)
def test_cells_that_were_wild_once_have_one_verdict(check: Check, column: Column, folder: Path) -> None:
    check(column, WILD, folder)


@pytest.mark.parametrize(("check", "column"), DOORS)
@settings(max_examples=6, deadline=None)
@given(cells=CELLS)
def test_whatever_a_cell_says_every_door_says_the_same(
    check: Check, column: Column, folder: Path, cells: list[str]
) -> None:
    check(column, cells, folder)
