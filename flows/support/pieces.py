"""Pieces of work that come one after the other, done by several processes and given back in their order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice, starmap
from typing import Any, Protocol

from joblib.externals.loky import ProcessPoolExecutor

from flows.support.engine import Engine, dask_client, worker_addresses
from flows.support.parent import end_with_parent

AHEAD = 2  # pieces under way for each worker: no more are read, however slow the workers
FEW = 5  # pieces that are done before processes would have started


class Answer(Protocol):
    """What is promised by whoever does a piece."""

    def result(self) -> Any:
        """Wait for it."""

    def cancel(self) -> Any:
        """Do without it, if it is not begun."""


def in_order(
    function: Callable[..., Any], pieces: Iterator[tuple[Any, ...]], engine: Engine, jobs: int
) -> Iterator[Any]:
    """Yield what the function gives for the arguments of each piece, in order.

    In this process, in `jobs` processes where there are more than a few pieces, or on the workers of a
    cluster; there a piece whose worker dies is done again by another.
    """
    if engine.dask:
        with dask_client(engine) as client:
            ahead = AHEAD * max(1, len(worker_addresses(client)))
            yield from windowed(partial(client.submit, function, pure=False), pieces, ahead)
        return
    first = list(islice(pieces, FEW))
    if jobs == 1 or len(first) < FEW:
        yield from starmap(function, chain(first, pieces))
        return
    with ProcessPoolExecutor(jobs, initializer=end_with_parent, initargs=(os.getpid(),)) as pool:
        yield from windowed(partial(pool.submit, function), chain(first, pieces), AHEAD * jobs)


def windowed(submit: Callable[..., Answer], pieces: Iterable[tuple[Any, ...]], ahead: int) -> Iterator[Any]:
    """Yield the answers in order, so many pieces ahead; what nobody waits for any more is cancelled."""
    waiting: deque[Answer] = deque()
    try:
        for piece in pieces:
            waiting.append(submit(*piece))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for answer in waiting:
            answer.cancel()
