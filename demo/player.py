"""Play one month through the running loop and tell what became of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment

from data.contract.contract import Contract
from data.log.database import open_log, outcomes, predictions
from data.log.reading import latest_measurements
from demo.months import Answers, Class, Month, ask, report, students_of
from demo.plot import Figure90, Played
from flows.monitoring.retraining import WANTED
from flows.registry.store import CHAMPION, open_registry, version_of_alias
from flows.runtime.predictor_api import PredictorApi
from flows.settings import Settings

LIMIT = 600.0  # seconds for anything to come about
PAUSE = 0.5


def run(deployment: str, parameters: dict[str, Any]) -> FlowRun:
    """Start a deployment and wait for its end; raises RuntimeError where it fails."""
    done: Any = run_deployment(deployment, parameters=parameters, timeout=LIMIT, poll_interval=1)
    if done.state is None or not done.state.is_completed():
        ended = done.state.message if done.state else "it never began"
        raise RuntimeError(f"{deployment} did not complete: {ended}")
    return done


def runs_of(deployment: str, since: datetime) -> list[FlowRun]:
    """Return the runs of a deployment that were made since a moment, oldest first."""
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        wanted = {"deployment_id": {"any_": [found.id]}, "expected_start_time": {"after_": since}}
        return client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(wanted), sort=FlowRunSort.EXPECTED_START_TIME_ASC
        )


def is_final(flow_run: FlowRun) -> bool:
    """Tell whether a run has ended."""
    return flow_run.state is not None and flow_run.state.is_final()


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait until something is true; raises RuntimeError where it does not come about."""
    end = time.monotonic() + LIMIT
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {LIMIT:.0f} s in vain until {what}")
        time.sleep(PAUSE)


PIPELINE, MONITOR, ROLLBACK = "grade-pipeline/default", "drift-monitor/daily", "rollback/default"
STARTS = 60.0  # seconds for a retraining to be started by the event


@dataclass(frozen=True)
class Loop:
    """The running loop, and the school that it is shown with."""

    predictor: PredictorApi
    settings: Settings
    contract: Contract
    students: int
    seed: int
    say: Callable[[str], None]

    @property
    def client(self) -> MlflowClient:
        """Open the registry."""
        return open_registry(self.settings)

    def champion(self) -> str:
        """Return the champion's version."""
        version = version_of_alias(self.client, self.contract.model_name, CHAMPION)
        return "" if version is None else str(version.version)

    def newest(self) -> str:
        """Return the version that was registered last."""
        known = self.client.search_model_versions(f"name = '{self.contract.model_name}'")
        return max((str(each.version) for each in known), key=int, default="")


@dataclass
class Office:
    """The school's office: remembers the first champion, and whose grades it may have to report again."""

    first_champion: str
    before: tuple[Class, Answers] | None = None


def play(loop: Loop, month: Month, place: int, office: Office) -> Played:
    """Let a month's students ask, report their grades, run the monitor and see what it starts."""
    champion, since = loop.champion(), datetime.now(UTC)
    loop.say(f"{month.name}: {month.story}")
    if month.rollback:
        back = {"to": office.first_champion, "reason": month.story, "by": "the demonstration"}
        run(ROLLBACK, {"contract": loop.contract.name, **back})
        champion = loop.champion()
        wait_until(lambda: served_version(loop) == champion, "the predictor follows the rollback")
    if month.mended and office.before is not None:
        report(loop.predictor, *office.before, loop.contract, corrupted=0.0, seed=loop.seed)
    students = students_of(month, place, loop.students, loop.contract, loop.seed)
    asked = ask(loop.predictor, students, loop.contract, month)
    report(loop.predictor, students, asked, loop.contract, corrupted=month.corrupted, seed=loop.seed + place)
    office.before = students, asked
    wait_until(lambda: is_logged(asked, loop), "the log has what was asked and reported")
    verdict, figures, wanted = watch(loop, since) if asked.ids else ("", {}, False)
    retrained = retraining(loop, since) if wanted else ""
    return Played(
        name=month.name,
        story=month.story,
        champion=champion,
        after=loop.champion(),
        verdict=verdict,
        estimated=figures.get("estimated_accuracy"),
        realised=figures.get("realised_accuracy"),
        retrained=retrained,
        rolled_back=month.rollback,
        refused=asked.refused,
    )


def watch(loop: Loop, since: datetime) -> tuple[str, dict[str, Figure90], bool]:
    """Run the monitor's deployment on a window.

    Returns its verdict, the shares with an interval, and whether it wanted a retraining.
    """
    until = datetime.now(UTC)
    window = {"since": since.isoformat(), "until": until.isoformat()}
    run(MONITOR, {"contract": loop.contract.name, **window})
    engine = open_log(loop.settings.database_url)
    measured = latest_measurements(engine, loop.contract.name)
    wanted = any(row["name"] == WANTED for row in measured)
    rows = [row for row in measured if not row["about"]]
    verdict = next((row["verdict"] for row in rows if row["name"] == "drift_share"), "")
    shares = {
        row["name"]: Figure90(row["value"], row["low"], row["high"]) for row in rows if row["low"] is not None
    }
    loop.say(f"  monitor: {verdict}{', and wants a retraining' if wanted else ''}")
    return verdict, shares, wanted


def retraining(loop: Loop, since: datetime) -> str:
    """Wait for the retraining that the monitor's event starts; return the version it gave, or nothing."""
    before, end = loop.newest(), time.monotonic() + STARTS
    while not (started := runs_of(PIPELINE, since)):
        if time.monotonic() > end:
            loop.say("  no retraining was started")
            return ""
        time.sleep(PAUSE)
    wait_until(lambda: all(is_final(each) for each in runs_of(PIPELINE, since)), "the retraining has ended")
    newest, state = loop.newest(), runs_of(PIPELINE, since)[-1].state
    if newest == before:
        loop.say(f"  retraining {started[0].name}: {state.name if state else 'lost'}, no new version")
        return ""
    promoted = loop.champion() == newest
    loop.say(f"  version {newest} was {'promoted' if promoted else 'kept out'}")
    if promoted:
        wait_until(lambda: served_version(loop) == newest, "the predictor answers with it")
    return newest


def served_version(loop: Loop) -> str:
    """Return the version that the predictor answers with."""
    ready = loop.predictor.ready()
    return (ready.version if ready else None) or ""


def is_logged(asked: Answers, loop: Loop) -> bool:
    """Tell whether the database has every forecast of a month, and an outcome of each."""
    engine = open_log(loop.settings.database_url)
    with engine.connect() as connection:
        names = set(connection.execute(sa.select(predictions.c.prediction_id)).scalars())
        settled = set(connection.execute(sa.select(outcomes.c.prediction_id)).scalars())
    return set(asked.ids) <= names & settled
