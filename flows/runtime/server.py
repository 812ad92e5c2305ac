"""The Prefect server that a command uses: found or started, shared, stopped by its last user."""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener, urlopen
from uuid import uuid4

import psutil  # type: ignore[import-untyped]

from data.durable import file_lock
from data.errors import BadInput
from data.processes import LOOK_SECONDS, end_recorded, recorded, signal_group
from flows.runtime.progress import to_stderr
from flows.runtime.workspace import finished_file

PATIENCE = 5.0  # seconds for one answer of a busy machine
SETTLE_LIMIT = 60.0
STILL = 4  # looks in a row without a change
SETTLE_PAUSE = 0.2
MAJOR = 3  # an older server does not understand this client
FINISHED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PASSWORD = "PREFECT_API_AUTH_STRING"  # noqa: S105  the variable's name; Prefect's clients send what it holds
PROFILE = "gradecast"
_LOCAL = build_opener(ProxyHandler({}))  # a proxy cannot reach this machine's own ports


def local_url(port: int) -> str:
    """Return the API address of a server on a port of this machine."""
    return f"http://127.0.0.1:{port}/api"


def fault(api_url: str) -> str | None:
    """Say what is wrong with the server at an API address; None when it is healthy.

    One that wants credentials counts as healthy: whether they are right is between it and Prefect.
    """
    try:
        with urlopen(f"{api_url.rstrip('/')}/health", timeout=PATIENCE) as answer:
            return None if answer.status == 200 else f"answered {answer.status}"
    except HTTPError as error:
        return None if error.code in (401, 403) else f"answered {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def is_local_prefect(port: int) -> bool:
    """Tell whether a healthy Prefect server that lets us in, and nothing else, answers on a port."""
    return _ask(port, "health") is True and _is_prefect(port, password_for(local_url(port)))


def is_open(api_url: str) -> bool:
    """Tell whether a Prefect server on this machine wants no password of anyone."""
    port = _local_port(api_url)
    return port is not None and _is_prefect(port, None)


def _is_prefect(port: int, password: str | None) -> bool:
    version = _ask(port, "admin/version", password=password)
    return isinstance(version, str) and version.startswith(f"{MAJOR}.")


def _local_port(api_url: str) -> int | None:
    place = urlsplit(api_url)
    return place.port if place.hostname in LOOPBACK else None


def listener(port: int, word: str = "") -> Any:
    """Return the process, with a word in its command, that listens on a port; None where none is to be seen.

    Each process is asked for its own: what all have may be seen by root alone.
    """
    for process in psutil.process_iter():
        try:
            named = any(word in part for part in process.cmdline())
            if named and any(
                each.laddr.port == port and each.status == psutil.CONN_LISTEN
                for each in process.net_connections("tcp")
            ):
                return process
        except (psutil.Error, OSError):  # it has just ended, or is another person's
            continue
    return None


def home_of(port: int) -> Path | None:
    """Return the PREFECT_HOME of this person's Prefect server on a port; None where there is none to see.

    Asked of its process, not of the server, which wants to know first who asks.
    """
    process = listener(port, "prefect")
    try:
        home = process.environ().get("PREFECT_HOME") if process else None
    except psutil.Error:  # it has just ended
        return None
    return Path(home) if home else None


def profile(state: Path) -> Path:
    """Return the file in a server's state folder with the password that its clients must send.

    It is a profile as Prefect reads it, so that its own commands find the password too.
    """
    return state / "profiles.toml"


def password_in(state: Path) -> str | None:
    """Return the password that is kept in a server's state folder; None where there is none."""
    try:
        profiles = tomllib.loads(profile(state).read_text(encoding="utf-8"))["profiles"]
        return str(profiles[PROFILE][PASSWORD])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return None


def password_for(api_url: str) -> str | None:
    """Return the password for the server at an API address: that of its state folder, or as it was given."""
    port = _local_port(api_url)
    home = None if port is None else home_of(port)
    return (password_in(home) if home else None) or os.environ.get(PASSWORD)


def _wait_until_settled(port: int) -> None:
    """Wait until a server has written what it was told.

    It keeps events and task states in memory first, writes some 75 tasks a second, and forgets the
    rest when it is stopped.
    """
    end, password = time.monotonic() + SETTLE_LIMIT, password_for(local_url(port))
    before, still = None, 0
    while still < STILL and time.monotonic() < end:
        time.sleep(SETTLE_PAUSE)
        now = _written(port, password)
        before, still = now, still + 1 if now == before else 0


def _written(port: int, password: str | None) -> tuple[Any, Any, Any]:
    finished = {"task_runs": {"state": {"type": {"any_": FINISHED}}}}
    events = _ask(port, "events/filter", {"filter": {}, "limit": 1}, password)
    return (
        _ask(port, "task_runs/count", {}, password),
        _ask(port, "task_runs/count", finished, password),
        events.get("total") if isinstance(events, dict) else None,
    )


def _ask(port: int, path: str, body: dict[str, Any] | None = None, password: str | None = None) -> Any:
    """Return the JSON that a server on this machine answers to a GET, or to a POST of a body; else None."""
    request = Request(f"{local_url(port)}/{path}", headers={"Content-Type": "application/json"})
    if password:
        request.add_header("Authorization", f"Basic {base64.b64encode(password.encode()).decode()}")
    if body is not None:
        request.data = json.dumps(body).encode()
        client = str(uuid4())
        told = _ask(port, f"csrf-token?client={client}", password=password)  # None where it wants none
        if isinstance(told, dict):
            request.add_header("Prefect-Csrf-Client", client)
            request.add_header("Prefect-Csrf-Token", told["token"])
    try:
        with _LOCAL.open(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())
    except (OSError, ValueError):
        return None


START_LIMIT = 180.0  # seconds: ten times what two busy cores need
# The shell notes its process group before it starts the server, then leaves it to init.
LAUNCH = 'echo "$$ $1" > "$2"; shift 2; "$@" &'


def record(state: Path) -> Path:
    """Return the file that a running server keeps locked in its state folder."""
    return state / "gradecast-server"


def log(state: Path) -> Path:
    """Return the file that a server's output goes to."""
    return state / "server.log"


def running_port(state: Path) -> int | None:
    """Return the port of the server whose state is in a folder; None when none runs."""
    return next(iter(recorded(record(state))[1:]), None)


def launch(state: Path, port: int) -> None:
    """Start a server in a session of its own; it may take 15 s until it is healthy."""
    server = [sys.executable, "-m", "prefect", "--no-prompt", "server", "start"]
    arguments = [*server, "--host", "127.0.0.1", "--port", str(port)]
    for_clients = ("PREFECT_API_URL", PASSWORD, "PREFECT_LOGGING_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(for_clients)}
    environment |= {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_HOME": str(state),
        "PREFECT_UI_API_URL": local_url(port),  # which its pages ask; by default that of the usual port
        "PREFECT_UI_URL": local_url(port).removesuffix("/api"),  # for links in notices
    }
    with file_lock(record(state)) as lock, log(state).open("wb") as output:
        os.ftruncate(lock, 0)  # what an earlier server wrote is not this one's
        subprocess.run(
            ["/bin/sh", "-c", LAUNCH, "sh", str(port), str(record(state)), *arguments],
            check=True,
            cwd=state,
            env=environment | {"PREFECT_HOME": str(state)} | closed(port, ensure_password(state)),
            pass_fds=(lock,),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def wait_until_healthy(state: Path, port: int) -> bool:
    """Wait for a launched server; False when it ended, or was not healthy in time and was stopped."""
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        if is_local_prefect(port):
            return True
        if running_port(state) is None:
            return False
        time.sleep(LOOK_SECONDS)
    end_recorded(record(state))
    return False


def launch_again(state: Path, port: int) -> bool:
    """Launch a server that ended where it was; False when it is not healthy in time."""
    for group in record(state).read_text().split()[:1]:  # what it began may keep the port
        signal_group(int(group), signal.SIGKILL)
    launch(state, port)
    return wait_until_healthy(state, port)


def port_to_use(wanted: int) -> int:
    """Return the wanted port when nothing listens there, else a free one."""
    for port in (wanted, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def is_taken(port: int) -> bool:
    """Tell whether a port of this machine cannot be listened on."""
    return port_to_use(port) != port


def closed(port: int, password: str) -> dict[str, str]:
    """Return what lets a server answer its own pages and whoever has the password, and nobody else."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
    }


def ensure_password(state: Path) -> str:
    """Return the password of a server; made, for this person's eyes alone, beside profiles that are there."""
    known = password_in(state)
    if known:
        return known
    password = f"gradecast:{secrets.token_urlsafe(24)}"
    file = profile(state)
    before = file.read_text(encoding="utf-8") if file.exists() else f'active = "{PROFILE}"\n'
    lines = [f'{name} = "{password}"' for name in (PASSWORD, "PREFECT_SERVER_API_AUTH_STRING")]

    def write(draft: Path) -> None:
        draft.touch(mode=0o600)
        draft.write_text("\n".join([before, f"[profiles.{PROFILE}]", *lines, ""]), encoding="utf-8")

    finished_file(file, write)
    return password


USUAL_PORT = 4200
Say = Callable[[str], None]


@contextmanager
def prefect_server(
    home: Path,
    *,
    port: int = USUAL_PORT,
    say: Say = to_stderr,
    start: bool = True,
    meanwhile: Callable[[], object] = object,
) -> Iterator[str]:
    """Make this process use a healthy Prefect server, and yield its API address.

    That of PREFECT_API_URL, else one that is on the usual port, else a local one with its state in
    `home`/prefect (or PREFECT_HOME), which is started if need be and the last of its users stops. One that
    wants a password gets that of PREFECT_API_AUTH_STRING or, on this machine, of its state folder. While one
    starts, `meanwhile` is called.

    Raises:
        BadInput: nothing healthy answers at PREFECT_API_URL, or none runs that was not to be started.
        RuntimeError: the local server did not start; names its log.
    """
    state = Path(os.environ.get("PREFECT_HOME") or home / "prefect").absolute()
    given = os.environ.get("PREFECT_API_URL")
    with ExitStack() as stack:
        if given:
            wanted = {"PREFECT_API_URL": _checked(given)}
        elif start:
            url = local_url(stack.enter_context(_local(state, port, say, meanwhile)))
            wanted = {"PREFECT_API_URL": url, "PREFECT_HOME": str(state)}
        else:
            wanted = {"PREFECT_API_URL": _running(state, port)}
        stack.enter_context(_prefect_settings(wanted))
        yield wanted["PREFECT_API_URL"]


def _running(state: Path, port: int) -> str:
    found = port if is_local_prefect(port) else running_port(state)
    if found is None:
        reason = f"No Prefect server runs on port {port} of this machine."
        raise BadInput(reason, remedy="Start one with `make up`, or name one in PREFECT_API_URL.")
    return local_url(found)


def _checked(url: str) -> str:
    wrong = fault(url)
    if wrong:
        raise BadInput(
            f"PREFECT_API_URL is {url}, but no Prefect server is healthy there ({wrong}).",
            remedy="Start that server, correct the variable, or unset it to use a local server.",
        )
    return url


@contextmanager
def _local(state: Path, port: int, say: Say, meanwhile: Callable[[], object]) -> Iterator[int]:
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
        yield _find_or_start(owner, port, say, meanwhile)


def _is_temporary(state: Path) -> bool:
    """Tell whether a folder's server runs and was started by this module, for another GRADECAST_HOME."""
    try:
        return running_port(state) is not None
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
            port = running_port(state)
            if port is not None:
                _wait_until_settled(port)
                end_recorded(record(state))


def _find_or_start(state: Path, wanted: int, say: Say, meanwhile: Callable[[], object]) -> int:
    with file_lock(state / "start.lock"):
        running = running_port(state)
        if running is not None and wait_until_healthy(state, running):
            return running
        say("Starting a local Prefect server, which takes 10 to 20 seconds …")
        begun = time.monotonic()
        for _ in range(2):  # the port may be taken between the look and the start
            port = port_to_use(wanted)
            launch(state, port)
            meanwhile()
            if wait_until_healthy(state, port):
                say(f"Prefect is ready after {time.monotonic() - begun:.0f} s at http://127.0.0.1:{port}")
                return port
    raise RuntimeError(f"The local Prefect server did not start; its log is {log(state)}")


@contextmanager
def _prefect_settings(wanted: dict[str, str]) -> Iterator[None]:
    """Set Prefect's settings: by its context, and by the environment for what is started.

    With the server's address goes its password, where one is known.
    """
    from prefect import settings

    password = password_for(wanted["PREFECT_API_URL"])
    wanted = wanted | ({PASSWORD: password} if password else {})
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        with settings.temporary_settings({getattr(settings, name): wanted[name] for name in wanted}):
            yield
    finally:
        _drain()
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


def _drain() -> None:
    """Send what Prefect still holds back, before its server may be stopped."""
    workers = {"prefect.logging.handlers": "APILogWorker", "prefect.events.worker": "EventsWorker"}
    for module in workers.keys() & sys.modules.keys():
        getattr(sys.modules[module], workers[module]).drain_all(timeout=5)
