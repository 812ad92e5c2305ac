"""Drift: compare new records with what the champion was trained on, before anything is trained on them."""

from pathlib import Path
from typing import Literal

import pandas as pd
from prefect import flow, task
from pydantic import BaseModel, ConfigDict

from data.contract.contract import Contract, load_contract
from data.contract.dated import AS_OF
from data.errors import Stopped
from data.rows.frames import of_days, one_row_each
from flows.drift_gate import DRIFT, LEAST_ROWS, NO_REFERENCE, NOT_TESTED, TOO_FEW_ROWS
from flows.drift_gate.relation import undecided
from flows.drift_gate.samples import LOOKED_AT, Reference, without_unasked
from flows.drift_gate.verdict import DriftVerdict, charts_of, gate, keep_charts, save_html, table
from flows.processing.processed import Processed
from flows.registry.store import Champion, load_champion, open_registry
from flows.reports import artifacts
from flows.runtime.progress import stage
from flows.runtime.run_page import publish, publish_rows, stage_named
from flows.runtime.workspace import finished_file
from flows.settings import Settings

OnDrift = Literal["stop", "retrain", "warn"]


class Drift(BaseModel):
    """The gate's verdict on a batch of records, and where its report is."""

    model_config = ConfigDict(frozen=True)

    verdict: str
    reasons: tuple[str, ...]
    champion: str | None
    report: Path
    note: str = ""
    label_fault: str = ""
    """Why the labels cannot be right, whatever else is found; "" where they may be."""

    @property
    def alarmed(self) -> bool:
        """Return whether the records differ from what the champion learned."""
        return self.verdict == DRIFT


def compare(processed: Processed, contract: Contract, champion: Champion | None) -> DriftVerdict:
    """Return the gate's verdict on processed records.

    Without a champion the test split is compared with the train split, which decides nothing: the
    verdict is "no reference", and the columns are there to look at.
    """
    parsed = one_row_each(rows_to_test(processed.sample(contract, LOOKED_AT), contract, champion))
    faults = processed.faults(parsed.index)
    if contract.id and contract.id.name not in parsed:  # rows of the log
        parsed = without_unasked(parsed, contract)
    if champion is not None:
        trained = int(champion.bundle.manifest.training["rows"])
        students = champion.reference()
        if contract.dated and AS_OF in students:
            students = of_days(students, parsed[AS_OF])
        reference = Reference(students, trained)
        # By chance a test split may look odd to the model that passed on it: an equal run is no new batch.
        same = champion.bundle.manifest.training["source_sha256"] == processed.sha256
        unseen = ~champion.has_seen(parsed["pseudonym"]) & (not same)
        changed = contract_changes(champion.bundle.contract, contract)
        if not changed:
            return gate(parsed, faults, reference, champion.bundle.probabilities, unseen, contract)
        verdict = gate(parsed, faults, reference, None, unseen, contract)
        reasons, relation = (changed, *verdict.reasons), tuple(undecided("the contract changed", NOT_TESTED))
        return verdict.model_copy(update={"overall": DRIFT, "reasons": reasons, "relation": relation})
    train, test = (parsed[parsed["split"] == name] for name in ("train", "test"))
    reference = Reference(train.sample(min(len(train), 5_000), random_state=0), len(train))
    verdict = gate(test, faults, reference, None, None, contract)
    if len(parsed) < LEAST_ROWS:
        return verdict.model_copy(update={"overall": TOO_FEW_ROWS})
    why = "There is no champion to compare with yet; the test split was compared with the train split."
    return verdict.model_copy(update={"overall": NO_REFERENCE, "reasons": (why,)})


def rows_to_test(parsed: pd.DataFrame, contract: Contract, champion: Champion | None) -> pd.DataFrame:
    """Return the rows that the champion's source did not hold, of an export that grows; all, if too few.

    Among thousands of old rows nothing would be found of what changed in a few hundred new ones.
    """
    if champion is None or not champion.lineage.whole:
        return parsed
    fresh = ~champion.lineage.has_met(parsed, contract)
    return parsed[fresh] if fresh.sum() >= LEAST_ROWS else parsed


def contract_changes(before: Contract, now: Contract) -> str:
    """Say how a contract differs from the champion's in what the model reads and answers, if it does."""
    old, new = ({column.name: column for column in contract.features} for contract in (before, now))
    both = [name for name in old if name in new]
    parts = {
        "new": [name for name in new if name not in old],
        "gone": [name for name in old if name not in new],
        "other codes or kind": [
            n for n in both if (old[n].kind, old[n].codes) != (new[n].kind, new[n].codes)
        ],
        "other classes": [now.target.column] if before.target.classes != now.target.classes else [],
    }
    found = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)
    if not found and list(old) == list(new):
        return ""
    return f"The contract is not the champion's ({found or 'another order'}), so the champion cannot judge."


def report_place(processed: Processed, champion: Champion | None, settings: Settings) -> Path:
    """Return where the HTML report of a comparison goes."""
    against = f"version-{champion.version}" if champion else "train-split"
    return settings.home / "reports" / f"drift-{processed.folder.name}-{against}.html"


def sampled_note(processed: Processed, tested: int) -> str:
    """Say that not all rows were tested, where there were too many, or the champion knew most of them."""
    if processed.rows <= LOOKED_AT:
        known = tested < processed.rows
        told = f"Of the {processed.rows:,} rows the drift gate tested the {tested:,} new to the champion."
        return told if known else ""
    return (
        f"The drift gate looked at a stratified sample of {LOOKED_AT:,} of the {processed.rows:,} rows: "
        "each class, and the rows in quarantine, with their share of all."
    )


def check_drift(processed: Processed, contract_name: str, settings: Settings) -> tuple[Drift, DriftVerdict]:
    """Compare processed records with the champion, and write the report.

    Raises Stopped when the champion cannot be read.
    """
    contract = load_contract(contract_name)
    champion = load_champion(open_registry(settings), contract.model_name)
    verdict = compare(processed, contract, champion)
    report = report_place(processed, champion, settings)
    note = sampled_note(processed, verdict.rows if champion else processed.rows)
    against = f"version {champion.version} of {contract.model_name}" if champion else "the train split"
    about = f"{verdict.rows:,} rows of {processed.source} against {against}."
    charts = charts_of(verdict)
    finished_file(report, lambda draft: save_html(verdict, draft, about, note, charts))
    keep_charts(charts, settings.home, contract.model_name)
    found = Drift(
        verdict=verdict.overall,
        reasons=verdict.reasons,
        champion=champion.version if champion else None,
        report=report,
        note=note,
        label_fault=verdict.label_fault,
    )
    return found, verdict


def stop_on_drift(drift_: Drift, on_drift: OnDrift) -> None:
    """Raise Stopped where the verdict forbids to go on."""
    if drift_.verdict == TOO_FEW_ROWS:
        raise Stopped(f"{' '.join(drift_.reasons)} Nothing was trained.")
    if drift_.label_fault:
        wrong = f"champion {drift_.champion} that learned them wrong: take it back with make rollback"
        mend = f"Mend the labels at their source; where they are right, it is {wrong}."
        raise Stopped(f"the labels cannot be right: {drift_.label_fault}. Nothing was trained. {mend}")
    if drift_.alarmed and on_drift == "stop":
        remedy = f"See {drift_.report}. Mend the records, or go on with --on-drift retrain or warn."
        reasons = " ".join(drift_.reasons)
        raise Stopped(f"drift against champion {drift_.champion}: {reasons} Nothing was trained. {remedy}")


@task(task_run_name="compare with the champion")
@stage("drift gate")
def check_records(processed: Processed, contract_name: str) -> Drift:
    """Run the drift gate and publish what it found."""
    found, verdict = check_drift(processed, contract_name, Settings())
    rows = table(verdict)
    shown = artifacts.drift_markdown(found.verdict, found.reasons, rows)
    said = f"The gate's verdict: {found.verdict}."
    publish(contract_name, "drift", f"{shown}\n\n{found.note}".rstrip(), said)
    publish_rows(contract_name, "drift-columns", rows, "Every test of the gate, what drifted first.")
    return found


@flow(name="drift", flow_run_name=stage_named)
def drift(processed: Processed, contract: str, on_drift: OnDrift = "stop") -> Drift:
    """Stop what drifted, unless told to go on; a gate that cannot decide stops too."""
    found = check_records(processed, contract)
    try:
        stop_on_drift(found, on_drift)
    except Stopped as error:
        raise error.showing(found.report) from None
    return found
