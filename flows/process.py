"""Process: records in, a clean train and test split out, and what was wrong with the rest set aside."""

from collections.abc import Mapping
from contextlib import closing
from datetime import date
from pathlib import Path

from prefect import flow, task

from data.contract.columns import PSEUDONYM
from data.contract.contract import Contract, load_contract
from data.contract.dated import Said
from data.errors import BadInput, Stopped
from data.rows.kinds import Reason
from data.rows.quarantine import ONE_ROW
from data.rows.spreadsheets import neutralised
from data.snapshots.snapshots import open_records
from data.sources.reading import ROWS, ChunkedRecords, SetAside
from data.sources.storage import read_rows
from data.words import count, percent, plural
from flows.processing.chunks import SeenIds, counted, examine_chunk, with_repeats
from flows.processing.processed import (
    FAULTS,
    PARSED,
    QUARANTINE,
    SET_ASIDE,
    SUMMARY,
    Processed,
    Written,
    seeded_places,
)
from flows.reports import artifacts
from flows.reports.data_report import SAMPLE_ROWS, write_sample_report
from flows.runtime.engine import Engine, in_order
from flows.runtime.progress import stage
from flows.runtime.run_page import publish, stage_named
from flows.runtime.runs import DELAYS, RETRIES, may_pass
from flows.runtime.workspace import code_digest, contract_part, fingerprint, finished_folder
from flows.settings import Settings
from flows.training.data import check_anything_to_learn

__all__ = ["FAULTS", "PARSED", "QUARANTINE", "REPORT", "Processed", "process_records"]
REPORT = "report.html"


def write_processed(
    folder: Path, records: ChunkedRecords, contract: Contract, settings: Settings, engine: Engine, digest: str
) -> None:
    """Write a draft of the processed folder, chunk by chunk: rows, quarantine, data report, summary.

    Raises BadInput where there is nothing to learn from, unless that is for too many bad rows.
    """
    who = PSEUDONYM if records.pseudonymous else contract.id.name if contract.id else None
    who = None if contract.id and contract.id.several else who
    write_set_aside(folder, records.set_aside)
    seen = SeenIds()
    terms = contract, records.uri, settings.id_key, settings.test_share
    pieces = ((frame, first, *terms) for first, frame in counted(records.read()))
    with closing(Written(folder, contract.target.column)) as found:
        for chunk in in_order(examine_chunk, pieces, engine, settings.jobs):
            found.append(with_repeats(chunk, seen, who))
    if found.clean >= (1 - settings.bad_row_limit) * (found.rows - found.reasons[Reason.WAITING]):
        check_trainable(found.class_rows, records.uri, contract, settings)
    write_report(folder, found, contract)
    summary = Processed(
        folder=folder,
        contract=str(contract.name),
        source=records.uri,
        sha256=records.sha256,
        generated=records.generated,
        undeclared=records.undeclared,
        assumed=tuple(records.assumed),
        fingerprint=digest,
        rows=found.rows,
        clean=found.clean,
        train_rows=found.split_rows["train"],
        test_rows=found.split_rows["test"],
        quarantined=dict(found.reasons.most_common()),
        set_aside=records.set_aside.counts() if records.set_aside else {},
        dated_rows=records.set_aside.rows if records.set_aside else {},
    )
    (folder / SUMMARY).write_text(summary.model_dump_json(indent=2), encoding="utf-8")


def write_set_aside(folder: Path, set_aside: SetAside | None) -> None:
    """Write the dated records that no row was made of, each with its table, row, column and reason."""
    if set_aside is not None:
        told = set_aside.faults.assign(value=set_aside.faults["value"].map(neutralised, na_action="ignore"))
        told.to_csv(folder / SET_ASIDE, index=False)


def check_trainable(
    class_rows: Mapping[str, int], source: str, contract: Contract, settings: Settings
) -> None:
    """Raise BadInput, naming the source, where a train split has fewer rows than folds, or one class."""
    counts = [class_rows.get(str(code), 0) for code in contract.target.classes]
    try:
        check_anything_to_learn(counts, contract.target.labels, settings.folds)
    except BadInput as error:
        raise BadInput(str(error), file=source) from error


def write_report(folder: Path, found: Written, contract: Contract) -> None:
    """Write the data report: of many rows, on a seeded sample, which it says."""
    sample = read_rows(folder / PARSED, contract, seeded_places(found.rows, SAMPLE_ROWS))
    write_sample_report(sample, found.rows, found.bad, found.faults, contract, folder / REPORT)


def process_records(
    source: str,
    contract: Contract,
    settings: Settings,
    engine: Engine | None = None,
    chunk_rows: int = ROWS,
    as_of: Said = None,
) -> Processed:
    """Process a source into `processed/`, or return what an equal run left there.

    The engine changes nothing of what is written. Of dated records no day after `as_of` is learned from, by
    default after today: it has not come yet. Raises BadInput, and Stopped when more than the set
    share of rows is bad; the quarantine and the report are there to look at then.
    """
    engine = engine or Engine.local()
    until = last_day(contract, as_of)
    with open_records(source, contract, chunk_rows, threads=settings.jobs, until=until) as records:
        if records.generated is None:
            settings.refuse_public_key()
        digest = fingerprint(
            records=records.sha256,
            contract=contract_part(contract, "effect", "strong", "rule_of_thumb", "train_on_score"),
            key=settings.id_key,
            test_share=settings.test_share,
            code=code_digest("flows/process.py"),
        )
        folder = settings.home / "processed" / f"{contract.name}-{digest}"
        fresh = finished_folder(
            folder, lambda draft: write_processed(draft, records, contract, settings, engine, digest)
        )
    summary = Processed.model_validate_json((folder / SUMMARY).read_bytes())
    return summary.model_copy(update={"folder": folder, "source": records.uri, "reused": not fresh})


def last_day(contract: Contract, as_of: Said) -> int | date | None:
    """Return the last day to learn from, None for any; raises BadInput for what is no day."""
    if contract.dated is not None:
        return contract.dated.day_said(as_of, date.today())  # noqa: DTZ011  a school's day is the local one
    if as_of not in (None, ""):
        remedy = "Leave AS_OF out, or name a contract with dated records."
        raise BadInput(f"the contract {contract.name} is for no day.", remedy=remedy)
    return None


def check_bad_share(processed: Processed, limit: float) -> None:
    """Raise Stopped when more than the set share of rows, or of a dated table's records, is bad."""
    for table, rows in processed.dated_rows.items():
        bad = sum(processed.set_aside[table].values())
        if bad > limit * rows:
            listed = ", ".join(f"{reason} ({count})" for reason, count in processed.set_aside[table].items())
            raise Stopped(
                f"{percent(bad / rows, 1)} of the records of the table {table} are bad, more than the "
                f"{percent(limit)} allowed: {listed}. See {processed.folder / SET_ASIDE}, mend the source, "
                "or raise GRADECAST_BAD_ROW_LIMIT."
            )
    if processed.bad_share <= limit:
        return
    faults = processed.faults()
    counts = (faults["column"] + " " + faults["reason"]).value_counts()
    reasons = ", ".join(f"{fault} ({count} rows)" for fault, count in counts.items())
    apart = f" For {Reason.DUPLICATE}: {ONE_ROW}." if Reason.DUPLICATE in processed.quarantined else ""
    raise Stopped(
        f"{processed.bad_share:.1%} of the rows are bad, more than the {limit:.0%} allowed: {reasons}. "
        f"See {processed.folder / QUARANTINE}, mend the source, or raise GRADECAST_BAD_ROW_LIMIT.{apart}"
    )


def described(processed: Processed) -> str:
    """Say in a sentence what became of the records."""
    kept = f"{count(processed.train_rows)} to train, {count(processed.test_rows)} to test"
    return f"{plural(processed.rows, 'row')} in, {count(processed.clean)} clean: {kept}."


@task(
    task_run_name="validate, quarantine and split",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=may_pass,
)
@stage("process")
def process_source(source: str, contract_name: str, engine: Engine, as_of: Said = None) -> Processed:
    """Validate, quarantine and split a source."""
    settings = Settings()
    processed = process_records(source, load_contract(contract_name), settings, engine, as_of=as_of)
    markdown = artifacts.process_markdown(processed.model_dump(mode="json"))
    publish(contract_name, "process", markdown, described(processed))
    try:
        check_bad_share(processed, settings.bad_row_limit)
    except Stopped as error:
        raise error.showing(processed.folder / REPORT) from None
    return processed


@flow(name="process", flow_run_name=stage_named)
def process(source: str, contract: str, engine: Engine | None = None, as_of: Said = None) -> Processed:
    """Turn a source of records into clean splits."""
    return process_source(source, contract, engine or Engine.local(), as_of)
