"""What answers at a Prefect API address, asked without importing Prefect (which takes seconds).

A server of ours wants its password of every client, and a token of every change: on a port of this machine
anyone's web page can knock, and behind the server is a worker that runs what it is told to.
"""

import base64
import json
import os
import time
import tomllib
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener, urlopen
from uuid import uuid4

PATIENCE = 5.0  # seconds for one answer of a busy machine
SETTLE_LIMIT = 60.0
STILL = 4  # looks in a row without a change
PAUSE = 0.2
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
    except URLError as error:
        return str(error.reason)
    except (OSError, ValueError) as error:
        return str(error)


def is_local_prefect(port: int) -> bool:
    """Tell whether a healthy Prefect server that lets us in, and nothing else, answers on a port."""
    if _ask(port, "health") is not True:
        return False
    return _is_prefect(_ask(port, "admin/version", password=password_of(port)))


def is_open(api_url: str) -> bool:
    """Tell whether a Prefect server on this machine wants no password of anyone."""
    place = urlsplit(api_url)
    return (
        place.hostname in LOOPBACK
        and place.port is not None
        and _is_prefect(_ask(place.port, "admin/version"))
    )


def _is_prefect(version: Any) -> bool:
    return isinstance(version, str) and version.startswith(f"{MAJOR}.")


def home_of(port: int) -> Path | None:
    """Return the PREFECT_HOME of this person's Prefect server on a port; None where there is none to see.

    Asked of its process, not of the server, which wants to know first who asks.
    """
    import psutil  # type: ignore[import-untyped]

    for process in psutil.process_iter():
        try:
            if any("prefect" in word for word in process.cmdline()) and port in _listened_on(process):
                home = process.environ().get("PREFECT_HOME")
                return Path(home) if home else None
        except (psutil.Error, OSError):  # it has just ended, or is another person's
            continue
    return None


def _listened_on(process: Any) -> list[int]:
    connections = process.net_connections("tcp")
    return [each.laddr.port for each in connections if each.status == "LISTEN"]


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


def password_of(port: int) -> str | None:
    """Return the password for the Prefect server on a port of this machine, where this person has it."""
    home = home_of(port)
    return (password_in(home) if home else None) or os.environ.get(PASSWORD)


def password_for(api_url: str) -> str | None:
    """Return the password for the server at an API address: that of its state folder, or as it was given."""
    place = urlsplit(api_url)
    if place.hostname in LOOPBACK and place.port is not None:
        return password_of(place.port)
    return os.environ.get(PASSWORD)


def wait_until_settled(port: int) -> None:
    """Wait until a server has written what it was told.

    It keeps events and task states in memory first, writes some 75 tasks a second, and forgets the
    rest when it is stopped.
    """
    end, password = time.monotonic() + SETTLE_LIMIT, password_of(port)
    before, still = None, 0
    while still < STILL and time.monotonic() < end:
        time.sleep(PAUSE)
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
