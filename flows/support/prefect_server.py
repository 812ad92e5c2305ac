"""The Prefect server that a command uses: one that is there, else a local one for as long as needed.

Never Prefect's ephemeral API: it loses task records when a process ends.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from data.errors import BadInput
from flows.support import prefect_process as process
from flows.support.locks import file_lock
from flows.support.prefect_api import (
    PASSWORD,
    fault,
    home_of,
    is_local_prefect,
    local_url,
    password_for,
    wait_until_settled,
)

USUAL_PORT = 4200
Say = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Show one line of progress to the person, if there still is one."""
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)


@contextmanager
def prefect_server(home: Path, *, port: int = USUAL_PORT, say: Say = to_stderr) -> Iterator[str]:
    """Make this process use a healthy Prefect server, and yield its API address.

    That of PREFECT_API_URL, else one that is on the usual port, else a local one with its state in
    `home`/prefect (or PREFECT_HOME), which the last of its users stops. One that wants a password gets
    that of PREFECT_API_AUTH_STRING or, on this machine, of its state folder. Prefect may be imported
    before or after.

    Raises:
        BadInput: nothing healthy answers at PREFECT_API_URL.
        RuntimeError: the local server did not start; names its log.
    """
    state = Path(os.environ.get("PREFECT_HOME") or home / "prefect").absolute()
    given = os.environ.get("PREFECT_API_URL")
    with ExitStack() as stack:
        if given:
            wanted = {"PREFECT_API_URL": _checked(given)}
        else:
            url = local_url(stack.enter_context(_local(state, port, say)))
            wanted = {"PREFECT_API_URL": url, "PREFECT_HOME": str(state)}
        stack.enter_context(_prefect_settings(wanted))
        yield wanted["PREFECT_API_URL"]


@contextmanager
def running_server(home: Path, *, port: int = USUAL_PORT) -> Iterator[str]:
    """Make this process use the Prefect server that runs, and yield its API address; start none.

    That of PREFECT_API_URL, else one on the usual port, else the one whose state is in `home`.
    Raises BadInput where there is none.
    """
    given = os.environ.get("PREFECT_API_URL")
    state = Path(os.environ.get("PREFECT_HOME") or home / "prefect").absolute()
    found = port if is_local_prefect(port) else process.running_port(state)
    if not given and found is None:
        raise BadInput(
            f"No Prefect server runs on port {port} of this machine.",
            remedy="Start one with `make up`, or name one in PREFECT_API_URL.",
        )
    url = _checked(given) if given else local_url(found or port)
    with _prefect_settings({"PREFECT_API_URL": url}):
        yield url


def _checked(url: str) -> str:
    wrong = fault(url)
    if wrong:
        raise BadInput(
            f"PREFECT_API_URL is {url}, but no Prefect server is healthy there ({wrong}).",
            remedy="Start that server, correct the variable, or unset it to use a local server.",
        )
    return url


@contextmanager
def _local(state: Path, port: int, say: Say) -> Iterator[int]:
    """Yield the port of a server on this machine: one on the usual port, whoever's it is, or our own."""
    owner = home_of(port) if is_local_prefect(port) else state
    if owner is None or not (owner == state or _is_temporary(owner)):
        yield port  # somebody runs it on purpose: used, never stopped
        return
    with ExitStack() as stack:
        stack.enter_context(_use(owner))
        if owner != state and not _is_temporary(owner):
            stack.close()  # its last user stopped it meanwhile
            stack.enter_context(_use(state))
            owner = state
        yield _find_or_start(owner, port, say)


def _is_temporary(state: Path) -> bool:
    """Tell whether a folder's server runs and was started by this module, for another GRADECAST_HOME."""
    try:
        return process.running_port(state) is not None
    except OSError:  # another person's folder
        return False


@contextmanager
def _use(state: Path) -> Iterator[None]:
    """Count as a user of a folder's server; the last one to leave stops it."""
    users = state / "users.lock"
    try:
        with file_lock(users, shared=True):
            yield
    finally:
        with suppress(BlockingIOError), file_lock(users, blocking=False):  # else another leaves last
            _stop(state)


def _stop(state: Path) -> None:
    port = process.running_port(state)
    if port is not None:
        wait_until_settled(port)
        process.stop(state)


def _find_or_start(state: Path, wanted: int, say: Say) -> int:
    with file_lock(state / "start.lock"):
        running = process.running_port(state)
        if running is not None and process.wait_until_healthy(state, running):
            return running
        say("Starting a local Prefect server, which takes 10 to 20 seconds …")
        begun = time.monotonic()
        for _ in range(2):  # the port may be taken between the look and the start
            port = process.port_to_use(wanted)
            process.launch(state, port)
            if process.wait_until_healthy(state, port):
                say(f"Prefect is ready after {time.monotonic() - begun:.0f} s at http://127.0.0.1:{port}")
                return port
    raise RuntimeError(f"The local Prefect server did not start; its log is {process.log(state)}")


@contextmanager
def _prefect_settings(wanted: dict[str, str]) -> Iterator[None]:
    """Set Prefect's settings: by the environment, and where it is imported already by its context.

    With the server's address goes its password, where one is known.
    """
    password = password_for(wanted["PREFECT_API_URL"])
    wanted = wanted | ({PASSWORD: password} if password else {})
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        with _settings_context(wanted):
            yield
    finally:
        if "prefect" in sys.modules:
            _drain()
        os.environ.update({name: value for name, value in before.items() if value is not None})
        for name in [name for name, value in before.items() if value is None]:
            os.environ.pop(name, None)


@contextmanager
def _settings_context(wanted: dict[str, str]) -> Iterator[None]:
    if "prefect" not in sys.modules:
        yield  # it will read the environment when it is imported
        return
    import prefect.settings as prefect_settings

    with prefect_settings.temporary_settings(
        {getattr(prefect_settings, name): wanted[name] for name in wanted}
    ):
        yield


def _drain() -> None:
    """Send what Prefect still holds back, before its server may be stopped."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=5)
    EventsWorker.drain_all(timeout=5)
