"""One local Prefect server as a process: started, found again, stopped.

The server itself holds the lock on `gradecast-server`, inherited when it was started, and the file
says its process group and port: while the lock is held, that group is ours, whatever became of
the process that started it.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from flows.support.locks import file_lock, is_locked
from flows.support.prefect_api import PASSWORD, PROFILE, is_local_prefect, password_in, profile
from flows.support.workspace import finished_file

START_LIMIT = 180.0  # seconds: ten times what two busy cores need
STOP_LIMIT = 10.0
PAUSE = 0.1
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
    recorded = _recorded(state)
    return recorded[1] if recorded else None


def launch(state: Path, port: int) -> None:
    """Start a server in a session of its own; it may take 15 s until it is healthy."""
    server = [sys.executable, "-m", "prefect", "--no-prompt", "server", "start"]
    arguments = [*server, "--host", "127.0.0.1", "--port", str(port)]
    with file_lock(record(state)) as lock, log(state).open("wb") as output:
        os.ftruncate(lock, 0)  # what an earlier server wrote is not this one's
        subprocess.run(
            ["/bin/sh", "-c", LAUNCH, "sh", str(port), str(record(state)), *arguments],
            check=True,
            cwd=state,
            env=_environment(state) | closed(port, ensure_password(state)),
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
        time.sleep(PAUSE)
    stop(state)
    return False


def launch_again(state: Path, port: int) -> bool:
    """Launch a server that ended where it was; False when it is not healthy in time."""
    words = record(state).read_text().split()
    with suppress(ProcessLookupError, IndexError):  # what it began may have outlived it, and keep the port
        os.killpg(int(words[0]), signal.SIGKILL)
    launch(state, port)
    return wait_until_healthy(state, port)


def stop(state: Path) -> None:
    """Stop the server whose state is in a folder, if one runs, and wait for its end."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        recorded = _recorded(state)
        if recorded is None:
            return
        with suppress(ProcessLookupError):  # it ended by itself just now
            os.killpg(recorded[0], how)
        end = time.monotonic() + STOP_LIMIT
        while is_locked(record(state)) and time.monotonic() < end:
            time.sleep(PAUSE)


def port_to_use(wanted: int) -> int:
    """Return the wanted port when nothing listens there, else a free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def closed(port: int, password: str) -> dict[str, str]:
    """Return what lets a server answer its own pages and whoever has the password, and nobody else."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
    }


def _recorded(state: Path) -> tuple[int, int] | None:
    """Return the running server's process group and port; None when none runs."""
    while is_locked(record(state)):
        words = record(state).read_text().split()
        if words:
            return int(words[0]), int(words[1])
        time.sleep(PAUSE)  # it is being launched: a moment, and it is written
    return None


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


def _environment(state: Path) -> dict[str, str]:
    """Return the server's environment: ours, but without what is meant for its clients."""
    clients = ("PREFECT_API_URL", PASSWORD, "PREFECT_LOGGING_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(clients)}
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "true"}
    return kept | quiet | {"PREFECT_HOME": str(state)}
