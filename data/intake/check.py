"""Hold a file against a contract and say everything that is wrong with either, at once."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from data.contract.columns import ELAPSED, Target
from data.contract.contract import Contract, find_contract, load_contract
from data.contract.leakage import leakage_score
from data.contract.yaml_files import read_text
from data.errors import BadInput
from data.intake.columns import count_again, names_students, sounds_counted
from data.intake.dated_check import tables_report
from data.rows.frames import matrix, needed_columns, parse_cells, target_index, to_numbers, with_fallbacks
from data.rows.kinds import Reason
from data.rows.quarantine import ONE_ROW, quarantine
from data.rows.records import feature_space
from data.rows.spreadsheets import FIRST_ROW, did_you_mean, nearly
from data.snapshots.tables import are_tables
from data.sources.files import as_plain, settled_of
from data.sources.reading import WholeFile, is_cohort, read_whole
from data.words import listed

LEAST_OF_A_CLASS = 13
"""Rows that give the train split, four fifths of them, two for each of the five folds."""
TEST_SHARE = 0.2
"""Part of the rows that is held out, unless the pipeline is told otherwise."""
FIGURE = 10
"""Held-out rows of a class from which on it has figures of its own."""
COMPARED = 30
"""Held-out rows from which on two models are compared."""
FEW = 150
"""Rows below which little can be claimed of a model."""
PARTS = 5
"""Parts that a column of numbers is cut into, to be held against the class."""
MOST_CHANCE = 0.2
"""Chance that so much is found where there is nothing, from which on a column is named."""
SOME = 8
"""Names of a sentence."""
RARE = 0.2
"""Share of students at risk below which costs are asked for."""
BAD_SHARE = 0.15
"""Share of bad rows above which the pipeline stops, unless it is told otherwise."""


@dataclass
class Report:
    """What was found: problems, each of which is to be mended, and notes, which need not be."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(uri: str, contract_name: str) -> Report:
    """Return every problem of a contract and of a file to train on under it."""
    report = Report()
    contract, whole = None, None
    try:
        contract = load_contract(contract_name)
        report.notes += _not_read_through(contract_name)
    except BadInput as error:
        report.problems.append(str(error))
    if contract is not None and contract.dated and (are_tables(uri) or is_cohort(uri)):
        report.problems, report.notes = tables_report(uri, contract, contract.dated, BAD_SHARE)
        return report
    try:
        whole = read_whole(uri)
    except BadInput as error:
        report.problems.append(str(error))
    if contract is not None and whole is not None:
        _check_data(_as_read(whole, contract, report), contract, report)
    return report


def _not_read_through(contract_name: str) -> Iterator[str]:
    """Count the guesses of a draft that nobody has read: whoever reads one deletes its mark."""
    guesses = read_text(find_contract(contract_name)).count("# guess")
    if guesses:
        left = f"{guesses} guesses are" if guesses > 1 else "one guess is"
        yield f"{left} not read through: read each one, mend the line under it, and delete its mark"


def _as_read(whole: WholeFile, contract: Contract, report: Report) -> pd.DataFrame:
    """Return the cells as the pipeline takes them, and note what it assumes of them."""
    frame = whole.frame.set_axis(contract.named(whole.frame.columns), axis=1)
    if whole.header is None:
        return frame
    report.notes += whole.header.notes
    try:
        header = replace(whole.header, names=contract.named(whole.header.names))
        settled = settled_of(whole.path, header, contract)
    except BadInput as error:
        report.problems.append(str(error))
        return frame
    report.notes += settled.notes
    return as_plain(frame, settled.notations)


def _check_data(raw: pd.DataFrame, contract: Contract, report: Report) -> None:
    names = [str(name) for name in raw.columns]
    missing = [name for name in needed_columns(contract, labelled=True) if name not in names]
    if len(missing) > len(needed_columns(contract, labelled=True)) / 2:
        found = (
            f"{len(missing)} columns of the contract are not in the file, which has {listed(names[:SOME])}"
        )
        report.problems.append(f"{found}{' and others' if len(names) > SOME else ''}: is it the right one?")
        return
    _check_columns(names, missing, contract, report)
    report.problems += _students_again(raw, contract)
    _check_accumulating(raw, contract, report)
    whole = with_fallbacks(raw.assign(**dict.fromkeys(missing)), contract)
    frame, not_numbers = parse_cells(whole, contract, labelled=True)
    clean, faults = quarantine(frame, contract, not_numbers)
    faults = faults[~faults["column"].isin(missing)]
    known = len(frame) - _without_outcome(faults, len(frame), report)
    faults = faults[faults["reason"] != Reason.WAITING]
    report.problems += _fault_lines(faults, raw, contract)
    bad = faults["row"].nunique()
    if bad:
        report.notes.append(f"{bad:,} of {known:,} rows ({bad / known:.1%}) would be set aside")
    if bad > BAD_SHARE * known:
        report.problems.append(f"more than {BAD_SHARE:.0%} of the rows are bad: the pipeline stops there")
    if not missing:
        _check_learning(clean, contract, report)


def _check_columns(names: list[str], missing: list[str], contract: Contract, report: Report) -> None:
    near = nearly(missing, names, contract)
    report.problems += [
        f"column {name}: it is not in the file"
        + (f". {did_you_mean(name, near[name])}" if name in near else "")
        for name in missing
    ]
    declared = {*contract.columns, *contract.ignored, contract.target.column}
    report.notes += [
        f"column {name}: not in the contract, and not used" for name in names if name not in declared
    ]


def _without_outcome(faults: pd.DataFrame, rows: int, report: Report) -> int:
    """Count the rows that wait for their outcome, and say so."""
    waits = int((faults["reason"] == Reason.WAITING).sum())
    if waits:
        found = f"{waits:,} of {rows:,} rows wait for their outcome"
        report.notes.append(f"{found}: they are not learned from, and not bad")
    return waits


def _check_accumulating(raw: pd.DataFrame, contract: Contract, report: Report) -> None:
    """Speak of what grows over the period: training wants its whole, and a name may say that more does."""
    if contract.accumulating and ELAPSED in raw:
        part = (to_numbers(raw[ELAPSED])[0] < 1).sum()
        if part:
            found = f"{part:,} of {len(raw):,} rows say that only a part of the period has passed"
            report.problems.append(f"column {ELAPSED}: {found}; train on records of the whole period")
    report.notes += [
        f"column {column.name}: its name says that it is added up; where it grows over the period, give it "
        "min: 0 and accumulates: true"
        for column in contract.features
        if not column.coded and not column.accumulates and sounds_counted(column.name)
    ]


def _fault_lines(faults: pd.DataFrame, raw: pd.DataFrame, contract: Contract) -> Iterator[str]:
    for (column, reason), found in faults.groupby(["column", "reason"], sort=False):
        row, value = found.iloc[0][["row", "value"]]
        if reason == Reason.NOT_A_NUMBER:
            value = raw[column].iloc[row - FIRST_ROW]
        shown = "" if reason == Reason.MISSING else f" ({str(value)!r})"
        wanted = _wanted(contract, str(column), str(reason))
        remedy = f"; {ONE_ROW}" if reason == Reason.DUPLICATE else ""
        yield f"column {column}: {reason}{wanted}, {len(found):,} rows, the first is row {row}{shown}{remedy}"


def _students_again(raw: pd.DataFrame, contract: Contract) -> Iterator[str]:
    """Find students with several rows by a column that is not the contract's id."""
    own = contract.id.name if contract.id else None
    for name in raw.columns:
        again = count_again(raw[name]) if str(name) != own and names_students(str(name)) else 0
        if again:
            found = f"{again:,} of {len(raw):,} rows are of a student who has an earlier row"
            remedy = f"{ONE_ROW}, and give the column the role id"
            yield f"column {name}: {found}, and it is not the contract's id; {remedy}"


def _wanted(contract: Contract, name: str, reason: str) -> str:
    column = contract.columns.get(name)
    if reason == Reason.OUT_OF_RANGE and column is not None:
        low, high = (f"{end:g}" for end in column.limits)
        return f" {low} to {high}"
    if reason == Reason.UNKNOWN_CODE:
        codes = contract.target.classes if column is None else column.codes
        return f", known are {', '.join(map(str, codes))}"
    return ""


def _check_learning(clean: pd.DataFrame, contract: Contract, report: Report) -> None:
    """Find classes that cannot be learned, columns that say nothing, and those that say too much."""
    y, labels = target_index(clean, contract), contract.target.labels
    counts = np.bincount(y[y >= 0], minlength=len(labels))
    report.problems += [
        f"class {label}: {count} sound rows; training needs about {LEAST_OF_A_CLASS}"
        for label, count in zip(labels, counts, strict=True)
        if count < LEAST_OF_A_CLASS
    ]
    if (counts >= LEAST_OF_A_CLASS).all():
        report.notes += _what_can_be_claimed(dict(zip(labels, counts.tolist(), strict=True)))
    report.notes += _rare_risk(counts, contract.target)
    constant = [c.name for c in contract.features if clean[c.name].nunique(dropna=False) < 2]
    report.notes += [f"column {name}: the same value in every sound row" for name in constant]
    report.notes += [
        f"column {c.name}: nullable, but no cell is empty; what a model says of an empty one rests on nothing"
        for c in contract.features
        if c.nullable and clean[c.name].notna().all()
    ]
    if (counts > 0).sum() > 1:  # else there is nothing to tell apart, which is told already
        _check_columns_alone(clean, y, contract, report)


def _check_columns_alone(clean: pd.DataFrame, y: np.ndarray, contract: Contract, report: Report) -> None:
    """Name the columns that give the class away, and those that have nothing to do with it."""
    labels, space, features = contract.target.labels, feature_space(contract), matrix(clean, contract)
    silent = []
    for column, places in zip(contract.features, space.groups, strict=True):
        values = features[:, list(places)]
        silent += [column.name] if chance_of_none(values, y) > MOST_CHANCE else []
        score = leakage_score(column.name, values, y, labels)
        if score.gives_away:
            found = f"column {column.name}: {score.evidence}"
            if column.strong:
                report.notes.append(f"{found}; declared: {column.strong}")
            else:
                remedy = "give it the role leak, or say under `strong` why it is known in time"
                report.problems.append(f"{found}; {remedy}")
    if silent:
        which = f"column{'s' if len(silent) > 1 else ''} {listed(silent)}"
        report.notes.append(f"{which}: no connection with the class is to be seen in {len(y):,} rows")


def chance_of_none(values: np.ndarray, y: np.ndarray) -> float:
    """Return the p-value of Pearson's chi-squared test of a column, in fifths if it is long, and the class.

    Args:
        values: the column's floats (n, d).
        y: class positions (n,).
    """
    from scipy.stats import chi2_contingency  # a second to import

    one = values.argmax(axis=1) if values.shape[1] > 1 else values[:, 0]
    known = one[~np.isnan(one)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, PARTS + 1)[1:])) if len(known) else known
    parts = np.where(np.isnan(one), -1, np.searchsorted(edges, one))
    table = pd.crosstab(parts, y).to_numpy()
    return float(chi2_contingency(table).pvalue) if min(table.shape) > 1 else 0.0


def _what_can_be_claimed(rows: dict[str, int]) -> Iterator[str]:
    """Say for which stages there are few rows: the test split takes about a fifth of them."""
    total = sum(rows.values())
    tested = round(TEST_SHARE * total)
    if total < FEW:
        half = 1.96 * math.sqrt(0.25 / tested)
        about = f"{total} sound rows, of which about {tested} are held out"
        known = f"the share of right forecasts is known to within {half:.0%}"
        yield f"{about}: {known}; enough to try it out, not to rely on it, for which {FEW} rows are the least"
    if tested < COMPARED:
        yield (
            f"about {tested} rows are held out; {COMPARED} are needed to compare a challenger with a champion"
        )
    few = [f"{label} ({n})" for label, n in rows.items() if n < FIGURE / TEST_SHARE]
    if few:
        yield (
            f"class {listed(few)}: enough to be learned; for figures of its own {FIGURE} held-out rows are "
            f"needed, which about {FIGURE / TEST_SHARE:.0f} rows give"
        )


def _rare_risk(counts: np.ndarray, target: Target) -> list[str]:
    """Point at the costs where few students are at risk, of whom fewer would be called so."""
    rare = sum(n for label, n in zip(target.labels, counts.tolist(), strict=True) if label in target.at_risk)
    if target.costs is not None or rare >= RARE * counts.sum():
        return []
    remedy = "say under `costs` in the target what a missed student and a false alarm cost"
    share = f"{rare / counts.sum():.1%}"
    return [f"at risk: {share} of the sound rows, few of them more likely than not; {remedy}"]
