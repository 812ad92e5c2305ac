"""The pipeline: it alone writes the registry. Imports data/ and never serving/."""

import atexit
import os
import sys

# Read by the libraries when they are imported, so set before any module of ours can import them:
# no telemetry, no network, and of their logs only what the Prefect UI shows: people get our own screens.
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)


def _hear_no_more() -> None:
    """Keep DuckDB's binding from listing, as Python ends, what threads of Prefect's still hold of it."""
    if "duckdb" in sys.modules:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(_hear_no_more)  # the first to be registered is the last to be called
