"""Whether a retraining is wanted, and how it is asked for: by an event that a deployment waits for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from data.columns import PSEUDONYM
from data.measurements import Measurement, read_measurements, write_measurements
from flows.gates.findings import DRIFT, LEAST_ROWS
from flows.gates.labels import label_fault_in
from flows.monitoring.judgement import LOSS
from flows.monitoring.retraining import RetrainingSet, write_retraining_set
from flows.monitoring.runs import Run, pipeline_runs
from flows.monitoring.watch import Watched
from flows.registry.champion import Champion
from flows.reports.wording import plural
from flows.settings import Settings

EVENT, RESOURCE = "gradecast.retraining-wanted", "gradecast.model."
WANTED = "retraining_wanted"


@dataclass(frozen=True)
class Asked:
    """What became of the question whether to retrain: said in words, and the set where it is wanted."""

    told: str
    notes: tuple[str, ...] = ()
    data: Path | None = None


NOT_ASKED = Asked("not looked into")


def ask_for_retraining(
    engine: sa.Engine, watched: Watched, champion: Champion | None, contract: str, settings: Settings
) -> Asked:
    """Ask for a retraining if one is wanted, on a set that is written for it; say why, or why not.

    To be called in a flow run: runs are looked up at its Prefect server, and the event goes there.
    """
    if champion is None:
        return Asked("none: there is no champion yet; run the pipeline on records of your own")
    runs = pipeline_runs(watched.contract.name)
    last = last_wanted(engine, watched, runs)
    sure = watched.judgement.clear or confirmed(engine, watched)
    reason = why_not(watched, champion, last, runs, settings.cooldown_days, sure=sure)
    if reason:
        return Asked(f"none: {reason}")
    found = write_retraining_set(
        watched.log, watched.window, champion, settings.home, settings.retrain_window
    )
    return Asked(want(engine, watched, found, contract), found.notes, found.path)


def last_wanted(engine: sa.Engine, watched: Watched, runs: Iterable[Run]) -> datetime | None:
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


def why_not(
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
    if last is None:
        return int((~champion.has_seen(graded.frame[PSEUDONYM])).sum())
    return sum(at >= last for at in graded.about["outcome_at"])


def want(engine: sa.Engine, watched: Watched, found: RetrainingSet, contract: str) -> str:
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
