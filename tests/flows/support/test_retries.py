"""A task that waits for a disk or a database is tried again; one that fails for good is not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from prefect import flow, task

from data.errors import BadInput, Stopped
from flows.runtime.commands import without_heartbeats
from flows.runtime.runs import RETRIES, may_pass
from flows.runtime.server import prefect_server


def away() -> Exception:
    return sa.exc.OperationalError("SELECT 1", {}, Exception("the database is locked"))


def said_to_be_away() -> Exception:
    error = BadInput("the database does not answer.")
    error.__cause__ = away()
    return error


@pytest.mark.parametrize(
    ("fails", "tries"),
    [
        (away, 1 + RETRIES),
        (said_to_be_away, 1 + RETRIES),
        (lambda: OSError("the disk is away for a moment"), 1 + RETRIES),
        (lambda: BadInput("a column is missing."), 1),
        (lambda: Stopped("a gate decided"), 1),
        (lambda: ZeroDivisionError(), 1),
    ],
)
def test_only_a_failure_that_may_pass_is_tried_again(
    fails: Callable[[], Exception],
    tries: int,
    prefect_api: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    @task(retries=RETRIES, retry_delay_seconds=0, retry_condition_fn=may_pass)
    def reading() -> None:
        tried.append(1)
        raise fails()

    @flow
    def wired() -> None:
        reading()

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with prefect_server(tmp_path, start=False), without_heartbeats():
        state = wired(return_state=True)
    assert state.is_failed()
    assert len(tried) == tries
