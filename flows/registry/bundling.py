"""Write a bundle: the trained model with its contract, card, reference sample and digests."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.bundle import open_session
from data.columns import OWN
from data.contract import Contract
from data.contract_file import find_contract
from data.features import feature_space
from data.frames import matrix, to_records
from data.manifest import (
    CARD,
    CONTRACT,
    EXAMPLES,
    FIGURES,
    MANIFEST,
    MODEL,
    MODEL_FILES,
    REFERENCE,
    Manifest,
    digest,
    files_of,
)
from data.storage import appended, as_stored
from flows.registry.lineage import TRAINED, lineage_of
from flows.registry.made_up import made_up
from flows.registry.submission import Submission
from flows.registry.verification import check_parity, verify_bundle
from flows.reports.card import model_card
from flows.reports.card_json import card_figures
from flows.reports.part_year import part_year_figures
from flows.reports.plots import write_plots
from flows.support.workspace import finished_folder
from flows.training.heads import Head

REFERENCE_ROWS, MANY_ROWS = 5_000, 200_000
EXAMPLE_ROWS = 20

Forecast = Callable[[pd.DataFrame], np.ndarray]


def make_bundle(submission: Submission) -> None:
    """Make the folder of the verified bundle, its plots and its students, unless an equal run did.

    Raises BundleError when the bundle does not hold what it promises; nothing is left then.
    """

    def build(draft: Path) -> None:
        (draft / "bundle").mkdir()
        write_bundle(draft / "bundle", submission)
        _check_parity(draft / "bundle", submission)
        verify_bundle(draft / "bundle")
        (draft / "plots").mkdir()
        write_plots(submission.evidence, draft / "plots")
        write_lineage(submission, draft)

    finished_folder(submission.place, build)


def write_lineage(submission: Submission, folder: Path) -> None:
    """Write into a folder whom a submission learned from and is judged on."""
    with appended(folder / Path(TRAINED).name) as append:
        for block in submission.processed.all_blocks(submission.contract):
            append(lineage_of(block, submission.contract))


def write_bundle(folder: Path, submission: Submission) -> None:
    """Write a bundle into an empty folder."""
    contract, evidence = submission.contract, submission.evidence
    family = submission.trained.family
    for name in (MODEL, MODEL_FILES[family]):
        shutil.copyfile(submission.trained.folder / name, folder / name)
    shutil.copyfile(find_contract(submission.contract_name), folder / CONTRACT)
    part_year = part_year_figures(evidence, _forecaster(folder / MODEL, contract))
    (folder / CARD).write_text(model_card(evidence, {}, part_year), encoding="utf-8")
    figures = card_figures(evidence, part_year)
    (folder / FIGURES).write_text(figures.model_dump_json(indent=1), encoding="utf-8")
    learned_from = _trained_on(submission)
    reference_sample(learned_from, contract).to_csv(folder / REFERENCE, index=False)
    sound = learned_from[learned_from["quarantine"] == ""]
    nobody = made_up(sound, submission.processed.all_blocks(contract), contract, EXAMPLE_ROWS)
    examples = _examples(nobody, _forecaster(folder / MODEL, contract), contract)
    (folder / EXAMPLES).write_text(examples, encoding="utf-8")
    manifest = _manifest(submission, {name: digest(folder / name) for name in files_of(family)})
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")


def _trained_on(submission: Submission) -> pd.DataFrame:
    """Return the rows of the train split, quarantined ones too, or a stratified sample of many."""
    return submission.processed.sample(submission.contract, MANY_ROWS, "train")


def _forecaster(model: Path, contract: Contract) -> Forecast:
    session = open_session(model)
    return lambda frame: session.run(["probabilities"], {"features": matrix(frame, contract)})[0]


def _check_parity(folder: Path, submission: Submission) -> None:
    contract, head = submission.contract, Head(**submission.trained.head)
    groups = zip(contract.features, feature_space(contract).groups, strict=True)
    nullable = [group for column, group in groups if column.nullable]
    check_parity(folder, head, matrix(submission.evidence.frame, contract), nullable)


def reference_sample(frame: pd.DataFrame, contract: Contract, seed: int = 0) -> pd.DataFrame:
    """Return at most 5,000 training records as parsed, without ids, with their reasons of quarantine."""
    sample = frame.sample(REFERENCE_ROWS, random_state=seed) if len(frame) > REFERENCE_ROWS else frame
    hidden = [name for name in OWN if name != "quarantine"] + ([contract.id.name] if contract.id else [])
    return as_stored(sample.drop(columns=hidden, errors="ignore"))


def _manifest(submission: Submission, files: dict[str, str]) -> Manifest:
    trained, evidence, target = submission.trained, submission.evidence, submission.contract.target
    return Manifest(
        family=trained.family,
        contract=submission.contract.name,
        fingerprint=trained.fingerprint,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        git_commit=str(evidence.data["git_commit"]),
        labels=target.labels,
        head=trained.head,
        set_thresholds=trained.set_thresholds,
        unit=target.unit,
        metrics=evidence.metrics,
        training=_training(submission),
        files=files,
    )


def _training(submission: Submission) -> dict[str, Any]:
    trained, processed = submission.trained, submission.processed
    how = trained.model_dump(include={"family", "kind", "params", "rounds", "set_rows", "notes"})
    return {
        **how,
        "rows": processed.train_rows,
        "source": processed.source,
        "source_sha256": processed.sha256,
    }


def _examples(frame: pd.DataFrame, forecast: Forecast, contract: Contract) -> str:
    records = to_records(frame, contract)
    pairs = zip(records, forecast(frame).tolist(), strict=True)
    told = [{"made_up": True, "record": record, "probabilities": values} for record, values in pairs]
    return json.dumps(told, indent=1)
