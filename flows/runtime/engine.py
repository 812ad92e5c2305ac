"""Where work is done: this process, processes of our own, a Dask cluster; in order, with a window."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, islice, starmap
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from joblib.externals.loky import ProcessPoolExecutor
from prefect import Flow
from prefect.context import FlowRunContext
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from data.errors import BadInput
from data.processes import end_with_parent
from flows.runtime.workspace import code_digest

if TYPE_CHECKING:
    from distributed import Client

CODE = ("data", "flows")
NOWHERE = "127.0.0.1:0"  # any free port, for this machine alone: the usual one may be taken
EngineName = Literal["local", "dask"]
PATIENCE = 15  # seconds for a scheduler to answer, and for its first worker to be there
LARGE = 1 << 26  # bytes: pieces of work carry their rows, so that whoever takes over from the dead has them
QUIET = {"distributed.admin.large-graph-warning-threshold": LARGE}
STARTED_BY = (
    "In a folder with this code, start `python -m dask scheduler`, then `python -m dask worker` with its "
    "address, by this Python: so started, they find the code; the command `dask` alone does not."
)

Address = Annotated[str, StringConstraints(pattern=r"^((tcp|tls)://\S+:\d+)?$")]


class Engine(BaseModel):
    """What does the work; on Dask, a scheduler's address, or a cluster of so many local processes."""

    model_config = ConfigDict(frozen=True)

    kind: EngineName = "local"
    scheduler: Address = ""
    workers: int = Field(os.cpu_count() or 1, ge=1)

    @classmethod
    def local(cls) -> Self:
        """Return the engine of this machine's own processes."""
        return cls()

    @classmethod
    def of(cls, kind: str, scheduler: str = "", workers: int | None = None) -> Self:
        """Return the engine that a command or a deployment asks for; raises BadInput."""
        if scheduler and kind != "dask":
            raise BadInput(f"--scheduler {scheduler} is for --engine dask.", remedy="Give both, or neither.")
        asked = {"kind": kind, "scheduler": scheduler} | ({"workers": workers} if workers else {})
        try:
            return cls.model_validate(asked)
        except ValueError as error:
            remedy = "Give local or dask, and a scheduler as tcp://HOST:PORT."
            raise BadInput(
                f"engine {kind!r}, scheduler {scheduler!r}: not understood.", remedy=remedy
            ) from error

    @property
    def dask(self) -> bool:
        """Whether the work goes to Dask."""
        return self.kind == "dask"


@contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    """Have the cluster there for several stages: a local one is started once and ends with the last.

    Gives the engine with its scheduler's address. Raises BadInput where that does not answer.
    """
    if not engine.dask:
        yield engine
    elif engine.scheduler:
        with _checked(engine.scheduler):
            pass
        yield engine
    else:
        with _local_cluster(engine.workers) as cluster:
            yield engine.model_copy(update={"scheduler": cluster.scheduler_address})


def on_engine(flow: Flow[..., Any], engine: Engine) -> Callable[..., Any]:
    """Return a flow whose task runner is Dask's where that is the engine; it must be running."""
    if not engine.dask:
        return flow
    from prefect_dask import DaskTaskRunner

    runner: Any = DaskTaskRunner(address=engine.scheduler)
    return flow.with_options(task_runner=runner)


@contextmanager
def dask_client(engine: Engine) -> Iterator["Client"]:
    """Give a client of the flow's own cluster, else of the engine's scheduler, else of a local cluster.

    Raises BadInput where the scheduler cannot be reached, has no workers, or they run other code.
    """
    from dask import config
    from prefect_dask import DaskTaskRunner

    context = FlowRunContext.get()
    runner = context.task_runner if context else None
    with config.set(QUIET), ExitStack() as held:
        if isinstance(runner, DaskTaskRunner):
            yield runner.client
        elif engine.scheduler:
            yield held.enter_context(_checked(engine.scheduler))
        else:
            cluster = held.enter_context(_local_cluster(engine.workers))
            yield held.enter_context(_connected(cluster.scheduler_address))


def worker_addresses(client: "Client") -> tuple[str, ...]:
    """Return the addresses of the workers that are there now, sorted."""
    return tuple(sorted(client.scheduler_info(n_workers=-1)["workers"]))


@contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=NOWHERE
    ) as cluster:
        yield cluster


@contextmanager
def _checked(address: str) -> Iterator["Client"]:
    """Connect to a scheduler of others, and see that it has workers that run this code."""
    with _connected(address) as client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            reason = f"the Dask scheduler at {address} has no workers."
            raise BadInput(reason, remedy=STARTED_BY) from error
        digests = client.run(code_digest, *CODE, on_error="return")
        # One that died while it was asked leaves its work to the others; one without the code cannot answer.
        told = {worker: theirs for worker, theirs in digests.items() if not isinstance(theirs, OSError)}
        others = [worker for worker, theirs in told.items() if theirs != code_digest(*CODE)]
        if others:
            reason = f"workers of {address} do not have the code that runs here: {', '.join(others)}."
            raise BadInput(reason, remedy=STARTED_BY)
        yield client


@contextmanager
def _connected(address: str) -> Iterator["Client"]:
    from distributed import Client

    try:
        client = Client(address, set_as_default=False, timeout=PATIENCE)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise BadInput(f"no Dask scheduler answers at {address}.", remedy=STARTED_BY) from error
    with client:
        yield client


AHEAD = 2  # pieces under way for each worker: no more are read, however slow the workers
FEW = 5  # pieces that are done before processes would have started


def in_order(
    function: Callable[..., Any],
    pieces: Iterator[tuple[Any, ...]],
    engine: Engine,
    jobs: int,
    *,
    threads: bool = False,
) -> Iterator[Any]:
    """Yield what the function gives for the arguments of each piece, in order.

    In `jobs` threads, which share what is large; or in this process, and in `jobs` processes where there are
    more than a few pieces; or on the workers of a cluster, where a piece whose worker dies is done again by
    another. joblib's generator would read every piece, however few of the answers are taken.
    """
    if engine.dask:
        with dask_client(engine) as client:
            ahead = AHEAD * max(1, len(worker_addresses(client)))
            yield from _windowed(partial(client.submit, function, pure=False), pieces, ahead)
    elif threads:
        with ThreadPoolExecutor(jobs) as pool:
            yield from _windowed(partial(pool.submit, function), pieces, AHEAD * jobs - 1)
    else:
        first = list(islice(pieces, FEW))
        if jobs == 1 or len(first) < FEW:
            yield from starmap(function, chain(first, pieces))
            return
        with ProcessPoolExecutor(jobs, initializer=end_with_parent, initargs=(os.getpid(),)) as pool:
            yield from _windowed(partial(pool.submit, function), chain(first, pieces), AHEAD * jobs)


def _windowed(submit: Callable[..., Any], pieces: Iterable[tuple[Any, ...]], ahead: int) -> Iterator[Any]:
    """Yield the results of futures in order, so many pieces ahead; what nobody waits for is cancelled."""
    waiting: deque[Any] = deque()
    try:
        for piece in pieces:
            waiting.append(submit(*piece))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
