"""A trained candidate as a bundle: files, digests, made-up examples, verified in a clean process."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from data.bundle.bundle import TOLERANCE, open_session
from data.bundle.manifest import (
    CARD,
    CONTRACT,
    EXAMPLES,
    FIGURES,
    MANIFEST,
    MODEL,
    MODEL_FILES,
    POPULATION,
    REFERENCE,
    BundleError,
    Manifest,
    files_of,
)
from data.bundle.models import read_model
from data.contract.columns import OWN, Column
from data.contract.contract import Contract, find_contract
from data.durable import digest
from data.rows.frames import json_values, matrix, one_row_each, parse, to_records
from data.rows.records import feature_space, typical_value
from data.sources.storage import appended, as_stored
from flows.processing.processed import Processed
from flows.registry.store import TRAINED, lineage_of
from flows.reports.card import model_card
from flows.reports.evidence import Evidence
from flows.reports.figures import card_figures
from flows.reports.part_way import part_way_figures, population_of
from flows.reports.plots import write_plots
from flows.runtime.workspace import ROOT, code_digest, fingerprint, finished_folder
from flows.settings import Settings
from flows.training.onnx_export import parity
from flows.training.trained import Trained


@dataclass(frozen=True)
class Submission:
    """A trained candidate with the records and the evidence behind it."""

    trained: Trained
    processed: Processed
    contract_name: str
    evidence: Evidence
    settings: Settings
    must_win: bool = False
    """After a drift alarm: not worse is not enough, for records that may be corrupt."""
    drift_report: Path | None = None

    @property
    def contract(self) -> Contract:
        """Return the contract that the candidate was trained under."""
        return self.evidence.contract

    @property
    def fingerprint(self) -> str:
        """Return the digest of what its bundle depends on: the model, the contract's every word, the code."""
        return fingerprint(
            trained=self.trained.fingerprint,
            contract=digest(find_contract(self.contract_name)),
            code=code_digest("flows/registry/bundling.py"),
        )

    @property
    def asks_person(self) -> bool:
        """Whether a person must approve its promotion: of each, or of one that an alarm led to."""
        return self.settings.approval == "required" or (
            self.must_win and self.settings.approval == "after-alarm"
        )

    @property
    def place(self) -> Path:
        """Return the folder of the bundle and its plots."""
        return self.settings.home / "bundles" / f"{self.contract.name}-{self.fingerprint}"

    @property
    def bundle(self) -> Path:
        """Return the bundle's folder."""
        return self.place / "bundle"

    def blocks(self, name: str) -> Iterator[pd.DataFrame]:
        """Yield the clean rows of a split, without their ids, part after part."""
        return self.processed.blocks(self.contract, name)

    def split(self, name: str) -> pd.DataFrame:
        """Read the clean rows of a split."""
        return self.processed.split(self.contract, name)


BINS = 10  # of a number's values, with as many students in each
SPARE = 3  # draws for each record that is wanted: some are a student's
FINENESS = 100  # steps that a number's values are rounded to, at least


def made_up(
    sample: pd.DataFrame, students: Iterable[pd.DataFrame], contract: Contract, count: int, seed: int = 0
) -> pd.DataFrame:
    """Return up to so many made-up students, as parsed: features alone.

    Where the contract has so few possible records that each is some student's, those that most students
    share are returned, which are no one student's either.

    Args:
        sample: sound rows as parsed, for what each column's values are.
        students: all rows as parsed, in parts, of whom none may be met.
        contract: of both.
        count: how many are wanted.
        seed: of the draws.
    """
    dice = np.random.default_rng(seed)
    drawn = {c.name: _draw(c, sample[c.name], SPARE * count, dice) for c in contract.features}
    frame = parse(pd.DataFrame(drawn, dtype=object), contract, labelled=False)
    met = _times_met(frame, students, contract, [_step(c, sample[c.name]) for c in contract.features])
    nobody = np.flatnonzero(met == 0)
    chosen = nobody if len(nobody) else np.argsort(-met, kind="stable")
    return frame.iloc[chosen[:count]].reset_index(drop=True)


def _draw(column: Column, values: pd.Series, count: int, dice: np.random.Generator) -> list[object]:
    """Draw values by their shares; a number anywhere within a tenth of them."""
    known = values.dropna()
    missing = dice.random(count) < values.isna().mean() if len(values) else np.zeros(count, dtype=bool)
    if known.empty:
        return [None if column.nullable else typical_value(column)] * count
    if column.coded:
        codes = list(column.codes)
        drawn = [codes[place] for place in dice.choice(known.cat.codes.to_numpy(), count)]
    else:
        drawn = _numbers(column, known.to_numpy(float), count, dice)
        drawn = json_values(pd.Series(drawn), column) if column.dated else drawn
    return [None if gone else value for gone, value in zip(missing, drawn, strict=True)]


def _numbers(column: Column, known: np.ndarray, count: int, dice: np.random.Generator) -> list[object]:
    edges = np.quantile(known, np.linspace(0, 1, BINS + 1))
    bins = dice.integers(BINS, size=count)
    drawn = dice.uniform(edges[bins], edges[bins + 1])
    if column.whole:
        return [int(value) for value in np.round(drawn)]
    step = _step(column, pd.Series(known))
    rounded = np.round(drawn / step) * step if step else drawn
    # Twelve digits take away what the multiplication leaves behind the last one.
    return [float(f"{value:.12g}") for value in np.clip(rounded, *column.limits)]


def _step(column: Column, values: pd.Series) -> float:
    """Return what a number is rounded to: a power of ten, at least a hundred to its range; else 0."""
    if column.coded or column.whole or values.dropna().empty:
        return 0.0
    span = float(values.max() - values.min())
    return float(10.0 ** np.floor(np.log10(span / FINENESS))) if span > 0 else 0.0


def _times_met(
    drawn: pd.DataFrame, students: Iterable[pd.DataFrame], contract: Contract, steps: list[float]
) -> np.ndarray:
    """Count the students who have each drawn record, numbers being alike that round alike."""
    wanted = matrix(drawn, contract)
    groups = feature_space(contract).groups
    slack = np.array([step / 2 for step, group in zip(steps, groups, strict=True) for _ in group])
    met = np.zeros(len(wanted), dtype=int)
    for part in students:
        rows = matrix(part, contract)
        met += [_alike(rows, record, slack) for record in wanted]
    return met


def _alike(rows: np.ndarray, record: np.ndarray, slack: np.ndarray) -> int:
    """Count the rows (n, columns) that are like a record, a column after the other: soon few are left."""
    for place, value in enumerate(record):
        column = rows[:, place]
        rows = rows[np.isnan(column) if np.isnan(value) else np.abs(column - value) <= slack[place]]
        if not len(rows):
            break
    return len(rows)


BARRED = (
    "prefect",
    "evidently",
    "mlflow",
    "sklearn",
    "pandas",
    "pandera",
    "catboost",
    "matplotlib",
    "pyarrow",
    "flows",
)
PICKLES = (".pkl", ".pickle", ".joblib", ".cloudpickle")
PICKLE_STARTS = [bytes([0x80, protocol]) for protocol in range(2, 6)]
TIME_LIMIT = 120  # seconds
PARITY_ROWS = 5_000
PROGRAM = """
import importlib.abc, json, sys
barred, root, folder = json.loads(sys.argv[1])
class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in barred:
            raise ModuleNotFoundError(f"serving has no {name}", name=name)
sys.meta_path.insert(0, Wall())
sys.path.insert(0, root)
from data.bundle.bundle import Bundle
Bundle.load(folder).check()
"""


def verify_bundle(folder: Path) -> None:
    """Load a bundle in a clean process and let it answer its own examples; raises BundleError.

    The process can import nothing that serving does not have, and holds no fork of ours.
    """
    refuse_pickles(folder)
    arguments = json.dumps([BARRED, str(ROOT), str(folder)])
    command = [sys.executable, "-I", "-c", PROGRAM, arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{folder}: no answer within {TIME_LIMIT} s in a clean process") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or f"ended by signal {-done.returncode}").splitlines()[-1]
        raise BundleError(f"{folder}: refused in a clean process: {last}")


def check_parity(folder: Path, trained: Trained, features: np.ndarray, contract: Contract) -> None:
    """Raise BundleError unless ONNX graph and model agree to 1e-5.

    Asked again with each nullable feature's columns missing: a NaN let through unawares would be
    answered with certainty.

    Args:
        folder: of the bundle.
        trained: says how the model's latent, or its margins, become probabilities.
        features: feature matrix (n, columns), float32; 5,000 rows of it are asked.
        contract: whose features have those columns.
    """
    session, model = open_session(folder / MODEL), read_model(folder)
    groups = zip(contract.features, feature_space(contract).groups, strict=True)
    for columns in ((), *(group for column, group in groups if column.nullable)):
        asked = features[:PARITY_ROWS].copy()
        asked[:, list(columns)] = np.nan
        gap = parity(model, trained.link, session, asked, trained.tempering)
        if not gap <= TOLERANCE:
            raise BundleError(f"{folder}: ONNX graph and model differ by {gap:.2g}, more than {TOLERANCE}")


def refuse_pickles(folder: Path) -> None:
    """Raise BundleError if any file is a pickle: by name, or by the 0x80 and 2 to 5 that it begins with."""
    for path in filter(Path.is_file, folder.rglob("*")):
        with path.open("rb") as file:
            begins = file.read(2) in PICKLE_STARTS
        if begins or path.suffix in PICKLES:
            raise BundleError(f"{path}: a pickle may not be in a bundle")


REFERENCE_ROWS, MANY_ROWS = 5_000, 200_000
EXAMPLE_ROWS = 20


def make_bundle(submission: Submission) -> None:
    """Make the folder of the verified bundle, its plots and its students, unless an equal run did.

    Raises BundleError when the bundle does not hold what it promises; nothing is left then.
    """

    def build(draft: Path) -> None:
        (draft / "bundle").mkdir()
        write_bundle(draft / "bundle", submission)
        features = matrix(submission.evidence.frame, submission.contract)
        check_parity(draft / "bundle", submission.trained, features, submission.contract)
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
    contract, evidence, trained = submission.contract, submission.evidence, submission.trained
    for name in (MODEL, MODEL_FILES[trained.family]):
        shutil.copyfile(trained.folder / name, folder / name)
    shutil.copyfile(find_contract(submission.contract_name), folder / CONTRACT)
    session = open_session(folder / MODEL)

    def forecast(features: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"features": features})[0]

    learned_from = submission.processed.sample(contract, MANY_ROWS, "train")  # quarantined rows too
    sound = learned_from[learned_from["quarantine"] == ""]
    day_sets = trained.day_sets(contract.dated.checkpoints) if contract.dated else ()
    population = population_of(sound, contract, forecast, trained.set_thresholds, day_sets)
    part_way = part_way_figures(evidence, population, forecast, trained.set_thresholds)
    nobody = made_up(sound, submission.processed.all_blocks(contract), contract, EXAMPLE_ROWS)
    shares = forecast(matrix(nobody, contract))
    (folder / CARD).write_text(model_card(evidence, {}, part_way), encoding="utf-8")
    figures = card_figures(evidence, part_way)
    (folder / FIGURES).write_text(figures.model_dump_json(indent=1), encoding="utf-8")
    (folder / POPULATION).write_text(population.model_dump_json(indent=1), encoding="utf-8")
    reference_sample(learned_from, contract).to_csv(folder / REFERENCE, index=False)
    (folder / EXAMPLES).write_text(_examples(nobody, shares, contract), encoding="utf-8")
    manifest = _manifest(submission, {name: digest(folder / name) for name in files_of(trained.family)})
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")


def reference_sample(frame: pd.DataFrame, contract: Contract, seed: int = 0) -> pd.DataFrame:
    """Return at most 5,000 training records as parsed, without ids, with their reasons of quarantine."""
    frame = one_row_each(frame, seed)
    sample = frame.sample(REFERENCE_ROWS, random_state=seed) if len(frame) > REFERENCE_ROWS else frame
    hidden = [name for name in OWN if name != "quarantine"] + ([contract.id.name] if contract.id else [])
    return as_stored(sample.drop(columns=hidden, errors="ignore"))


def _examples(frame: pd.DataFrame, probabilities: np.ndarray, contract: Contract) -> str:
    pairs = zip(to_records(frame, contract), probabilities.tolist(), strict=True)
    made = [{"made_up": True, "record": record, "probabilities": values} for record, values in pairs]
    return json.dumps(made, indent=1)


def _manifest(submission: Submission, files: dict[str, str]) -> Manifest:
    trained, processed, evidence = submission.trained, submission.processed, submission.evidence
    target = submission.contract.target
    training = trained.model_dump(include={"family", "kind", "params", "rounds", "set_rows", "notes"})
    origin = {"rows": processed.train_rows, "source": processed.source, "source_sha256": processed.sha256}
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
        training={**training, **origin},
        files=files,
    )
