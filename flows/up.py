"""Run everything on this machine: Prefect server and worker, MLflow server, predictor. Ctrl-C ends it all."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from data.durable import file_lock
from data.errors import BadInput
from data.processes import end_recorded
from flows.deploy import deploy, ensure_pool, registered
from flows.runtime import server as prefect_process
from flows.runtime import services
from flows.runtime.exit_codes import DONE, explain
from flows.runtime.predictor_api import PredictorApi
from flows.runtime.progress import open_console, print_line
from flows.runtime.runs import reconcile
from flows.runtime.server import is_open, prefect_server, profile
from flows.runtime.services import Places, ServiceProcess, supervised
from flows.settings import Settings

LOOK_SECONDS = 0.5
RECONCILE_SECONDS = 15.0
MAKE_REGISTRY = """
from flows.registry.store import open_registry
from flows.settings import Settings
open_registry(Settings())
"""
NAMES = ("worker", "MLflow", "predictor")
OPEN = (
    "WARNING: the Prefect server at {} asks nobody for a password: any web page that is open on this machine "
    "can run commands here through it. Stop it and start `make up` again, or give it one "
    "(PREFECT_SERVER_API_AUTH_STRING, and PREFECT_API_AUTH_STRING for its clients)."
)


class Up:
    """What is kept running for one state folder."""

    def __init__(self, console: Console, settings: Settings, places: Places) -> None:
        self.settings, self.places = settings, places
        self.state = Path(os.environ.get("PREFECT_HOME") or settings.home / "prefect").absolute()
        self.api_url, self.own_server = "", False
        self._console, self._services = console, list[ServiceProcess]()

    def say(self, line: str) -> None:
        """Show a line to the person, with the time."""
        print_line(self._console, f"{time.strftime('%H:%M:%S')}  {line}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start everything, wait until it is well, and end it when the block ends."""
        settings, places = self.settings, self.places
        with ExitStack() as stack:
            self._start(stack, services.predictor(settings, places))
            if services.own_mlflow(settings):
                self._start(stack, services.mlflow_server(settings, places))
            server = prefect_server(settings.home, port=places.prefect, say=self.say)
            self.api_url = stack.enter_context(server)
            self.own_server = prefect_process.running_port(self.state) is not None
            if is_open(self.api_url):
                self.say(OPEN.format(self.api_url))
            ensure_pool()
            stack.callback(self.reconcile)  # of what the worker's end leaves behind
            self.reconcile()
            self._start(stack, services.worker(settings, places, self.api_url))
            self.say("Registering the deployments")
            deploy(self.api_url)
            for each in self._services:
                each.wait_until_healthy()
            yield

    def _start(self, stack: ExitStack, service: services.Service) -> None:
        self.say(f"Starting {service.name}")
        self._services.append(stack.enter_context(supervised(service, self.settings.home / "up", self.say)))

    def watch(self) -> None:
        """Start again what ends, until interrupted; end the runs whose process is gone."""
        due = time.monotonic() + RECONCILE_SECONDS
        while True:
            time.sleep(LOOK_SECONDS)
            restarted = [self._restart_server(), *(each.restart() for each in self._services)]
            if any(restarted) or time.monotonic() > due:
                self.reconcile()
                due = time.monotonic() + RECONCILE_SECONDS

    def _restart_server(self) -> bool:
        if not self.own_server or prefect_process.running_port(self.state) is not None:
            return False
        self.say(f"The Prefect server ended; starting it again. Its log: {prefect_process.log(self.state)}")
        with file_lock(self.state / "start.lock"):
            if prefect_process.running_port(self.state) is None:
                prefect_process.launch_again(self.state, self.places.prefect)
        return True

    def reconcile(self) -> None:
        """End the runs whose process is gone, where the server can be asked just now."""
        from httpx import HTTPError

        try:
            for told in reconcile(self.settings.home):
                self.say(f"Run {told}")
        except (HTTPError, RuntimeError) as error:  # the latter is Prefect's, of a server that is away
            self.say(f"The Prefect server cannot be asked just now: {error}")

    def show(self) -> None:
        """Print the addresses, and what there is to know."""
        ready = PredictorApi(self.places.predictor_url).ready()
        model = f"{ready.model}, version {ready.version}" if ready and ready.version else None
        login = (
            f"; log in with what {profile(self.state)} has for PREFECT_API_AUTH_STRING, gradecast: and all"
        )
        deployments = f"{len(registered())} deployments{login if self.own_server else ''}"
        shown = self.places.mlflow_url if services.own_mlflow(self.settings) else self.settings.tracking_uri
        lines = {
            "Predictor": f"{self.places.predictor_url}  {model or 'no model yet: `make pipeline` makes one'}",
            "Prefect": f"{self.api_url.removesuffix('/api')}  {deployments}",
            "MLflow": f"{shown}  runs and versions",
            "Logs": str(self.settings.home / "up"),
        }
        for name, line in lines.items():
            print_line(self._console, f"{name:<11}{line}")
        print_line(self._console, "Ctrl-C ends it all.")


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Be the only one that keeps things running for a state folder, and end what a killed one left.

    Raises BadInput when another is at work.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(home / "up" / "up.lock", blocking=False))
        except BlockingIOError as error:
            raise BadInput(f"`make up` runs already for {home}.", remedy="End that one first.") from error
        for name in NAMES:
            end_recorded(home / "up" / name)
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Take a Ctrl-C, a SIGTERM or the end of the terminal as the wish to end, once.

    A second Ctrl-C must not end the ending.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str] | None = None) -> int:
    """Run everything until interrupted, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.up", description=__doc__)
    parser.parse_args(arguments)
    console, settings, places = open_console(), Settings(), Places()
    up = Up(console, settings, places)
    try:
        with interruptible(), alone(settings.home):
            services.refuse_taken_ports(settings, places)
            make_registry(settings)
            with up.running():
                up.show()
                up.watch()
    except KeyboardInterrupt:
        up.say("Ended")
    except (BadInput, RuntimeError) as error:
        return explain(console, error, settings)
    return DONE


def make_registry(settings: Settings) -> None:
    """Make the local registry's tables before three programs do so at once."""
    if settings.local_registry and not (settings.home / "mlflow.db").exists():
        subprocess.run([sys.executable, "-c", MAKE_REGISTRY], check=True)


if __name__ == "__main__":
    sys.exit(main())
