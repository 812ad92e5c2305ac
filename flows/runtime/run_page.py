"""What Prefect shows of a run: its name and tags, what it publishes, how far its search is."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.utilities.urls import url_for

from data.sources.databases import without_secrets
from flows.runtime.progress import OnDone, search_progress

HOUR = 3600.0
LONGEST = 12 * HOUR  # of a pipeline or a roster: what takes longer hangs
SHORT = HOUR  # of a monitor, a rollback, an answer
BETWEEN = 2.0  # seconds from one look at a search to the next
MODEL = "gradecast.model."
"""Begins the name of the resource that our events are about."""

APPROVAL_WANTED, PROMOTED = "gradecast.approval-wanted", "gradecast.promoted"
ROLLED_BACK, DRIFTED = "gradecast.rolled-back", "gradecast.drift"

Given = Mapping[str, Any]


def run_named(what: str | Callable[[Given], str]) -> Callable[[], str]:
    """Return what names a flow's runs: contract, what the run is for by its parameters, and the date."""

    def name() -> str:
        told = what if isinstance(what, str) else what(flow_run.parameters)
        return f"{stage_named()} · {told} · {datetime.now(UTC):%Y-%m-%d}"

    return name


def stage_named() -> str:
    """Name the run of a stage for the contract; Prefect's pages have the stage before it."""
    return short_name(str(flow_run.parameters.get("contract") or ""))


def short_name(source: str) -> str:
    """Return what people call a source or a contract: a file's name, an address without its secrets."""
    if "://" not in source:
        return Path(source).stem if source.endswith((".yaml", ".yml")) else Path(source).name
    place = urlsplit(without_secrets(source))
    return Path(place.path).name or place.netloc if place.scheme != "cohort" else source.partition("?")[0]


def key_of(contract: str, what: str) -> str:
    """Return the key of an artifact, which holds its versions together: one for each contract."""
    return re.sub(r"[^a-z0-9]+", "-", f"{short_name(contract)}-{what}".lower()).strip("-")


def in_run() -> bool:
    """Tell whether there is a page to show anything on."""
    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


def say(line: str) -> None:
    """Write a line into the run's log, where there is a run."""
    if in_run():
        get_run_logger().info(line)


def tag_run(*tags: str) -> None:
    """Give the run more tags, to find it by."""
    if flow_run.id:
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, tags=sorted({*flow_run.tags, *tags}))


def publish(contract: str, what: str, markdown: str, description: str) -> None:
    """Publish Markdown as an artifact of the task or flow at work; its description is logged too."""
    say(description)
    create_markdown_artifact(markdown, key=key_of(contract, what), description=description)


def publish_rows(contract: str, what: str, rows: Sequence[dict[str, Any]], description: str) -> None:
    """Publish rows as a table, if there are any."""
    if rows:
        create_table_artifact(list(rows), key=key_of(contract, what), description=description)


def done(message: str, result: object) -> Any:
    """Return the last state of a run that gives a result, with what came of it as its message.

    It is of type Any, for a flow may return a state in the place of what it promises.
    """
    return Completed(message=message, data=result)


def tell(event: str, model: str, /, **payload: object) -> None:
    """Tell whoever listens to Prefect's events what happened to a model."""
    emit_event(
        event=event, resource={"prefect.resource.id": f"{MODEL}{model}"}, payload={"model": model, **payload}
    )


def run_address() -> str | None:
    """Return the address of the page of the run at work, that of the whole and not of a stage of it."""
    return url_for("flow-run", obj_id=flow_run.root_flow_run_id) if flow_run.id else None


@contextmanager
def shown_search(contract: str, name: str = "grid search") -> Iterator[OnDone]:
    """Give a callable to be told of a search's progress: on the terminal and, in a run, on its page."""
    with search_progress(name=name) as on_terminal:
        if not in_run():
            yield on_terminal
            return
        key = key_of(contract, name)
        artifact: Any = create_progress_artifact(0.0, key=key, description=name.capitalize())
        shown = 0.0

        def on_done(done: int, total: int, best_log_loss: float | None = None) -> None:
            nonlocal shown
            on_terminal(done, total, best_log_loss)
            if done < total and time.monotonic() - shown < BETWEEN:
                return
            shown = time.monotonic()
            best = "" if best_log_loss is None else f", best log loss {best_log_loss:.4f}"
            line = f"{name.capitalize()}: {done} of {total}{best}"
            say(line)
            update_progress_artifact(artifact, 100 * done / max(total, 1), description=line)

        yield on_done
