"""The closed loop as it runs in a school: real Prefect server and worker, real registry, real predictor."""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pandas as pd
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.events.worker import EventsWorker

from data.cohorts import grades as cohort
from flows.runtime.services import Places, ServiceProcess, supervised, worker
from flows.settings import Settings
from tests.serving.running import Running, running

PIPELINE = "grade-pipeline/default"
PATIENCE = 240.0  # seconds: many times what a run takes
CHANGED = "cohort://600?seed=9&scenario=grading-inflation&strength=1"  # an effect that can be learned


@dataclass(frozen=True)
class Loop:
    """What there is to see of it from outside."""

    home: Path
    predictor: Running
    worker: ServiceProcess
    client: SyncPrefectClient

    def want_retraining(self, data: str) -> None:
        """Emit what the monitor emits."""
        emit_event(
            event="gradecast.retraining-wanted",
            resource={"prefect.resource.id": "gradecast.model.grade-class"},
            payload={"data": data, "contract": "grade_class", "reason": "drift"},
        )
        EventsWorker.drain_all(timeout=30)

    def runs(self, data: str, deployment: str = PIPELINE) -> list[FlowRun]:
        """Return a deployment's runs on some records, the newest first."""
        own = DeploymentFilter(id=DeploymentFilterId(any_=[self.deployment(deployment)]))
        found = self.client.read_flow_runs(deployment_filter=own)
        ours = [run for run in found if run.parameters.get("data") == data]
        return sorted(ours, key=lambda run: str(run.created), reverse=True)

    def deployment(self, name: str) -> UUID:
        return self.client.read_deployment_by_name(name).id

    def states(self, data: str) -> list[str]:
        """Return the names of the states of the runs on some records, the newest first."""
        return [str(run.state.name) for run in self.runs(data) if run.state]

    def unfinished(self) -> list[str]:
        """List the runs of this state folder, and what they began, that are not in a final state."""
        ids = [UUID(file.stem) for file in (self.home / "runs").glob("[!.]*.lock")]
        roots = self.client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)))
        parents = FlowRunFilterParentFlowRunId(any_=ids)
        begun = self.client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parents))
        return [run.name for run in roots + begun if run.state and not run.state.is_final()]

    def forecast(self) -> str:
        """Ask for a student's forecast; return the version that answered."""
        student = cohort.generate(1, seed=1).drop(columns=["StudentID", "GPA", "GradeClass"])
        status, answer = self.predictor.post("/predict", student.to_dict("records")[0])
        assert status == 200, answer
        return str(answer["model_version"])

    def ask_and_grade(self, students: pd.DataFrame) -> None:
        """Ask for forecasts, and report the grades that came later."""
        told = json.loads(students.astype({"GradeClass": int}).to_json(orient="records"))
        asked = [{k: v for k, v in each.items() if k not in ("GPA", "GradeClass")} for each in told]
        graded = [{k: each[k] for k in ("StudentID", "GPA", "GradeClass")} for each in told]
        for route, body, expected in (("/predict", asked, 200), ("/outcomes", graded, 202)):
            status, answer = self.predictor.post(route, body)
            assert status == expected, str(answer)[:500]

    def logged(self) -> tuple[int, int]:
        """Count the forecasts and the grades in the log."""
        with closing(sqlite3.connect(self.home / "predictions.db")) as log:
            tables = ("SELECT count(*) FROM predictions", "SELECT count(*) FROM outcomes")
            forecasts, grades = (int(log.execute(query).fetchone()[0]) for query in tables)
        return forecasts, grades

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds, and keep the worker running meanwhile."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"waited in vain until {what}\n{self.worker.log.read_text()}"
            self.worker.restart()
            time.sleep(0.2)


@contextmanager
def loop_of(home: Path, api_url: str) -> Iterator[Loop]:
    """Run predictor and worker on a state folder that has a champion, with a Prefect server that runs."""
    with (
        running(home, GRADECAST_SYNC_SECONDS=0.5) as predictor,
        worker_of(home, predictor, api_url) as process,
        get_client(sync_client=True) as client,
    ):
        yield Loop(home, predictor, process, client)


def copy_state(source: Path, home: Path) -> None:
    """Copy registry, log and history; the versions in it stay where they are, new ones go to the copy."""
    home.mkdir(parents=True)
    for name in ("mlflow.db", "predictions.db"):
        with closing(sqlite3.connect(source / name)) as old, closing(sqlite3.connect(home / name)) as new:
            old.backup(new)
    shutil.copytree(source / "processed", home / "processed")
    with closing(sqlite3.connect(home / "mlflow.db")) as registry:
        registry.execute("UPDATE experiments SET artifact_location = ?", ((home / "mlartifacts").as_uri(),))
        registry.commit()


@contextmanager
def worker_of(home: Path, predictor: Running, api_url: str) -> Iterator[ServiceProcess]:
    """Keep a worker running, as `make up` does."""
    places = Places.model_validate({"PORT": predictor.port})
    own = worker(Settings(home=home), places, api_url)
    with supervised(own, home / "up", lambda _: None) as process:
        yield process


def use_grid(client: SyncPrefectClient, grid: Path) -> None:
    """Let the deployed pipeline search a small grid."""
    deployment = client.read_deployment_by_name(PIPELINE)
    client.update_deployment(deployment.id, DeploymentUpdate(parameters={"grid": str(grid)}))
