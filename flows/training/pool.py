"""Work on the same data in parallel, told as it gets done: in processes of this machine, or on Dask."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from joblib import Parallel, delayed

from flows.support.parent import end_with_parent

if TYPE_CHECKING:
    from flows.support.engine import Engine

IDLE_SECONDS = 20  # after which a worker process ends and gives its memory back

Piece = Callable[..., Any]
"""A piece of work; it is called with what all of them share."""


def run(
    work: Sequence[Piece],
    jobs: int,
    on_answer: Callable[[int, Any], None] | None = None,
    *,
    shared: tuple[Any, ...] = (),
    engine: "Engine | None" = None,
) -> list[Any]:
    """Call every piece of work with what they share, and return the answers in the work's order.

    `on_answer` is called with each as it comes, and with how many there are by then. On this machine
    there are `jobs` at a time: one job runs in this process; more run in new processes (never forked:
    a booster that was used before a fork hangs), one thread each. On Dask each worker does one at a
    time, and what a worker was at when it died is done again by another.
    """
    answers: dict[int, Any] = {}
    done = _on_dask(work, shared, engine) if engine and engine.dask else _here(work, shared, jobs)
    for number, answer in done:
        answers[number] = answer
        if on_answer:
            on_answer(len(answers), answer)
    return [answers[number] for number in range(len(work))]


def _here(work: Sequence[Piece], shared: tuple[Any, ...], jobs: int) -> Iterator[tuple[int, Any]]:
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


def _on_dask(work: Sequence[Piece], shared: tuple[Any, ...], engine: "Engine") -> Iterator[tuple[int, Any]]:
    """Spread the work over the workers.

    What they share goes to the scheduler once, as the argument of a task, and from worker to worker:
    scattered, it would be lost with the worker that holds it.
    """
    from distributed import as_completed

    from flows.support.engine import dask_client  # seconds to import, which worker processes do not need

    with dask_client(engine) as client:
        held = client.submit(_held, shared, pure=False)
        futures = client.map(_numbered, range(len(work)), list(work), shared=held, pure=False)
        done: Any = as_completed(futures, loop=client.loop, with_results=True)  # type: ignore[no-untyped-call]
        for _, answer in done:
            yield answer


def _held(shared: tuple[Any, ...]) -> tuple[Any, ...]:
    return shared


def _numbered(number: int, piece: Piece, shared: tuple[Any, ...]) -> tuple[int, Any]:
    return number, piece(*shared)
