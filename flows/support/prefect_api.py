"""What answers at a Prefect API address, asked without importing Prefect (which takes seconds)."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener, urlopen

PATIENCE = 5.0  # seconds for one answer of a busy machine
SETTLE_LIMIT = 60.0
STILL = 4  # looks in a row without a change
PAUSE = 0.2
MAJOR = 3  # an older server does not understand this client
FINISHED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
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
    """Tell whether a healthy Prefect server, and nothing else, answers on a port of this machine."""
    if _ask(port, "health") is not True:
        return False
    version = _ask(port, "admin/version")
    return isinstance(version, str) and version.startswith(f"{MAJOR}.")


def home_of(port: int) -> Path | None:
    """Return the PREFECT_HOME that a server on this machine says it has; None when it does not say."""
    settings = _ask(port, "admin/settings")
    home = settings.get("home") if isinstance(settings, dict) else None
    return Path(home) if isinstance(home, str) else None


def wait_until_settled(port: int) -> None:
    """Wait until a server has written what it was told.

    It keeps events and task states in memory first, writes some 75 tasks a second, and forgets the
    rest when it is stopped.
    """
    end = time.monotonic() + SETTLE_LIMIT
    before, still = None, 0
    while still < STILL and time.monotonic() < end:
        time.sleep(PAUSE)
        now = _written(port)
        before, still = now, still + 1 if now == before else 0


def _written(port: int) -> tuple[Any, Any, Any]:
    finished = {"task_runs": {"state": {"type": {"any_": FINISHED}}}}
    events = _ask(port, "events/filter", {"filter": {}, "limit": 1})
    return (
        _ask(port, "task_runs/count", {}),
        _ask(port, "task_runs/count", finished),
        events.get("total") if isinstance(events, dict) else None,
    )


def _ask(port: int, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON that a server on this machine answers to a GET, or to a POST of a body; else None."""
    request = Request(f"{local_url(port)}/{path}", headers={"Content-Type": "application/json"})
    if body is not None:
        request.data = json.dumps(body).encode()
    try:
        with _LOCAL.open(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())
    except (OSError, ValueError):
        return None
