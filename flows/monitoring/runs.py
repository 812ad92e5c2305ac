"""The pipeline's runs on retraining sets, as the Prefect server knows them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.monitoring.retraining import FOLDER

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
