"""Hold the tables of dated records against a contract: what is missing, cannot be read, or says nothing."""

from collections.abc import Iterator

import pandas as pd

from data.contract.columns import Role
from data.contract.contract import Contract
from data.contract.dated import AS_OF, Dated
from data.contract.expressions import names_in
from data.errors import BadInput
from data.rows.frames import parse_cells
from data.rows.kinds import Reason
from data.rows.leakage import leakage_by_day
from data.rows.quarantine import quarantine
from data.snapshots.relations import columns_of
from data.snapshots.snapshots import open_snapshots
from data.snapshots.tables import staged
from data.sources.reading import SetAside, is_cohort
from data.words import percent, plural

LEAST_AT_A_CHECKPOINT = 100
"""Students below which what is found on one day says little."""


def tables_report(
    uri: str, contract: Contract, dated: Dated, bad_share: float
) -> tuple[list[str], list[str]]:
    """Return the problems and the notes of tables under a contract."""
    problems = [] if is_cohort(uri) else list(_absent(uri, contract, dated))
    if problems:
        return problems, []
    try:
        with open_snapshots(uri, contract) as found:
            raw, set_aside = pd.concat(found.read(), ignore_index=True), found.set_aside
    except BadInput as error:
        return [str(error)], []
    told = list(_bad_records(set_aside, bad_share)) if set_aside else []
    problems = [line for wrong, line in told if wrong] + _bad_cells(raw, contract)
    return problems, [line for wrong, line in told if not wrong] + list(_notes(raw, contract, dated))


def _absent(uri: str, contract: Contract, dated: Dated) -> Iterator[str]:
    """Say of each table that it is not there, or which columns it lacks."""
    columns: dict[str, list[str]] = {}
    for name, table in dated.tables.items():
        try:
            with staged(uri, dated.model_copy(update={"tables": {name: table}})) as files:
                found = columns_of(files[name])
                columns[name] = [table.rename.get(column, column) for column in found]
        except BadInput as error:
            yield f"table {name}: {error}"
    for name in columns:
        joined = [other for other in dated.tables[name].join if other in columns]
        there = {*columns[name], *(column for other in joined for column in columns[other])}
        for column in _needed(name, contract, dated):
            if column not in there:
                among = f" and those it is joined to ({', '.join(joined)})" if joined else ""
                yield f"table {name}: it has no column {column}{among}; there are {', '.join(sorted(there))}"


def _needed(name: str, contract: Contract, dated: Dated) -> list[str]:
    """List the columns that the contract asks a table for."""
    table = dated.tables[name]
    found = [*table.key, table.known, table.happened, *names_in(table.where or "0")]
    found += [key for keys in table.join.values() for key in keys]
    for one in contract.taken.values():
        if one.table == name:
            found += [*one.numbers, *(n for n in names_in(one.where or "0") if n != AS_OF)]
    if name == dated.students:
        cohort = dated.cohort.column if dated.cohort else None
        found += [*dated.key, dated.person, dated.start, dated.present.since, dated.present.until, cohort]
        roles = (Role.FEATURE, Role.AUDIT, Role.SCORE)
        own = [c for c in contract.columns.values() if c.role in roles and not c.taken and c.name != AS_OF]
        found += [column.name for column in own]
        found += [] if contract.target.derived else [contract.target.column]
    return list(dict.fromkeys(column for column in found if column))


def _bad_records(set_aside: SetAside, bad_share: float) -> Iterator[tuple[bool, str]]:
    """Say what was set aside, and whether it is to be mended: a few without a day may be what there is."""
    groups = set_aside.faults.groupby(["table", "column", "reason"], sort=False)
    for (table, column, reason), found in groups:
        rows, first = set_aside.rows[str(table)], found.iloc[0]
        shown = f" ({first['value']!r})" if isinstance(first["value"], str) else ""
        share = f"{len(found):,} of {rows:,} records ({percent(len(found) / rows, 1)})"
        many = len(found) > bad_share * rows
        stops = "; more than the pipeline lets pass" if many else ""
        said = f"{reason}, {share}, the first is row {first['row']}{shown}{stops}"
        yield many or reason != Reason.MISSING, f"table {table}, column {column}: {said}"


def _bad_cells(raw: pd.DataFrame, contract: Contract) -> list[str]:
    """Say what is wrong with the cells of snapshots, as it would be with those of any rows."""
    frame, not_numbers = parse_cells(raw, contract, labelled=True)
    _, faults = quarantine(frame, contract, not_numbers)
    return [
        f"column {column}: {reason}, in {len(found):,} of {len(raw):,} snapshots, {found['value'].iloc[0]!r}"
        for (column, reason), found in faults.groupby(["column", "reason"], sort=False)
    ]


def _notes(raw: pd.DataFrame, contract: Contract, dated: Dated) -> Iterator[str]:
    """Say how many are there on each day, what is always missing then, and what gives the class away."""
    yield "students on each day: " + ", ".join(
        f"{count:,} on day {day}" for day, count in raw[AS_OF].value_counts().sort_index().items()
    )
    for day, rows in raw.groupby(AS_OF):
        if len(rows) < LEAST_AT_A_CHECKPOINT:
            yield f"day {day}: {plural(len(rows), 'student')}, too few to judge a forecast by"
    for name in contract.taken:
        never = [str(day) for day, rows in raw.groupby(AS_OF) if rows[name].isna().all()]
        if len(never) == len(dated.checkpoints):
            yield f"column {name}: missing for everybody on every day; is its condition right?"
        elif never:
            yield f"column {name}: missing for everybody on day {', '.join(never)}"
    frame, _ = parse_cells(raw, contract, labelled=True)
    for score in leakage_by_day(frame, contract):
        if score.gives_away:
            why = contract.columns[score.column].strong
            remedy = f"declared: {why}" if why else "the pipeline stops there unless the contract says why"
            yield f"column {score.column}: {score.evidence}; {remedy}"
