"""Pieces of work that share what they work on, on this machine's processes or on Dask's workers."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from joblib import Parallel, delayed

from data.processes import end_with_parent
from flows.runtime.engine import Engine, dask_client

IDLE_SECONDS = 20  # after which a worker process ends and gives its memory back

Work = Sequence[Callable[..., Any]]


def run(
    work: Work, jobs: int, *, shared: tuple[Any, ...] = (), engine: Engine | None = None
) -> Iterator[tuple[int, Any]]:
    """Call every piece of work with what they share, and yield its number and its answer as they come.

    On this machine there are `jobs` at a time: one job runs in this process; more run in new processes
    (never forked: a booster that was used before a fork hangs), one thread each. On Dask each worker does
    one at a time, and what a worker was at when it died is done again by another.
    """
    return _on_dask(work, shared, engine) if engine and engine.dask else _here(work, shared, jobs)


def _here(work: Work, shared: tuple[Any, ...], jobs: int) -> Iterator[tuple[int, Any]]:
    pool = Parallel(
        n_jobs=jobs,
        backend="loky",
        batch_size=1,
        return_as="generator_unordered",
        idle_worker_timeout=IDLE_SECONDS,
        initializer=end_with_parent,
        initargs=(os.getpid(),),
    )
    with warnings.catch_warnings():  # an idle worker ended as the next work came: another is started
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        yield from pool(delayed(_numbered)(number, piece, shared) for number, piece in enumerate(work))


def _on_dask(work: Work, shared: tuple[Any, ...], engine: Engine) -> Iterator[tuple[int, Any]]:
    """Spread the work over the workers.

    What they share goes to the scheduler once, as the argument of a task, and from worker to worker:
    scattered, it would be lost with the worker that holds it.
    """
    from distributed import as_completed

    with dask_client(engine) as client:
        held = client.submit(_held, shared, pure=False)
        futures = client.map(_numbered, range(len(work)), list(work), shared=held, pure=False)
        done: Any = as_completed(futures, loop=client.loop, with_results=True)  # type: ignore[no-untyped-call]
        for _, answer in done:
            yield answer


def _held(shared: tuple[Any, ...]) -> tuple[Any, ...]:
    return shared


def _numbered(number: int, piece: Callable[..., Any], shared: tuple[Any, ...]) -> tuple[int, Any]:
    return number, piece(*shared)
