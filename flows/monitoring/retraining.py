"""The records that a retraining learns from: the champion's own, and forecasts whose grade has come.

Identity is the pseudonym alone: the log holds no ids, and neither does the set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from data.columns import PSEUDONYM
from data.contract import Contract
from data.storage import as_stored
from flows.gates.findings import DRIFT
from flows.gates.samples import Reference
from flows.monitoring.judgement import judge_relation, sound_of
from flows.monitoring.window import Forecasts, Window
from flows.process import SUMMARY, Processed
from flows.registry.champion import Champion
from flows.support.fingerprint import fingerprint
from flows.support.workspace import SEAL, fault_of, finished_file

FOLDER = "retraining"


@dataclass(frozen=True)
class RetrainingSet:
    """A Parquet file of labelled records, oldest first, and what is in it."""

    path: Path
    rows: int
    from_log: int
    notes: tuple[str, ...]


def write_retraining_set(
    log: Forecasts, window: Window, champion: Champion, home: Path, limit: int
) -> RetrainingSet:
    """Write the newest `limit` labelled records to `retraining/`, named for what is in them.

    The champion's own sound source records first, if its processed folder is still there, then what
    `usable_forecasts` gives. A student is in it once, newest.
    """
    contract = champion.bundle.contract
    graded, notes = usable_forecasts(log, window, champion)
    source = source_records(champion, home)
    if source is None:
        notes += ("The records that the champion learned from are gone; the set is of the log alone.",)
    parts = [_columns(part, contract) for part in ([] if source is None else [source]) + [graded.frame]]
    everyone = pd.concat([as_stored(part) for part in parts], ignore_index=True)
    chosen = everyone[~everyone[PSEUDONYM].duplicated(keep="last")].tail(limit)
    path = home / FOLDER / f"{contract.name}-{_digest(chosen)}.parquet"
    finished_file(path, lambda draft: chosen.to_parquet(draft, index=False))
    from_log = int(chosen[PSEUDONYM].isin(graded.frame[PSEUDONYM]).sum())
    return RetrainingSet(path, len(chosen), from_log, notes)


def usable_forecasts(log: Forecasts, window: Window, champion: Champion) -> tuple[Forecasts, tuple[str, ...]]:
    """Return the forecasts whose grade can be learned from, in the order in which the grades came.

    The newest of each student; sound, with a score where the class is derived from it, and of a stretch
    that is like today (see `like_today`). A student without an id goes by the forecast's. With it come
    notes of what was left out.
    """
    contract = champion.bundle.contract
    graded = log.take(log.classes(contract) >= 0).newest()
    order = np.argsort(graded.about["outcome_at"].to_numpy(), kind="stable")
    graded = _with_names(graded.take_order(order))
    whole = sound_of(graded, contract) & _has_what_derives(graded.frame, contract)
    alike = like_today(graded, window, champion)
    kept = graded.take(whole & alike)
    notes = []
    if (left := int((~whole).sum())) > 0:
        notes.append(
            f"{left} graded forecasts were left out: faulty, or without the score that the class is of."
        )
    if (left := int((whole & ~alike).sum())) > 0:
        notes.append(
            f"{left} graded forecasts were left out: their grades do not follow from the records as before."
        )
    return kept, tuple(notes)


def like_today(graded: Forecasts, window: Window, champion: Champion) -> np.ndarray:
    """Return which forecasts (n,) are of a stretch whose grades can be believed today.

    The time before the window is cut into stretches of its length. One in which the relation between
    records and grades was not the champion's is left out, unless it has not been so ever since: corrupt
    grades pass, a changed effect stays.
    """
    manifest = champion.bundle.manifest
    trained = int(manifest.training["rows"])
    reference = Reference(champion.reference(), trained, trained)
    alike = np.ones(len(graded), dtype=bool)
    unbroken = True
    for number, rows in _stretches(graded, window):
        findings = judge_relation(graded.take(rows), reference, champion, champion.bundle.contract)
        changed = any(found.verdict == DRIFT for found in findings)
        unbroken &= changed
        if changed and not unbroken and number > 0:
            alike &= ~rows
    return alike


def source_records(champion: Champion, home: Path) -> pd.DataFrame | None:
    """Return the sound records of the champion's source as parsed, or None where they are gone."""
    contract = champion.bundle.contract
    for summary in sorted((home / "processed").glob(f"{contract.name}-*/{SUMMARY}")):
        parsed = _parsed_source(summary, champion)
        if parsed is not None and champion.has_seen(parsed[PSEUDONYM]).any():  # else of another key
            return parsed[parsed["quarantine"] == ""]
    return None


def _parsed_source(summary: Path, champion: Champion) -> pd.DataFrame | None:
    """Return all rows of a processed folder; None where it is damaged, or of another source."""
    folder, source = summary.parent, champion.bundle.manifest.training["source_sha256"]
    if (folder / SEAL).exists() and fault_of(folder) is not None:
        return None
    try:
        processed = Processed.model_validate_json(summary.read_bytes())
        if processed.sha256 != source:
            return None
        return processed.model_copy(update={"folder": folder}).parsed(champion.bundle.contract)
    except (ValidationError, OSError, pa.ArrowInvalid):  # of a release that sealed nothing
        return None


def _stretches(graded: Forecasts, window: Window) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of each stretch, 0 for the window itself, and which forecasts (n,) are in it."""
    length = max(window.until - window.since, timedelta(seconds=1))
    ages = [(window.until - at) / length for at in graded.about["outcome_at"]]
    numbers = np.maximum(np.ceil(np.array(ages, dtype=float)).astype(int) - 1, 0)
    for number in np.unique(numbers):
        yield int(number), numbers == number


def _has_what_derives(frame: pd.DataFrame, contract: Contract) -> np.ndarray:
    if not contract.target.derived or contract.score is None:
        return np.ones(len(frame), dtype=bool)
    return frame[contract.score.name].notna().to_numpy()


def _with_names(graded: Forecasts) -> Forecasts:
    names = graded.frame[PSEUDONYM].fillna(graded.about["prediction_id"])
    return replace(graded, frame=graded.frame.assign(**{PSEUDONYM: names}))


def _columns(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    names = [PSEUDONYM, *(column.name for column in contract.asked), contract.target.column]
    names += [contract.score.name] if contract.score else []
    return frame.reindex(columns=names)


def _digest(frame: pd.DataFrame) -> str:
    content = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return fingerprint(rows=content.tolist(), columns=list(frame))
