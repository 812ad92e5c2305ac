"""Tries again what waits for a disk, a database or a network; nothing else gets better by itself."""

from typing import Any

import sqlalchemy as sa
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

RETRIES = 2
DELAYS: list[float] = [2, 10]  # seconds before each


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether a task failed for a reason that may be gone in a moment."""
    error = state.result(raise_on_failure=False)
    passing = (sa.exc.OperationalError, OSError)
    return isinstance(error, passing) or isinstance(getattr(error, "__cause__", None), passing)
