"""Gunicorn's settings: `gunicorn -c serving/gunicorn.conf.py`."""

import os
from contextlib import suppress
from typing import Any

from serving.metrics_files import FOLDER, empty_folder, fold_dead
from serving.processes import end_beside, keep_beside
from serving.security import refuse_open_door
from serving.settings import Settings
from serving.status import begin_status

_settings = Settings.from_environment()
_counters = _settings.metrics_folder.absolute()

# One thread a worker for OpenMP; it is read when NumPy and XGBoost are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ[FOLDER] = str(_counters)

wsgi_app = "serving.app:create_app()"
bind = f"{_settings.host}:{_settings.port}"
workers = _settings.workers
worker_class = "serving.worker.Worker"
threads = _settings.threads
logger_class = "serving.request_log.JsonLogger"
preload_app = False  # a booster loaded before the fork hangs the child: each worker loads its own
control_socket_disable = True  # it would be opened in the home folder
timeout = 30
graceful_timeout = 30
keepalive = 5


def on_starting(server: Any) -> None:  # noqa: ARG001  Gunicorn calls its hooks by position
    """Refuse what must not be started, and begin the counters anew."""
    refuse_open_door(_settings)
    empty_folder(_counters)
    with suppress(OSError):  # a full disk: the follower says it when it has looked
        begin_status(_settings.bundles)


def when_ready(server: Any) -> None:
    """Start what runs beside the workers."""
    keep_beside(server, ["serving.follow", "serving.drain"])


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Keep what a worker that has ended counted."""
    fold_dead(_counters, worker.pid)


def on_exit(server: Any) -> None:
    """End what runs beside the workers after them, so that what they answered last is drained."""
    end_beside(server)
