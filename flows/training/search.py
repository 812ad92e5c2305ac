"""The grid search: learning curves on folds, over processes, and how far each candidate is from the best."""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import xgboost as xgb
from joblib import Parallel, delayed

from data.bundle.bundle import TITLES, WORSE, standing_of, standing_sentence
from data.bundle.manifest import FamilyName
from data.bundle.models import TreeModel
from data.processes import end_with_parent
from flows.training.baselines import Baseline, baselines_for, out_of_fold
from flows.training.boosters import BLOCK, refit
from flows.training.data import Folds, TrainingData
from flows.training.families import (
    NO_CUTS,
    BoostedLearner,
    DenseLearner,
    Grown,
    Learner,
    LogisticLearner,
    NeuralLearner,
)
from flows.training.grid import Candidates, Grid
from flows.training.metrics import oof_figures
from flows.training.ordinal import class_probabilities, fit_sigma
from flows.training.symmetric import SymmetricLearner, refit_symmetric
from flows.training.uncertainty import BESIDE, beside_chosen

if TYPE_CHECKING:
    from flows.runtime.engine import Engine

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

    from flows.runtime.engine import dask_client  # seconds to import, which worker processes do not need

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


class Boosted(Protocol):
    """A booster with rounded leaves, and the cuts on its latent."""

    @property
    def booster(self) -> xgb.Booster:
        """Return the booster."""

    @property
    def cuts(self) -> np.ndarray:
        """Return the cuts (K-1,), none for softmax."""


Refit = Callable[..., Boosted]
"""Fits a booster to all rows: `refit`, or one of the same parameters elsewhere."""

DENSE_LEARNERS: dict[FamilyName, type[DenseLearner]] = {"logistic": LogisticLearner, "neural": NeuralLearner}


@dataclass(frozen=True)
class Chosen:
    """The candidate to fit to all rows."""

    family: FamilyName
    params: dict[str, Any]
    rounds: int


def start(data: TrainingData, held: np.ndarray, fit: Candidates, seed: int) -> Learner:
    """Return a learner of a fold's rows, with the feature rows held out."""
    if fit.family == "xgboost":
        return BoostedLearner(data, held, fit.params, seed)
    if fit.family == "catboost":
        return SymmetricLearner(data, held, fit.params, seed, max(fit.checkpoints))
    return DENSE_LEARNERS[fit.family](data, held, fit.params, seed)


def fit_all(data: TrainingData, chosen: Chosen, seed: int, *, threads: int = 1, grow: Refit = refit) -> Grown:
    """Fit the chosen candidate to all rows; `grow` is what does so for XGBoost."""
    if chosen.family == "xgboost":
        growing = grow(data, chosen.params, chosen.rounds, seed, threads=threads)
        return Grown(TreeModel.of(growing.booster), growing.cuts)
    if chosen.family == "catboost":
        return refit_symmetric(data, chosen.params, chosen.rounds, seed, threads)
    learner = DENSE_LEARNERS[chosen.family](data, data.X[:0], chosen.params, seed)
    learner.grow(chosen.rounds)
    return Grown(learner.model(), NO_CUTS)


@dataclass(frozen=True)
class OutOfFold:
    """What the folds say of rows none of them saw, in the data's own row order.

    latent is (n,), or margins (n, K) for softmax; cuts are those of each row's own fold, (n, K-1),
    (n, 0) for softmax.
    """

    family: FamilyName
    rounds: int
    sigma: float
    log_loss: float
    latent: np.ndarray
    cuts: np.ndarray

    def probabilities(self) -> np.ndarray:
        """Return the class probabilities (n, K), float64."""
        return class_probabilities(self.latent, self.cuts, self.sigma)


@dataclass(frozen=True)
class FitResult:
    """One fit's candidates as rows of the leaderboard, and the out-of-fold rows of its best."""

    rows: list[dict[str, Any]]
    best: OutOfFold


def cross_validate(data: TrainingData, folds: Folds, fit: Candidates, seed: int) -> FitResult:
    """Grow all folds side by side and read every checkpoint off their pooled log loss.

    With patience, a checkpoint takes the best rounds up to it and growing stops once the loss has
    not fallen for that many rounds; without, it takes its own number of rounds.
    """
    started = time.perf_counter()
    looks = _looks(data, folds, fit, seed)
    best = next(looks)
    kept: dict[int, OutOfFold] = {}
    for now in chain([best], looks):
        best = now if now.log_loss < best.log_loss else best
        if now.rounds in fit.checkpoints:
            kept[now.rounds] = best if fit.patience else now
        if fit.patience and now.rounds - best.rounds >= fit.patience:
            break
    kept = {rounds: kept.get(rounds, best) for rounds in fit.checkpoints}
    seconds = (time.perf_counter() - started) / len(kept)
    rows = [
        {**_named(fit, limit), **_figures(data, folds, held), "seconds": seconds}
        for limit, held in kept.items()
    ]
    return FitResult(rows, min(kept.values(), key=lambda held: held.log_loss))


def _named(fit: Candidates, limit: int) -> dict[str, Any]:
    return {"family": fit.family, **fit.params, **({fit.rounds: limit} if fit.rounds else {})}


def _looks(data: TrainingData, folds: Folds, fit: Candidates, seed: int) -> Iterator[OutOfFold]:
    """Yield the pooled out-of-fold state at each checkpoint and, with patience, every few rounds."""
    learners = [start(data.rows(rows), data.X[held], fit, seed) for rows, held in folds]
    order = np.argsort(np.concatenate([held for _, held in folds]))
    repeats = [len(held) for _, held in folds]
    between = range(BLOCK, max(fit.checkpoints), BLOCK) if fit.patience else ()
    sigma, factor = 0.0, 20.0
    for rounds in sorted({*between, *fit.checkpoints}):
        for learner in learners:
            learner.grow(rounds)
        latent = np.concatenate([learner.held() for learner in learners])[order]
        cuts = np.repeat([learner.cuts for learner in learners], repeats, axis=0)[order]
        sigma = sigma or (data.spread if latent.ndim == 1 else 1.0)
        sigma, loss = fit_sigma(latent, data.y, cuts, sigma, factor)
        yield OutOfFold(fit.family, rounds, sigma, loss, latent, cuts)
        factor = 3.0 if fit.patience else factor  # sigma moves little between two looks


def _figures(data: TrainingData, folds: Folds, held: OutOfFold) -> dict[str, float]:
    figures = oof_figures(held.probabilities(), data.y, folds)
    return {"rounds": held.rounds, "sigma": held.sigma, **figures}


REFERENCE: FamilyName = "xgboost"


def candidate_rows(results: Sequence[FitResult], best: OutOfFold, y: np.ndarray) -> list[dict[str, Any]]:
    """Return all candidates as rows of the leaderboard.

    The best of each family but the chosen one's has its difference to the chosen one; other rows have none.
    """
    chosen = best.probabilities()
    leaders: dict[str, FitResult] = {}
    for result in sorted(results, key=lambda one: one.best.log_loss, reverse=True):
        leaders[result.best.family] = result
    leaders.pop(best.family, None)
    rows = []
    for result in results:
        leads = leaders.get(result.best.family) is result
        top = min(result.rows, key=lambda row: row["cv_log_loss"]) if leads else None
        beside = beside_chosen(result.best.probabilities(), chosen, y) if leads else {}
        rows += [{**row, **beside} if row is top else row for row in result.rows]
    return rows


def best_of_families(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each family's best candidate, lowest log loss first."""
    if "family" not in leaderboard:
        return leaderboard[:0]
    candidates = leaderboard.dropna(subset="family").sort_values("cv_log_loss", kind="stable")
    return candidates.drop_duplicates("family")


def compared(leaderboard: pd.DataFrame) -> list[str]:
    """Say by how much each family's best candidate is better or worse than XGBoost's, if there are others."""
    best = best_of_families(leaderboard).set_index("family")
    others = best.drop(REFERENCE, errors="ignore")
    said = []
    if REFERENCE in best.index:
        own = best["cv_log_loss"][REFERENCE]
        said += [_beside(name, loss, own) for name, loss in others["cv_log_loss"].items()]
    return said + not_worse(best.rename(index=lambda name: f"The {_of(name)}"))


def not_worse(rivals: pd.DataFrame) -> list[str]:
    """Say of each model (by the index) that is not worse than the chosen one what it is beside it."""
    if "low" not in rivals:
        return []
    return [
        standing_sentence(str(name), row["difference"], row["low"], row["high"])
        for name, row in rivals.dropna(subset=["low"]).iterrows()
        if standing_of(row["low"], row["high"]) != WORSE
    ]


def _beside(family: Any, loss: float, own: float) -> str:
    side = "below" if loss < own else "above"
    return (
        f"The {_of(family)} has a cross-validated log loss of {loss:.4f}, {abs(loss - own):.4f} {side} "
        f"XGBoost's best ({own:.4f})."
    )


def _of(family: Any) -> str:
    return f"best candidate of the family {TITLES[family]}"


if TYPE_CHECKING:
    from flows.runtime.engine import Engine

OURS = "gradecast"

OnDone = Callable[[int, int, float | None], None]
"""Told the units of work done, those in all, and the lowest log loss of a candidate so far."""


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    leaderboard: a row for each candidate and baseline, lowest cv_log_loss first, with the columns
    model (`gradecast` or the baseline's name), family and its parameters, rounds, sigma, cv_log_loss,
    cv_log_loss_std, cv_accuracy, cv_f1_macro, seconds, difference, low, high (of baselines, and the
    best of other families: of `beside_chosen`). params and best are the chosen candidate's;
    baselines hold out-of-fold probabilities (n, K) by name.
    """

    leaderboard: pd.DataFrame
    params: dict[str, Any]
    best: OutOfFold
    baselines: dict[str, np.ndarray]


def search(
    data: TrainingData,
    grid: Grid,
    folds: Folds,
    *,
    seed: int,
    jobs: int,
    on_done: OnDone | None = None,
    baselines: bool = True,
    engine: "Engine | None" = None,
) -> Found:
    """Cross-validate every candidate and baseline; choose the candidate of the lowest log loss.

    One fit with all its checkpoints and folds is a unit of work; `on_done` is called after each.
    The same seed gives the same choice, whatever the number of processes and wherever they are.
    """
    fits = grid.fits()
    named = baselines_for(data, seed) if baselines else {}
    work: list[partial[Any]] = [partial(out_of_fold, predict=baseline) for baseline in named.values()]
    work += [partial(cross_validate, fit=fit, seed=seed) for fit in fits]
    told = _teller(len(work), on_done) if on_done else None
    answers = run(work, jobs, told, shared=(data, folds), engine=engine)
    pooled: dict[str, Baseline] = dict(zip(named, answers, strict=False))
    results: list[FitResult] = answers[len(named) :]
    chosen = min(range(len(fits)), key=lambda number: results[number].best.log_loss)
    best = results[chosen].best
    board = leaderboard(data, results, pooled, best)
    return Found(board, fits[chosen].params, best, {name: b.probabilities for name, b in pooled.items()})


def _teller(total: int, on_done: OnDone) -> Callable[[int, Any], None]:
    lowest: list[float] = []

    def tell(done: int, answer: Baseline | FitResult) -> None:
        if isinstance(answer, FitResult):
            lowest[:] = [min([*lowest, answer.best.log_loss])]
        on_done(done, total, lowest[0] if lowest else None)

    return tell


def leaderboard(
    data: TrainingData, results: Sequence[FitResult], baselines: dict[str, Baseline], best: OutOfFold
) -> pd.DataFrame:
    """Return candidates and baselines in one frame, lowest cross-validated log loss first."""
    rows = [{"model": OURS, **row} for row in candidate_rows(results, best, data.y)]
    chosen = best.probabilities()
    for name, baseline in baselines.items():
        beside = beside_chosen(baseline.probabilities, chosen, data.y)
        rows.append({"model": name, **baseline.figures, "seconds": baseline.seconds, **beside})
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=list(dict.fromkeys([*frame.columns, *BESIDE])))
    return frame.sort_values("cv_log_loss", kind="stable", ignore_index=True)
