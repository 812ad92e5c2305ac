"""The refit on the workers of a Dask cluster: `xgboost.dask`, each worker with its share of the rows.

The model is the local one up to the places where a number may be cut: each worker sketches its own rows,
and the merged sketch has slightly other quantiles than one of all rows.
"""

import json
import multiprocessing
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb
from xgboost import collective

from data.bundle.models import TreeModel
from flows.runtime.engine import PATIENCE, Engine, dask_client, worker_addresses
from flows.training.data import TrainingData
from flows.training.families import BINS, BLOCK, Refitted, first_cuts, native_params, round_leaves
from flows.training.ordinal import gradient, move_cuts

if TYPE_CHECKING:
    from distributed import Client

CUTS = "cuts"
"""Attribute of the booster that brings the cuts back from a worker."""
PART_ROWS = 250_000
ATTEMPTS = 5
DISTRIBUTED = (
    "XGBoost was fitted to all rows by the workers of a Dask cluster, whose quantiles differ a little."
)
NOTICED = 5.0  # seconds in which a scheduler has noticed that a worker is gone


def refit_on_workers(
    data: TrainingData,
    params: Mapping[str, Any],
    rounds: int,
    seed: int,
    threads: int = 1,  # noqa: ARG001  as of `refit_booster`: a worker has its own
    *,
    engine: Engine,
) -> Refitted:
    """Fit one booster to all rows as `refit_booster` does; each worker has threads of its own.

    When a worker is lost it starts from the first round again, on those that are there then. Raises
    RuntimeError when that happens five times.
    """
    with dask_client(engine) as client:
        for _ in range(ATTEMPTS):
            client.wait_for_workers(1, timeout=PATIENCE)
            workers = worker_addresses(client)
            try:
                return _trained(client, workers, data, params, rounds, seed)
            except (CancelledError, OSError, RuntimeError, ValueError) as error:  # XGBoostError is the last
                if not _lost(client, workers):
                    raise
                print(f"train: a worker was lost, the refit starts again ({type(error).__name__})")
                _free(client, workers)
    raise RuntimeError(f"The refit lost a worker {ATTEMPTS} times. See the workers' logs: is memory short?")


def _trained(
    client: "Client",
    workers: tuple[str, ...],
    data: TrainingData,
    params: Mapping[str, Any],
    rounds: int,
    seed: int,
) -> Refitted:
    from xgboost import dask as on_dask  # seconds to import

    # A worker keeps what it was sent before: the name tells this attempt's objective from the last one's.
    objective = DistributedOrdinal(first_cuts(data), uuid.uuid4().hex) if data.kind == "ordinal" else None
    with client.as_current(), tracker_elsewhere(client):  # XGBoost takes no client that is not current
        features, target = _scattered(client, workers, data)
        history = on_dask.train(
            client,
            native_params(data, params, seed),
            on_dask.DaskQuantileDMatrix(client, features, target, max_bin=params.get("max_bin", BINS)),
            num_boost_round=rounds,
            obj=objective,
            callbacks=[KeepCuts(objective)] if objective else None,
        )
    booster = history["booster"]
    learned = booster.attr(CUTS)
    booster.set_attr(**{CUTS: None})
    cuts = first_cuts(data) if learned is None else np.array(json.loads(learned))
    return Refitted(TreeModel.of(round_leaves(booster)), cuts)


class DistributedOrdinal:
    """The ordinal objective on one worker, and the cuts so far: the same on all of them."""

    def __init__(self, cuts: np.ndarray, name: str) -> None:
        """Start from cuts; `name` is of this fit alone, for workers keep what they were sent before."""
        self.first, self.cuts, self.rounds, self.name = cuts, cuts, 0, name

    def __call__(self, latent: np.ndarray, matrix: xgb.DMatrix) -> tuple[np.ndarray, np.ndarray]:
        """Return gradient and Hessian (n,) of this worker's rows, the cuts moved every few rounds."""
        latent, y = latent.astype(np.float64), matrix.get_label().astype(np.int64)
        if self.rounds % BLOCK == 0:
            self.cuts = move_cuts(self.cuts, latent, y, total=_over_workers)
        self.rounds += 1
        return gradient(latent, y, self.cuts)


def _over_workers(values: np.ndarray) -> np.ndarray:
    return collective.allreduce(values.astype(np.float64), collective.Op.SUM)


class KeepCuts(xgb.callback.TrainingCallback):
    """Writes the cuts into the booster, which is all that comes back."""

    def __init__(self, objective: DistributedOrdinal) -> None:
        self._objective = objective

    def before_training(self, model: xgb.Booster) -> xgb.Booster:
        """Start from the first cuts."""
        self._objective.cuts, self._objective.rounds = self._objective.first, 0
        return model

    def after_training(self, model: xgb.Booster) -> xgb.Booster:
        """Write the last ones."""
        model.set_attr(**{CUTS: json.dumps(self._objective.cuts.tolist())})
        return model


def _scattered(client: "Client", workers: tuple[str, ...], data: TrainingData) -> tuple[Any, Any]:
    """Send each worker its share of the rows, part after part, and return both as arrays of Dask's."""
    import dask.array

    array: Any = dask.array
    sender: Any = client
    features: list[Any] = []
    target: list[Any] = []
    edges = np.linspace(0, len(data.y), len(workers) + 1).astype(int).tolist()
    for worker, (first, last) in zip(workers, pairwise(edges), strict=True):
        for start in range(first, last, PART_ROWS):
            rows = slice(start, min(start + PART_ROWS, last))
            for values, parts in ((data.X, features), (data.target, target)):
                part = np.ascontiguousarray(values[rows])
                sent = sender.scatter(part, workers=[worker], hash=False)
                parts.append(array.from_delayed(sent, part.shape, part.dtype))
    return array.concatenate(features), array.concatenate(target)


def _lost(client: "Client", workers: tuple[str, ...]) -> bool:
    """Tell whether one of these workers is gone; the scheduler may take a moment to notice."""
    return _in_a_moment(lambda: bool(set(workers) - set(worker_addresses(client))))


def _free(client: "Client", workers: tuple[str, ...]) -> None:
    """Restart those of these workers that wait for the one that is gone, as they may for minutes."""
    scheduler: Any = client  # whose methods have no types

    def waiting() -> list[str]:
        there = set(workers) & set(worker_addresses(client))
        return [worker for worker in there if scheduler.processing([worker]).get(worker)]

    if not _in_a_moment(lambda: not waiting()):
        client.restart_workers(waiting(), raise_for_error=False)


def _in_a_moment(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + NOTICED
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def tracker_elsewhere(client: "Client") -> Iterator[None]:
    """Let what a client would run on its scheduler run in a process that ends with this context."""
    started = []

    async def run_elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_hold, args=(theirs, function, arguments), daemon=True)
        process.start()
        theirs.close()
        started.append((process, ours))
        return ours.recv()

    patched: Any = client
    patched.run_on_scheduler = run_elsewhere  # on this client alone, in the place of its class's
    try:
        yield
    finally:
        del patched.run_on_scheduler
        for process, ours in started:
            ours.close()
            process.kill()
            process.join()


def _hold(parent: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Run the function, tell what it gives, and stay for its threads until the parent ends."""
    parent.send(function(*arguments))
    parent.poll(None)
