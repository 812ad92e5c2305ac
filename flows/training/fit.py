"""The training core in one call: search a grid by cross-validation, refit the best on all rows.

Pure apart from its processes. One fit of the grid, with all its checkpoints and folds, is a unit of work.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from data.bundle.bundle import TITLES, WORSE, comparison_of, comparison_sentence
from data.bundle.manifest import FamilyName
from data.bundle.models import Model
from data.bundle.reasons import Tempering
from data.contract.dated import AS_OF
from data.processes import end_with_parent
from flows.runtime.engine import Engine, dask_client
from flows.training.baselines import BaselineResult, baselines_for, out_of_fold
from flows.training.cohorts import HeldCohorts, cohort_folds, describe_tempering, fit_tempering
from flows.training.data import (
    TUNING_ROWS,
    Folds,
    LatentKind,
    TrainingData,
    stratified_folds,
    tuning_rows,
)
from flows.training.families import (
    BLOCK,
    NO_CUTS,
    DenseLearner,
    IncrementalBooster,
    Refitted,
    describe_training,
    refit_booster,
)
from flows.training.grid import Candidates, Grid
from flows.training.metrics import (
    BESIDE,
    OURS,
    Thresholds,
    beside_chosen,
    best_of_families,
    calibrate,
    oof_figures,
)
from flows.training.ordinal import OrdinalLink, class_probabilities, fit_sigma
from flows.training.symmetric import SymmetricLearner, refit_symmetric

REFERENCE: FamilyName = "xgboost"
IDLE_SECONDS = 20  # after which a worker process ends and gives its memory back

OnDone = Callable[[int, int, float | None], None]
"""Told the units of work done, those in all, and the lowest log loss of a candidate so far."""
Work = Sequence[Callable[..., Any]]
Refit = Callable[..., Refitted]
"""Fits XGBoost to all rows: `refit_booster`, or one of the same parameters elsewhere."""


@dataclass(frozen=True)
class Fitted:
    """A trained model and how it came to be.

    kind: what its latent is: the score, one learned from ordered classes, or a margin a class.
    tuned_on: positions of the rows that were searched on, in the given data's order (all, or the
    sample); oof_probabilities (m, K) are theirs. notes: sentences for the model card. cohorts: forecast
    without them; tempering: what follows for a later one, applied to all of these probabilities.
    fold: in which each of these rows was held out (m,); by_round: rounds and pooled log loss of the fit.
    """

    family: FamilyName
    kind: LatentKind
    model: Model
    link: OrdinalLink
    thresholds: Thresholds
    params: dict[str, Any]
    rounds: int
    leaderboard: pd.DataFrame
    tuned_on: np.ndarray
    oof_probabilities: np.ndarray
    notes: tuple[str, ...]
    fold: np.ndarray
    by_round: tuple[tuple[int, float], ...]
    cohorts: HeldCohorts | None = None
    tempering: Tempering | None = None

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Return class probabilities (n, K) of feature rows (n, F)."""
        shares = self.link.probabilities(self.model.latent(X))
        return self.tempering.apply(shares, X[:, self.tempering.column]) if self.tempering else shares


def fit(
    data: TrainingData,
    grid: Grid,
    *,
    seed: int,
    folds: int = 5,
    jobs: int = 1,
    on_progress: OnDone | None = None,
    baselines: bool = True,
    limit: int = TUNING_ROWS,
    refit: Refit = refit_booster,
    engine: Engine | None = None,
) -> Fitted:
    """Search the grid by stratified cross-validation and refit the best on all rows.

    The same arguments give the same model.

    Args:
        data: the rows to learn from.
        grid: the candidates.
        seed: of folds, samples and fits.
        folds: of the cross-validation.
        jobs: processes of this machine, and threads of the refit beyond `limit` rows.
        on_progress: told of each unit of work that is done.
        baselines: whether the simpler and usual models are compared.
        limit: above so many rows the search uses a stratified sample of that size.
        refit: fits XGBoost to all rows, here or on workers.
        engine: where the search runs; this machine if None.

    Raises:
        BadInput: a class has too few rows for the folds.
    """
    sample = tuning_rows(data, folds, seed, limit)
    tuned = data if sample is None else data.rows(sample)
    parts = stratified_folds(tuned, folds, seed)
    found = search(
        tuned, grid, parts, seed=seed, jobs=jobs, on_done=on_progress, baselines=baselines, engine=engine
    )
    # Threads change the order of float sums: only where one would take minutes.
    best, threads = found.best, 1 if sample is None else jobs
    refitted = refit_on_all(data, best.family, found.params, best.rounds, seed, threads, refit)
    tuned_on = np.arange(len(data.y)) if sample is None else sample
    kind: LatentKind = data.kind if len(refitted.cuts) else "softmax"
    cohorts = _forecast_cohorts(tuned, found, seed, jobs, engine)
    tempering = fit_tempering(cohorts, data.names.index(AS_OF)) if cohorts else None
    shares = best.probabilities()
    if tempering and cohorts:
        shares = tempering.apply(shares, tuned.X[:, tempering.column])
        cohorts = replace(cohorts, probabilities=tempering.apply(cohorts.probabilities, cohorts.as_of))
    sampled = f"Tuned on a stratified sample of {len(tuned_on):,} rows, refitted on all {len(data.y):,}."
    return Fitted(
        family=best.family,
        kind=kind,
        model=refitted.model,
        link=refitted.link(best.sigma),
        thresholds=calibrate(shares, data.y[tuned_on]),
        params=found.params,
        rounds=best.rounds,
        leaderboard=found.leaderboard,
        tuned_on=tuned_on,
        oof_probabilities=shares,
        notes=(
            describe_training(best.family, kind, data),
            *((sampled,) if sample is not None else ()),
            *describe_leaderboard(found.leaderboard),
            *describe_tempering(tempering),
        ),
        fold=_fold_of(parts),
        by_round=found.by_round,
        cohorts=cohorts,
        tempering=tempering,
    )


def _fold_of(folds: Folds) -> np.ndarray:
    """Return in which fold each row (m,) is held out."""
    return np.concatenate([np.full(len(held), number) for number, (_, held) in enumerate(folds)])[
        np.argsort(np.concatenate([held for _, held in folds]))
    ]


def _forecast_cohorts(
    data: TrainingData, found: "SearchResult", seed: int, jobs: int, engine: Engine | None
) -> HeldCohorts | None:
    """Forecast whole cohorts by the chosen candidate, fitted without them; None where there is one alone."""
    folds, best = cohort_folds(data), found.best
    chosen = partial(_forecast_cohort, family=best.family, params=found.params, rounds=best.rounds, seed=seed)
    work = [partial(chosen, rest=rest, held=held, sigma=best.sigma) for rest, held in folds]
    answers = dict(run(work, jobs, shared=(data,), engine=engine)) if folds else {}
    return HeldCohorts.of(data, folds, [answers[number] for number in range(len(folds))])


def _forecast_cohort(
    data: TrainingData,
    *,
    rest: np.ndarray,
    held: np.ndarray,
    sigma: float,
    family: FamilyName,
    params: Mapping[str, Any],
    rounds: int,
    seed: int,
) -> np.ndarray:
    refitted = refit_on_all(data.rows(rest), family, params, rounds, seed)
    return refitted.link(sigma).probabilities(refitted.model.latent(data.X[held]))


def with_head(data: TrainingData, params: Mapping[str, Any]) -> TrainingData:
    """Return the data as a candidate's head learns from them."""
    return replace(data, head="softmax") if params.get("head") == "softmax" else data


def refit_on_all(
    data: TrainingData,
    family: FamilyName,
    params: Mapping[str, Any],
    rounds: int,
    seed: int,
    threads: int = 1,
    refit: Refit = refit_booster,
) -> Refitted:
    """Fit the chosen candidate to all rows."""
    data = with_head(data, params)
    if family == "xgboost":
        return refit(data, params, rounds, seed, threads)
    if family == "catboost":
        return refit_symmetric(data, params, rounds, seed, threads)
    learner = DenseLearner(data, data.X[:0], family, params, seed)
    learner.fit(rounds)
    return Refitted(learner.model(), NO_CUTS)


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
    """One fit's candidates as rows of the leaderboard, the out-of-fold rows of its best, and its curve."""

    rows: list[dict[str, Any]]
    best: OutOfFold
    by_round: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    leaderboard: a row for each candidate and baseline, lowest cv_log_loss first, with the columns
    model (`gradecast` or the baseline's name), family and its parameters, rounds, sigma, cv_log_loss,
    cv_log_loss_std, cv_accuracy, cv_f1_macro, seconds, difference, low, high (of baselines, and the
    best of other families: of `beside_chosen`). params, best and by_round are the chosen candidate's.
    """

    leaderboard: pd.DataFrame
    params: dict[str, Any]
    best: OutOfFold
    by_round: tuple[tuple[int, float], ...]


def search(
    data: TrainingData,
    grid: Grid,
    folds: Folds,
    *,
    seed: int,
    jobs: int,
    on_done: OnDone | None = None,
    baselines: bool = True,
    engine: Engine | None = None,
) -> SearchResult:
    """Cross-validate every candidate and baseline; choose the candidate of the lowest log loss.

    The same seed gives the same choice, whatever the number of processes and wherever they are.
    """
    fits = grid.fits()
    named = baselines_for(data, seed) if baselines else {}
    work: list[partial[Any]] = [partial(out_of_fold, predict=baseline) for baseline in named.values()]
    work += [partial(cross_validate, fit=fit, seed=seed) for fit in fits]
    answers: dict[int, Any] = {}
    lowest: float | None = None
    for number, answer in run(work, jobs, shared=(data, folds), engine=engine):
        answers[number] = answer
        if isinstance(answer, FitResult):
            lowest = answer.best.log_loss if lowest is None else min(lowest, answer.best.log_loss)
        if on_done:
            on_done(len(answers), len(work), lowest)
    pooled: dict[str, BaselineResult] = {name: answers[number] for number, name in enumerate(named)}
    results: list[FitResult] = [answers[number] for number in range(len(named), len(work))]
    chosen = min(range(len(fits)), key=lambda number: results[number].best.log_loss)
    best = results[chosen].best
    board = _leaderboard(data, results, pooled, best)
    return SearchResult(board, fits[chosen].params, best, results[chosen].by_round)


def cross_validate(data: TrainingData, folds: Folds, fit: Candidates, seed: int) -> FitResult:
    """Fit all folds side by side and read every checkpoint off their pooled log loss.

    With patience, a checkpoint takes the best rounds up to it and fitting stops once the loss has
    not fallen for that many rounds; without, it takes its own number of rounds.
    """
    started = time.perf_counter()
    checkpoints = _checkpoints(data, folds, fit, seed)
    best = next(checkpoints)
    kept: dict[int, OutOfFold] = {}
    curve: list[tuple[int, float]] = []
    for now in chain([best], checkpoints):
        curve.append((now.rounds, now.log_loss))
        best = now if now.log_loss < best.log_loss else best
        if now.rounds in fit.checkpoints:
            kept[now.rounds] = best if fit.patience else now
        if fit.patience and now.rounds - best.rounds >= fit.patience:
            break
    kept = {rounds: kept.get(rounds, best) for rounds in fit.checkpoints}
    seconds = (time.perf_counter() - started) / len(kept)
    rows = [
        {
            "family": fit.family,
            **fit.params,
            **({fit.rounds: limit} if fit.rounds else {}),
            "rounds": held.rounds,
            "sigma": held.sigma,
            **oof_figures(held.probabilities(), data.y, folds),
            "seconds": seconds,
        }
        for limit, held in kept.items()
    ]
    return FitResult(rows, min(kept.values(), key=lambda held: held.log_loss), tuple(curve))


def _checkpoints(data: TrainingData, folds: Folds, fit: Candidates, seed: int) -> Iterator[OutOfFold]:
    """Yield the pooled out-of-fold state at each checkpoint and, with patience, every few rounds."""
    data = with_head(data, fit.params)
    learners = [_learner(data.rows(rows), data.X[held], fit, seed) for rows, held in folds]
    order = np.argsort(np.concatenate([held for _, held in folds]))
    repeats = [len(held) for _, held in folds]
    between = range(BLOCK, max(fit.checkpoints), BLOCK) if fit.patience else ()
    sigma, factor = 0.0, 20.0
    for rounds in sorted({*between, *fit.checkpoints}):
        for learner in learners:
            learner.fit(rounds)
        latent = np.concatenate([learner.held_out() for learner in learners])[order]
        cuts = np.repeat([learner.cuts for learner in learners], repeats, axis=0)[order]
        sigma = sigma or (data.latent_scale if latent.ndim == 1 else 1.0)
        sigma, loss = fit_sigma(latent, data.y, cuts, sigma, factor)
        yield OutOfFold(fit.family, rounds, sigma, loss, latent, cuts)
        factor = 3.0 if fit.patience else factor  # sigma moves little between two checkpoints


def _learner(
    data: TrainingData, held: np.ndarray, fit: Candidates, seed: int
) -> IncrementalBooster | SymmetricLearner | DenseLearner:
    """Return a learner of a fold's rows, with the feature rows held out."""
    if fit.family == "xgboost":
        return IncrementalBooster(data, held, fit.params, seed)
    if fit.family == "catboost":
        return SymmetricLearner(data, held, fit.params, seed, max(fit.checkpoints))
    return DenseLearner(data, held, fit.family, fit.params, seed)


def _leaderboard(
    data: TrainingData,
    results: Sequence[FitResult],
    baselines: Mapping[str, BaselineResult],
    best: OutOfFold,
) -> pd.DataFrame:
    """Return candidates and baselines in one frame, lowest cross-validated log loss first.

    Baselines, and the best candidate of each family but the chosen one's, have their difference to the
    chosen candidate; other rows have none.
    """
    chosen, y = best.probabilities(), data.y
    leaders: dict[str, FitResult] = {}
    for result in sorted(results, key=lambda one: one.best.log_loss, reverse=True):
        leaders[result.best.family] = result
    leaders.pop(best.family, None)
    rows = []
    for result in results:
        candidates = [{"model": OURS, **row} for row in result.rows]
        if leaders.get(result.best.family) is result:
            top = min(candidates, key=lambda row: row["cv_log_loss"])
            top |= beside_chosen(result.best.probabilities(), chosen, y, students=data.students)
        rows += candidates
    for name, baseline in baselines.items():
        beside = beside_chosen(baseline.probabilities, chosen, y, students=data.students)
        rows.append({"model": name, **baseline.figures, "seconds": baseline.seconds, **beside})
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=list(dict.fromkeys([*frame.columns, *BESIDE])))
    return frame.sort_values("cv_log_loss", kind="stable", ignore_index=True)


def describe_leaderboard(leaderboard: pd.DataFrame) -> list[str]:
    """Compare each family's best candidate with XGBoost's, if there are others; name what is not worse."""
    best = best_of_families(leaderboard)
    best = best.assign(model="The best candidate of the family " + best["family"].map(TITLES))
    own = best.loc[best["family"] == REFERENCE, "cv_log_loss"]
    others = best[best["family"] != REFERENCE] if len(own) else best[:0]
    sentences = [
        _beside_reference(name, loss, own.iloc[0])
        for name, loss in zip(others["model"], others["cv_log_loss"], strict=True)
    ]
    baselines = leaderboard[leaderboard["family"].isna()]
    return sentences + [
        comparison_sentence(row["model"], row["difference"], row["low"], row["high"])
        for models in (best, baselines)
        for row in models.dropna(subset="low").to_dict("records")
        if comparison_of(row["low"], row["high"]) != WORSE
    ]


def _beside_reference(name: str, loss: float, own: float) -> str:
    side = "below" if loss < own else "above"
    return (
        f"{name} has a cross-validated log loss of {loss:.4f}, {abs(loss - own):.4f} {side} "
        f"XGBoost's best ({own:.4f})."
    )


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
