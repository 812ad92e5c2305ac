"""Who scores the parts: threads of this process, or the workers of Dask; the answers come in order."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from flows.support.engine import Engine
from flows.support.pieces import in_order as in_order_of_processes
from flows.support.pieces import windowed

AHEAD = 2  # pieces for each thread: one that it does, one that waits

Pieces = Iterator[tuple[Any, ...]]


def in_order(do: Callable[..., Any], pieces: Pieces, engine: Engine, jobs: int) -> Iterator[Any]:
    """Yield what the function gives for each piece, in order; no more are read than the workers need.

    On this machine in threads, which share the model: nearly all of the time is spent in what does not
    hold Python's lock. On Dask, what a worker was at when it died is done again by another.
    """
    if engine.dask:
        yield from in_order_of_processes(do, pieces, engine, jobs)
    else:
        with ThreadPoolExecutor(jobs) as threads:
            yield from windowed(partial(threads.submit, do), pieces, AHEAD * jobs - 1)
