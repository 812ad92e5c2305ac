"""The drift gate: a parsed batch and the champion's reference in, a verdict out. It never raises for data."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from data.contract.contract import Contract
from data.rows.frames import matrix, target_index
from data.rows.spreadsheets import FIRST_ROW
from flows.drift_gate import (
    DRIFT,
    LEAST_ROWS,
    NO_LABELS,
    NO_REFERENCE,
    NOT_TESTED,
    PASS,
    TOO_FEW_ROWS,
    Finding,
)
from flows.drift_gate.columns import Compared, column_findings, evidently_runs
from flows.drift_gate.relation import (
    LOSS,
    RESIDUAL,
    Judged,
    Subgroup,
    group_finding,
    label_fault_in,
    label_finding,
    loss_finding,
    own_fault,
    residual_finding,
    subgroups,
    undecided,
)
from flows.drift_gate.samples import (
    BATCH_ROWS,
    QUARANTINE,
    Reference,
    draw,
    faults_text,
    indicator,
    sound_rows,
    tested,
)

COLUMNS_ALPHA, LOSS_ALPHA, RESIDUAL_ALPHA, GROUPS_ALPHA = 0.02, 0.005, 0.01, 0.005
"""False alarms allowed, 4 % in all; `python -m bench.drift_gate` measures them."""
OWN_ALPHA = 0.001
"""How often a champion that fits is said not to."""
RELATION_ROWS = 100_000
NEAREST = 3  # columns that are drawn where none has drifted
BODY, STYLE = (
    "<body>",
    "font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; text-align: left",
)

Champion = Callable[[np.ndarray], np.ndarray]


class DriftVerdict(BaseModel):
    """What the gate says of a batch: for the whole, for each column, and for the relation to the class."""

    model_config = ConfigDict(frozen=True)

    overall: str
    rows: int
    reference_rows: int
    columns: tuple[Finding, ...] = ()
    relation: tuple[Finding, ...] = ()
    reasons: tuple[str, ...] = ()
    compared: Any = Field(default=None, exclude=True, repr=False)
    """Of type Compared, for whoever wants charts."""

    @property
    def label_fault(self) -> str:
        """Say why the labels cannot be right; "" where they may be."""
        return label_fault_in(self.relation)


def gate(
    batch: pd.DataFrame,
    bad: pd.DataFrame,
    reference: Reference | None,
    champion: Champion | None,
    untrained: np.ndarray | None,
    contract: Contract,
    seed: int = 0,
) -> DriftVerdict:
    """Judge a parsed batch, with its quarantine table, against what the champion was trained on.

    `champion` maps a feature matrix to class probabilities (n, K). `untrained` (n,) says which rows it was
    not trained on; None means that it was trained on none of them.
    """
    sizes = {"rows": len(batch), "reference_rows": 0 if reference is None else len(reference.sample)}
    if len(batch) < LEAST_ROWS:
        return _undecided(TOO_FEW_ROWS, f"The batch has {len(batch)} rows; {LEAST_ROWS} are needed.", sizes)
    if reference is None:
        return _undecided(NO_REFERENCE, "There is no champion to compare with yet.", sizes)
    if len(reference.sample) < LEAST_ROWS:
        few = f"The champion's reference has {len(reference.sample)} rows; {LEAST_ROWS} are needed."
        return _undecided(TOO_FEW_ROWS, few, sizes)
    columns, compared = _columns(batch, bad, reference, contract, seed)
    usable = draw(_usable(batch, bad, untrained, contract), RELATION_ROWS, seed)
    relation = relation_findings(usable, reference, champion, contract)
    reasons = tuple(found.sentence for found in (*columns, *relation) if found.verdict == DRIFT)
    return DriftVerdict(
        overall=DRIFT if reasons else PASS,
        columns=tuple(columns),
        relation=tuple(relation),
        reasons=reasons,
        compared=compared,
        **sizes,
    )


def table(verdict: DriftVerdict) -> list[dict[str, Any]]:
    """Give the findings as rows for a table: those that drifted first, of them those on the relation.

    Columns are in the order of how far they are beyond their limit, or from it.
    """
    columns = sorted(verdict.columns, key=lambda finding: finding.excess, reverse=True)
    found = sorted((*verdict.relation, *columns), key=lambda finding: finding.verdict != DRIFT)
    return [finding.cells() for finding in found]


def charts_of(verdict: DriftVerdict) -> Any:
    """Draw the columns that drifted, farthest first, or those nearest to their limit where none has.

    Evidently's snapshot, or None where it tested nothing. Charts take most of its time: no others are drawn.
    """
    if verdict.compared is None:
        return None
    planned = {plan.column for plan in verdict.compared.plans}
    found = sorted(verdict.columns, key=lambda finding: finding.excess, reverse=True)
    ranked = [finding for finding in found if finding.name in planned]
    drifted = [finding for finding in ranked if finding.verdict == DRIFT]
    return verdict.compared.charts([finding.name for finding in drifted or ranked[:NEAREST]])


def keep_charts(charts: Any, home: Path, project: str) -> None:
    """Keep charts for Evidently's own pages, a project for each model, in `evidently/` of `home`."""
    if charts is not None:
        evidently_runs().keep(charts, home / "evidently", project)


def save_html(verdict: DriftVerdict, path: Path, about: str = "", note: str = "", charts: Any = None) -> None:
    """Write the verdict, its reasons and every finding; below them Evidently's charts, if there are any.

    `about` says what was compared with what.
    """
    head = _head(verdict, about, note, charts)
    if charts is None:
        start = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Drift</title>'
        path.write_text(f"{start}{head}</html>", encoding="utf-8")
        return
    shown = charts.get_html_str(as_iframe=False)
    path.write_text(shown.replace(BODY, f"{BODY}{head}", 1), encoding="utf-8")


def _head(verdict: DriftVerdict, about: str, note: str, charts: Any) -> str:
    drifted = any(finding.verdict == DRIFT for finding in verdict.columns)
    drawn = "the columns that drifted" if drifted else f"the {NEAREST} columns nearest to their limit"
    below = f"Below, by Evidently: {drawn}." if charts is not None else ""
    lines = "".join(f"<p>{escape(line)}</p>" for line in (about, *verdict.reasons, note, below) if line)
    rows = pd.DataFrame(table(verdict)).to_html(index=False, border=0)
    return f'<section style="{STYLE}"><h1>Drift: {escape(verdict.overall)}</h1>{lines}{rows}</section>'


def _undecided(overall: str, reason: str, sizes: dict[str, int]) -> DriftVerdict:
    return DriftVerdict(overall=overall, reasons=(reason,), **sizes)


def _columns(
    batch: pd.DataFrame, bad: pd.DataFrame, reference: Reference, contract: Contract, seed: int
) -> tuple[list[Finding], Compared | None]:
    sample = draw(batch, BATCH_ROWS, seed)
    before = tested(reference.sample, reference.sample[QUARANTINE], contract)
    now = tested(sample, faults_text(sample, bad), contract)
    causes = {indicator(str(reason)): sorted(set(rows["column"])) for reason, rows in bad.groupby("reason")}
    return column_findings(before, now, contract, causes, COLUMNS_ALPHA)


def relation_findings(
    usable: pd.DataFrame, reference: Reference, champion: Champion | None, contract: Contract
) -> list[Finding]:
    """Judge whether the class still follows from the features, on sound labelled rows of parsed records."""
    if champion is None:
        return undecided("there is no champion", NOT_TESTED)
    if usable.empty:
        return undecided("no labels, or none new to the champion", NO_LABELS)
    before = sound_rows(reference)
    if min(len(usable), len(before)) < LEAST_ROWS:
        few = f"{len(usable)} labelled rows are new to the champion, {len(before)} of its reference are sound"
        return undecided(few, TOO_FEW_ROWS)
    probabilities = np.asarray(champion(matrix(usable, contract)), dtype=float)
    if (
        probabilities.shape != (len(usable), len(contract.target.classes))
        or not np.isfinite(probabilities).all()
    ):
        return undecided("the champion gave no probabilities", DRIFT)
    batch = Judged(usable, probabilities, target_index(usable, contract))
    groups = subgroups(usable, before, contract)
    known = _learned_from(before, champion, contract)
    return _judged(batch, known, groups, reference.trained_rows, contract)


def _judged(
    batch: Judged, known: Judged, groups: list[Subgroup], trained: int, contract: Contract
) -> list[Finding]:
    """Judge labelled rows beside those of the reference (none where they are not labelled)."""
    labels = label_finding(batch.probabilities, batch.y, contract.target)
    fault = own_fault(known, trained, contract, OWN_ALPHA) if len(known) >= LEAST_ROWS else ""
    if fault:
        words = f"the champion does not fit the students it learned from, so it is no reference: {fault}"
        return [*undecided(words, NOT_TESTED, (LOSS, RESIDUAL)), labels]
    found = [
        loss_finding(batch.probabilities, batch.y, trained, LOSS_ALPHA),
        residual_finding(batch.probabilities, batch.y, groups, trained, contract.target, RESIDUAL_ALPHA),
        labels,
    ]
    return [*found, group_finding(batch, known, contract, GROUPS_ALPHA)] if contract.audit else found


def _learned_from(before: pd.DataFrame, champion: Champion, contract: Contract) -> Judged:
    """Return the reference's rows with a label, and what the champion says of them."""
    y = target_index(before, contract) if contract.target.column in before else np.full(len(before), -1)
    rows = before[y >= 0]
    return Judged(rows, np.asarray(champion(matrix(rows, contract)), dtype=float), y[y >= 0])


def _usable(
    batch: pd.DataFrame, bad: pd.DataFrame, untrained: np.ndarray | None, contract: Contract
) -> pd.DataFrame:
    """Give the rows that are sound, labelled and new to the champion."""
    if contract.target.column not in batch:
        return batch.iloc[:0]
    keep = ~batch.index.isin(bad["row"] - FIRST_ROW) & (target_index(batch, contract) >= 0)
    return batch[keep if untrained is None else keep & np.asarray(untrained, dtype=bool)]
