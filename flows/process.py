"""Process: records in, a clean train and test split out, and what was wrong with the rest set aside."""

from pathlib import Path

import pandas as pd
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict

from data.columns import PSEUDONYM
from data.contract import Contract, load_contract
from data.errors import BadInput, Stopped
from data.frames import FIRST_ROW, parse
from data.quarantine import count_reasons, quarantine, reasons_by_row
from data.sources import CohortPlan, Records, read_records
from data.storage import as_stored, read_frame, write_frame
from data.students import pseudonyms, splits
from flows.reports import artifacts
from flows.reports.data_report import write_data_report
from flows.reports.progress import stage
from flows.settings import Settings
from flows.support.fingerprint import code_digest, fingerprint
from flows.support.retries import DELAYS, RETRIES, may_pass
from flows.support.workspace import finished_folder
from flows.training.folds import check_anything_to_learn
from flows.training.inputs import training_data

PARSED, FAULTS, QUARANTINE, REPORT, SUMMARY = (
    "parsed.parquet",
    "faults.parquet",
    "quarantine.csv",
    "report.html",
    "summary.json",
)


class Processed(BaseModel):
    """Where the processed records are, and what became of them."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    contract: str
    source: str
    sha256: str
    generated: CohortPlan | None
    undeclared: tuple[str, ...]
    fingerprint: str
    rows: int
    clean: int
    train_rows: int
    test_rows: int
    quarantined: dict[str, int]
    reused: bool = False

    @property
    def bad_share(self) -> float:
        """Return the share of rows in quarantine."""
        return (self.rows - self.clean) / self.rows

    def parsed(self, contract: Contract) -> pd.DataFrame:
        """Read all rows as parsed, with their pseudonym, split and reasons of quarantine."""
        return read_frame(self.folder / PARSED, contract)

    def split(self, contract: Contract, name: str) -> pd.DataFrame:
        """Read the clean rows of the train or test split."""
        kept = [("split", "==", name), ("quarantine", "==", "")]
        return read_frame(self.folder / PARSED, contract, kept)


def examine(records: Records, contract: Contract, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all rows as parsed, with pseudonym, split and reasons of quarantine; and the table of faults."""
    given = records.frame.get(PSEUDONYM)  # of rows of the log, which have no ids
    frame = parse(records.frame, contract, file=records.uri, partial=given is not None)
    frame = frame if given is None else frame.assign(**{PSEUDONYM: given.to_numpy()})
    _, faults = quarantine(frame, contract)
    reasons = reasons_by_row(faults).reindex(frame.index + FIRST_ROW, fill_value="").to_numpy()
    names = pseudonyms(frame, contract, settings.id_key) if given is None else frame[PSEUDONYM].to_numpy()
    marked = frame.assign(pseudonym=names, split=splits(names, settings.test_share), quarantine=reasons)
    return marked, faults


def write_processed(
    folder: Path, records: Records, contract: Contract, settings: Settings, digest: str
) -> None:
    """Write a draft of the processed folder: rows, quarantine, data report, summary.

    Raises BadInput where there is nothing to learn from, unless that is for too many bad rows.
    """
    frame, faults = examine(records, contract, settings)
    clean = frame[frame["quarantine"] == ""]
    if len(clean) >= (1 - settings.bad_row_limit) * len(frame):
        check_trainable(clean[clean["split"] == "train"], records, contract, settings)
    write_frame(frame, folder / PARSED)
    faults.assign(value=faults["value"].astype(str)).to_parquet(folder / FAULTS, index=False)
    bad = frame[frame["quarantine"] != ""]
    as_stored(bad).assign(row=bad.index + FIRST_ROW).to_csv(folder / QUARANTINE, index=False)
    write_data_report(frame, faults, contract, folder / REPORT)
    summary = Processed(
        folder=folder,
        contract=str(contract.name),
        source=records.uri,
        sha256=records.sha256,
        generated=records.generated,
        undeclared=records.undeclared,
        fingerprint=digest,
        rows=len(frame),
        clean=len(clean),
        train_rows=int((clean["split"] == "train").sum()),
        test_rows=int((clean["split"] == "test").sum()),
        quarantined=count_reasons(faults),
    )
    (folder / SUMMARY).write_text(summary.model_dump_json(indent=2), encoding="utf-8")


def check_trainable(train: pd.DataFrame, records: Records, contract: Contract, settings: Settings) -> None:
    """Raise BadInput, naming the source, where a train split has fewer rows than folds, or one class."""
    try:
        check_anything_to_learn(training_data(train, contract), settings.folds)
    except BadInput as error:
        raise BadInput(str(error), file=records.uri) from error


def process_records(source: str, contract: Contract, settings: Settings) -> Processed:
    """Process a source into `processed/`, or return what an equal run left there.

    Raises BadInput, and Stopped when more than the set share of rows is bad; the quarantine and the
    report are there to look at then.
    """
    records = read_records(source, contract)
    digest = fingerprint(
        records=records.sha256,
        contract=contract.model_dump(mode="json"),
        key=settings.id_key,
        test_share=settings.test_share,
        code=code_digest("data"),
    )
    folder = settings.home / "processed" / f"{contract.name}-{digest}"
    fresh = finished_folder(folder, lambda draft: write_processed(draft, records, contract, settings, digest))
    summary = Processed.model_validate_json((folder / SUMMARY).read_bytes())
    return summary.model_copy(update={"folder": folder, "source": records.uri, "reused": not fresh})


def check_bad_share(processed: Processed, limit: float) -> None:
    """Raise Stopped when more than the set share of rows is in quarantine."""
    if processed.bad_share <= limit:
        return
    faults = pd.read_parquet(processed.folder / FAULTS)
    counts = (faults["column"] + " " + faults["reason"]).value_counts()
    reasons = ", ".join(f"{fault} ({count} rows)" for fault, count in counts.items())
    raise Stopped(
        f"{processed.bad_share:.1%} of the rows are bad, more than the {limit:.0%} allowed: {reasons}. "
        f"See {processed.folder / QUARANTINE}, mend the source, or raise GRADECAST_BAD_ROW_LIMIT."
    )


@task(retries=RETRIES, retry_delay_seconds=DELAYS, retry_condition_fn=may_pass)
@stage("process")
def process_source(source: str, contract_name: str) -> Processed:
    """Validate, quarantine and split a source."""
    settings = Settings()
    processed = process_records(source, load_contract(contract_name), settings)
    create_markdown_artifact(artifacts.process_markdown(processed.model_dump(mode="json")), key="process")
    check_bad_share(processed, settings.bad_row_limit)
    return processed


@flow(name="process")
def process(source: str, contract: str) -> Processed:
    """Turn a source of records into clean splits."""
    return process_source(source, contract)
