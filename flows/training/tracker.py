"""XGBoost's tracker in a process of its own.

`xgboost.dask` starts it in the scheduler's process. When a worker dies it may abort the process that it is
in: of a local cluster that is ours, of another one it is everybody's scheduler.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def tracker_elsewhere(client: "Client") -> Iterator[None]:
    """Let what a client would run on its scheduler run in a process that ends with this context."""
    started = []

    async def run_elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
        process, ours = _start(function, arguments)
        started.append((process, ours))
        return ours.recv()

    asked: Any = client
    asked.run_on_scheduler = run_elsewhere  # on this client alone, in the place of its class's
    try:
        yield
    finally:
        del asked.run_on_scheduler
        for process, ours in started:
            ours.close()
            process.kill()
            process.join()


def _start(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_hold, args=(theirs, function, arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _hold(parent: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Run the function, tell what it gives, and stay for its threads until the parent ends."""
    parent.send(function(*arguments))
    parent.poll(None)
