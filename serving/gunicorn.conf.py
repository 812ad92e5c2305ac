"""Gunicorn's settings: `gunicorn -c serving/gunicorn.conf.py`."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

from data.errors import BadInput
from data.log.settings import netloc
from serving.health import begin_status
from serving.metrics_files import FOLDER, empty_folder, fold_dead, hold_folder
from serving.processes import allow_open_files, end_beside, keep_beside
from serving.security import require_api_key
from serving.settings import PredictorSettings

_settings = PredictorSettings.from_environment()
_counters = _settings.metrics_folder.absolute()

# One thread a worker for OpenMP; it is read when NumPy and XGBoost are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ[FOLDER] = str(_counters)

wsgi_app = "serving.app:create_app()"
bind = netloc(_settings.host, _settings.port)
workers = _settings.workers
worker_class = "serving.worker.Worker"
threads = _settings.threads
logger_class = "serving.request_log.JsonLogger"
preload_app = False  # a booster loaded before the fork hangs the child: each worker loads its own
control_socket_disable = True  # it would be opened in the home folder
timeout = 30
graceful_timeout = 30
keepalive = 5
worker_connections = 1_000
forwarder_headers = ""  # no header of a proxy's changes what is asked for


def on_starting(server: Any) -> None:
    """Refuse what must not be started, and only then begin the counters and the status anew."""
    require_api_key(_settings)
    allow_open_files(2 * worker_connections)  # a connection, and the long body that it brings
    if server.master_pid:  # it takes over from one that runs, with its socket and its counters
        return
    with suppress(OSError):  # a full disk: forecasts are refused, by what can start all the same
        server.held = _hold_port()
        empty_folder(_counters)
        begin_status(_settings.bundles)


def _hold_port() -> IO[str]:
    """Be the only predictor of this state folder on this port; raises SystemExit that names the other."""
    whom = f"since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, for {_settings.model_uri}"
    try:
        return hold_folder(_counters, whom)
    except BadInput as other:
        raise SystemExit(
            f"Port {_settings.port} is another predictor's of {_settings.home}: {other}. End that one, or "
            "give this one another PORT."
        ) from None


def when_ready(server: Any) -> None:
    """Start what runs beside the workers."""
    keep_beside(server, ["serving.sync.follow", "serving.drain"])


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001  Gunicorn calls its hooks by position
    """Keep what a worker that has ended counted."""
    fold_dead(_counters, server.WORKERS)


def on_exit(server: Any) -> None:
    """End what runs beside the workers after them, so that what they answered last is drained."""
    end_beside(server)
