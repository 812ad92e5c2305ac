"""Gunicorn's settings: `gunicorn -c serving/gunicorn.conf.py`."""

import os

from serving.settings import Settings

# One thread a worker for OpenMP; it is read when NumPy and XGBoost are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_settings = Settings.from_environment()

wsgi_app = "serving.app:create_app()"
bind = f"{_settings.host}:{_settings.port}"
workers = _settings.workers
preload_app = False  # a booster loaded before the fork hangs the child: each worker loads its own
control_socket_disable = True  # it would be opened in the home folder
timeout = 30
graceful_timeout = 30
keepalive = 5
