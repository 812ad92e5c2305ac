"""Register the deployments of prefect.yaml with the Prefect server that runs."""

import argparse
import os
import subprocess
import sys
from contextlib import suppress

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import WorkPoolFilter
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker
from rich.console import Console
from rich.table import Table

from data.errors import BadInput
from flows.runtime.exit_codes import DONE, explain
from flows.runtime.notices import ensure_notices
from flows.runtime.progress import open_console, print_line, stage
from flows.runtime.runs import POOL
from flows.runtime.server import prefect_server
from flows.runtime.workspace import ROOT
from flows.settings import Settings

WORKER = f".venv/bin/prefect worker start --pool {POOL}"


def deploy(api_url: str) -> None:
    """Make the work pool if need be and register every deployment and notice, in the place of what was there.

    This process must be set to use the same server. Raises RuntimeError with what Prefect said when
    it refuses one.
    """
    ensure_pool()
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    environment = os.environ | {"PREFECT_API_URL": api_url}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise RuntimeError(f"Prefect refused the deployments of prefect.yaml:\n{done.stdout}{done.stderr}")
    ensure_notices(Settings().notify)


def ensure_pool() -> None:
    """Make the work pool; one that is there stays as it is, paused or limited."""
    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template)
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)


def registered() -> dict[str, DeploymentResponse]:
    """Return the deployments of our work pool by "flow/deployment"."""
    ours = WorkPoolFilter.model_validate({"name": {"any_": [POOL]}})
    with get_client(sync_client=True) as client:
        found = client.read_deployments(work_pool_filter=ours)
        return {f"{client.read_flow(each.flow_id).name}/{each.name}": each for each in found}


def show(console: Console, api_url: str) -> None:
    """Print what is registered, and how to start it."""
    table = Table("deployment", "started", title="Deployments", title_justify="left")
    for name, deployment in sorted(registered().items()):
        times = [str(getattr(each.schedule, "cron", each.schedule)) for each in deployment.schedules]
        table.add_row(name, ", ".join(f"cron {time} UTC" for time in times) or "when asked")
    console.print(table)
    for line in (f"Server: {api_url}", f"Their runs need a worker, in this folder: {WORKER}"):
        print_line(console, line)


def main(arguments: list[str] | None = None) -> int:
    """Register the deployments and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.deploy", description=__doc__)
    parser.parse_args(arguments)
    console = open_console()
    try:
        with prefect_server(Settings().home, start=False) as api_url:
            with stage("deploy", console):
                deploy(api_url)
            show(console, api_url)
    except (BadInput, RuntimeError) as error:
        return explain(console, error, Settings())
    return DONE


if __name__ == "__main__":
    sys.exit(main())
