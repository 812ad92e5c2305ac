"""The trigger of a retraining: whether one is wanted, on which students, and whether one is under way."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from pydantic import ValidationError

from data.contract.columns import OF_COHORT, PERSON, PSEUDONYM
from data.contract.dated import AS_OF
from data.log.reading import Measurement, read_measurements, write_measurements
from data.sources.storage import as_stored
from data.words import plural
from flows.drift_gate import DRIFT, LEAST_ROWS
from flows.drift_gate.relation import label_fault_in
from flows.drift_gate.samples import Reference
from flows.monitoring.checkpoints import newest_by_checkpoint
from flows.monitoring.watch import LOSS, Watched, judge_relation, sound_of
from flows.monitoring.window import Forecasts, Window
from flows.processing.processed import SUMMARY, Processed
from flows.registry.store import Champion
from flows.runtime.workspace import SEAL, fault_of, fingerprint, finished_file
from flows.settings import Settings

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
    `usable_forecasts` gives. A student is in it once, newest; of dated records once for each day, and
    `limit` counts students.
    """
    contract = champion.bundle.contract
    graded, notes = usable_forecasts(log, window, champion)
    source = source_records(champion, home)
    if source is None:
        notes += ("The records that the champion learned from are gone; the set is of the log alone.",)
    columns = [PSEUDONYM, *(column.name for column in contract.asked), contract.target.column]
    columns += [contract.score.name] if contract.score else []
    columns += [PERSON] if contract.dated else []
    columns += [OF_COHORT] if contract.dated and contract.dated.cohort else []
    frame = with_persons(graded.frame, source) if contract.dated else graded.frame
    parts = [part.reindex(columns=columns) for part in (source, frame) if part is not None]
    everyone = pd.concat([as_stored(part) for part in parts], ignore_index=True)
    chosen = newest_rows(everyone, limit, [AS_OF] if contract.dated else [])
    content = pd.util.hash_pandas_object(chosen, index=False).to_numpy().tolist()
    digest = fingerprint(rows=content, columns=list(chosen))
    path = home / FOLDER / f"{contract.name}-{digest}.parquet"
    finished_file(path, lambda draft: chosen.to_parquet(draft, index=False))
    from_log = int(chosen[PSEUDONYM].isin(graded.frame[PSEUDONYM]).sum())
    return RetrainingSet(path, len(chosen), from_log, notes)


def newest_rows(rows: pd.DataFrame, limit: int, days: list[str]) -> pd.DataFrame:
    """Return the newest row of each student, and day, of so many students that are the newest."""
    newest = rows[~rows.duplicated([PSEUDONYM, *days], keep="last")]
    students = newest[PSEUDONYM].drop_duplicates(keep="last").tail(limit)
    return newest[newest[PSEUDONYM].isin(students)]


def with_persons(frame: pd.DataFrame, source: pd.DataFrame | None) -> pd.DataFrame:
    """Return rows of the log with who each is of: as the source knows it, else a student is a person.

    The log knows no more of them than the pseudonym of the id.
    """
    known = {} if source is None else dict(zip(source[PSEUDONYM], source[PERSON], strict=True))
    return frame.assign(**{PERSON: [known.get(student, student) for student in frame[PSEUDONYM]]})


def usable_forecasts(log: Forecasts, window: Window, champion: Champion) -> tuple[Forecasts, tuple[str, ...]]:
    """Return the forecasts whose grade can be learned from, in the order in which the grades came.

    The newest of each student of the whole period, of dated records at each checkpoint; sound, with a score
    where the class is derived from it, and of a stretch that is like today (see `like_today`). A student
    without an id goes by the forecast's. With it come notes of what was left out.
    """
    contract = champion.bundle.contract
    graded = newest_by_checkpoint(log.take(log.classes(contract) >= 0).whole(), contract)
    order = np.argsort(graded.about["outcome_at"].to_numpy(), kind="stable")
    graded = graded.take_order(order)
    names = graded.frame[PSEUDONYM].fillna(graded.about["prediction_id"])
    graded = replace(graded, frame=graded.frame.assign(**{PSEUDONYM: names}))
    whole = sound_of(graded, contract)
    if contract.target.derived and contract.score is not None:
        whole &= graded.frame[contract.score.name].notna().to_numpy()
    alike = like_today(graded, window, champion)
    left = (
        (~whole, "faulty, or without the score that the class is of"),
        (whole & ~alike, "their grades do not follow from the records as before"),
    )
    notes = (f"{out.sum()} graded forecasts were left out: {why}." for out, why in left if out.any())
    return graded.take(whole & alike), tuple(notes)


def like_today(graded: Forecasts, window: Window, champion: Champion) -> np.ndarray:
    """Return which forecasts (n,) are of a stretch whose grades can be believed today.

    The time before the window is cut into stretches of its length. One in which the relation between
    records and grades was not the champion's is left out, unless it has not been so ever since: corrupt
    grades pass, a changed effect stays.
    """
    manifest = champion.bundle.manifest
    trained = int(manifest.training["rows"])
    reference = Reference(champion.reference(), trained)
    alike = np.ones(len(graded), dtype=bool)
    unbroken = True
    for number, rows in _stretches(graded, window):
        findings = judge_relation(graded.take(rows).newest(), reference, champion, champion.bundle.contract)
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


PIPELINE = "grade-pipeline"
LATEST_RUNS = 200


@dataclass(frozen=True)
class Run:
    """A pipeline run on a retraining set, newest first where there are several."""

    data: str
    under_way: bool
    broken: bool
    """Whether it ended by a crash or an error: then it decided nothing."""


def pipeline_runs(contract: str) -> list[Run]:
    """Return the pipeline's runs on retraining sets of a contract, newest first, from the Prefect server."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[PIPELINE])),
            sort=FlowRunSort.START_TIME_DESC,
            limit=LATEST_RUNS,
        )
    return [run for run in map(_run, runs) if is_of_set(run.data, contract)]


def is_of_set(data: str, contract: str) -> bool:
    """Tell whether a source is a retraining set of a contract."""
    path = Path(data)
    return path.parent.name == FOLDER and path.name.startswith(f"{contract}-")


def _run(run: Any) -> Run:
    state = run.state
    stopped = state is not None and state.name == "Stopped"
    broken = state is not None and (state.is_crashed() or (state.is_failed() and not stopped))
    return Run(str(run.parameters.get("data", "")), state is None or not state.is_final(), broken)


EVENT, RESOURCE = "gradecast.retraining-wanted", "gradecast.model."
WANTED = "retraining_wanted"


@dataclass(frozen=True)
class RetrainingDecision:
    """What became of the question whether to retrain: said in words, and the set where it is wanted."""

    decision: str
    notes: tuple[str, ...] = ()
    data: Path | None = None


NOT_ASKED = RetrainingDecision("not looked into")


def decide_retraining(
    engine: sa.Engine, watched: Watched, champion: Champion | None, contract: str, settings: Settings
) -> RetrainingDecision:
    """Ask for a retraining if one is wanted, on a set that is written for it; say why, or why not.

    To be called in a flow run: runs are looked up at its Prefect server, and the event goes there.
    """
    if champion is None:
        return RetrainingDecision("none: there is no champion yet; run the pipeline on records of your own")
    runs = pipeline_runs(watched.contract.name)
    last = last_trigger(engine, watched, runs)
    sure = watched.judgement.clear or confirmed(engine, watched)
    reason = reason_not_to_retrain(watched, champion, last, runs, settings.cooldown_days, sure=sure)
    if reason:
        return RetrainingDecision(f"none: {reason}")
    found = write_retraining_set(
        watched.log, watched.window, champion, settings.home, settings.retrain_window
    )
    return RetrainingDecision(trigger_retraining(engine, watched, found, contract), found.notes, found.path)


def last_trigger(engine: sa.Engine, watched: Watched, runs: Iterable[Run]) -> datetime | None:
    """Return when the window ended of the last retraining that was wanted, and has not crashed or failed."""
    newest = {Path(run.data).stem: run for run in reversed(list(runs))}
    broken = {name for name, run in newest.items() if run.broken}
    found = read_measurements(engine, watched.contract.name, names=[WANTED], before=watched.window.until)
    for row in reversed(found):
        if row["about"] not in broken:
            return row["until"]
    return None


def confirmed(engine: sa.Engine, watched: Watched) -> bool:
    """Tell whether the window before, which shares no record with this one, had raised an alarm as well."""
    found = read_measurements(
        engine, watched.contract.name, names=["drift_share"], before=watched.window.since
    )
    mine = [row["verdict"] for row in found if row["model_version"] == watched.version]
    return bool(mine) and mine[-1] in (DRIFT, LOSS)


def reason_not_to_retrain(
    watched: Watched,
    champion: Champion,
    last: datetime | None,
    runs: Iterable[Run],
    cooldown_days: float,
    *,
    sure: bool,
) -> str | None:
    """Say why no retraining is wanted, or return None where one is.

    `sure` tells whether the alarm is clear, or confirmed. The cool-down counts on the windows' ends.
    """
    judgement, until = watched.judgement, watched.window.until
    if judgement.verdict not in (DRIFT, LOSS):
        return f"the verdict is {judgement.verdict}"
    if fault := label_fault_in(judgement.relation):
        return f"the grades cannot be right: {fault}; mend them at their source and report them again"
    if not sure:
        return "the alarm is not clear enough for a single look; it is wanted if the next window confirms it"
    if any(run.under_way for run in runs):
        return "one is under way"
    if last is not None and until - last < timedelta(days=cooldown_days):
        return f"the last one was wanted on {last:%Y-%m-%d}, less than {cooldown_days:g} days ago"
    if (new := _new_grades(watched, champion, last)) < LEAST_ROWS:
        whose = f"since {last:%Y-%m-%d}" if last else "of students new to the champion"
        return f"too few grades to learn from: {new} {whose}, of {LEAST_ROWS} needed"
    return None


def _new_grades(watched: Watched, champion: Champion, last: datetime | None) -> int:
    graded = watched.log.take(watched.log.classes(watched.contract) >= 0)
    graded = graded.newest() if watched.contract.dated else graded  # a student may have many
    if last is None:
        return int((~champion.has_seen(graded.frame[PSEUDONYM])).sum())
    return sum(at >= last for at in graded.about["outcome_at"])


def trigger_retraining(engine: sa.Engine, watched: Watched, found: RetrainingSet, contract: str) -> str:
    """Ask for a retraining on a set, write down that it was asked for, and return why."""
    from prefect.events import emit_event

    judgement = watched.judgement
    reason = f"{judgement.verdict}: {' '.join(judgement.reasons)}"
    emit_event(
        event=EVENT,
        resource={"prefect.resource.id": f"{RESOURCE}{watched.contract.model_name}"},
        payload={"contract": contract, "data": str(found.path.resolve()), "reason": reason},
    )
    figure = Measurement(WANTED, float(found.rows), found.from_log, about=found.path.stem, verdict="wanted")
    write_measurements(engine, watched.frame, [figure])
    told = f"{plural(found.rows, 'record')}, {found.from_log:,} of them from the log"
    return f"wanted, on {found.path} ({told})"
