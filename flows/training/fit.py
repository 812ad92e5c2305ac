"""The training core in one call: search a grid by cross-validation, refit the best on all rows.

Pure apart from its processes. One fit of the grid, with all its checkpoints and folds, is a unit of work.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from data.bundle.manifest import FamilyName
from data.bundle.models import Model
from data.bundle.reasons import Tempering
from data.contract.dated import AS_OF
from data.errors import BadInput
from flows.runtime.engine import Engine
from flows.training.baselines import BaselineResult, baselines_for, out_of_fold
from flows.training.cohorts import HeldCohorts, cohort_folds, describe_tempering, fit_tempering
from flows.training.data import (
    TUNING_ROWS,
    Folds,
    LatentKind,
    TrainingData,
    stratified_folds,
    tuning_rows,
    with_head,
)
from flows.training.families import (
    BLOCK,
    DenseLearner,
    IncrementalBooster,
    Refitted,
    refit_booster,
)
from flows.training.grid import Candidates, Grid
from flows.training.metrics import (
    BESIDE,
    OURS,
    Thresholds,
    beside_chosen,
    calibrate,
    oof_figures,
)
from flows.training.ordinal import Head, OrdinalLink
from flows.training.pool import Chosen, OutOfFold, assemble, pooled, together
from flows.training.symmetric import SymmetricLearner, refit_symmetric
from flows.training.telling import (
    describe_head,
    describe_leaderboard,
    describe_members,
    describe_sample,
    describe_search,
    kind_of,
    params_of,
)
from flows.training.work import Work, run

OnDone = Callable[[int, int, float | None], None]
"""Told the units of work done, those in all, and the lowest log loss of a candidate so far."""
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
    budget: float | None = None,
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
        budget: seconds after which no further candidate is begun; no limit if None.

    Raises:
        BadInput: a class has too few rows for the folds.
    """
    sample = tuning_rows(data, folds, seed, limit)
    tuned = data if sample is None else data.rows(sample)
    parts = stratified_folds(tuned, folds, seed)
    run_on: dict[str, Any] = {"jobs": jobs, "engine": engine, "budget": budget}
    found = search(tuned, grid, parts, seed=seed, on_done=on_progress, baselines=baselines, **run_on)
    # Threads change the order of float sums: only where one would take minutes.
    threads = 1 if sample is None else jobs
    again = [refit_on_all(data, member, seed, threads, refit) for member in found.members]
    refitted = _refitted(found.members, again, found.head)
    tuned_on = np.arange(len(data.y)) if sample is None else sample
    kind = kind_of(found.members[0], data)
    shares, cohorts, tempering = _tempered(tuned, found, seed, jobs, engine)
    return Fitted(
        family=found.family,
        kind="pool" if found.family == "pool" else kind,
        model=refitted.model,
        link=refitted.link(found.head),
        thresholds=calibrate(shares, data.y[tuned_on], ordered=data.ordered),
        params=params_of(found.members),
        rounds=found.members[0].out_of_fold.rounds,
        leaderboard=found.leaderboard,
        tuned_on=tuned_on,
        oof_probabilities=shares,
        notes=_notes(found, data, tuned, shares, tempering),
        fold=_fold_of(parts),
        by_round=found.by_round,
        cohorts=cohorts,
        tempering=tempering,
    )


def _notes(
    found: "SearchResult",
    data: TrainingData,
    tuned: TrainingData,
    shares: np.ndarray,
    tempering: Tempering | None,
) -> tuple[str, ...]:
    return (
        *describe_members(found.members, data),
        *describe_sample(len(tuned.y), len(data.y)),
        *describe_head(found.head, shares, tuned),
        *found.notes,
        *describe_leaderboard(found.leaderboard),
        *describe_tempering(tempering),
    )


def _tempered(
    data: TrainingData, found: "SearchResult", seed: int, jobs: int, engine: Engine | None
) -> tuple[np.ndarray, HeldCohorts | None, Tempering | None]:
    """Return the out-of-fold probabilities (m, K) as sure as a new cohort lets them be, and what says so."""
    shares, cohorts = found.probabilities, _forecast_cohorts(data, found, seed, jobs, engine)
    tempering = fit_tempering(cohorts, data.names.index(AS_OF)) if cohorts else None
    if tempering and cohorts:
        shares = tempering.apply(shares, data.X[:, tempering.column])
        cohorts = replace(cohorts, probabilities=tempering.apply(cohorts.probabilities, cohorts.as_of))
    return shares, cohorts, tempering


def _refitted(members: Sequence[Chosen], again: Sequence[Refitted], head: Head) -> Refitted:
    return again[0] if len(again) == 1 else assemble(members, again, head)


def _fold_of(folds: Folds) -> np.ndarray:
    """Return in which fold each row (m,) is held out."""
    return np.concatenate([np.full(len(held), number) for number, (_, held) in enumerate(folds)])[
        np.argsort(np.concatenate([held for _, held in folds]))
    ]


def _forecast_cohorts(
    data: TrainingData, found: "SearchResult", seed: int, jobs: int, engine: Engine | None
) -> HeldCohorts | None:
    """Forecast whole cohorts by what was chosen, fitted without them; None where there is one alone."""
    folds = cohort_folds(data)
    chosen = partial(_forecast_cohort, members=found.members, head=found.head, seed=seed)
    work = [partial(chosen, rest=rest, held=held) for rest, held in folds]
    answers = dict(run(work, jobs, shared=(data,), engine=engine)) if folds else {}
    return HeldCohorts.of(data, folds, [answers[number] for number in range(len(folds))])


def _forecast_cohort(
    data: TrainingData,
    *,
    rest: np.ndarray,
    held: np.ndarray,
    members: Sequence[Chosen],
    head: Head,
    seed: int,
) -> np.ndarray:
    again = [refit_on_all(data.rows(rest), member, seed) for member in members]
    refitted = _refitted(members, again, head)
    return refitted.link(head).probabilities(refitted.model.latent(data.X[held]))


def refit_on_all(
    data: TrainingData, chosen: Chosen, seed: int, threads: int = 1, refit: Refit = refit_booster
) -> Refitted:
    """Fit a chosen candidate to all rows."""
    data, family, rounds = (
        with_head(data, chosen.params),
        chosen.out_of_fold.family,
        chosen.out_of_fold.rounds,
    )
    if family == "xgboost":
        return refit(data, chosen.params, rounds, seed, threads)
    if family == "catboost":
        return refit_symmetric(data, chosen.params, rounds, seed, threads)
    learner = DenseLearner(data, data.X[:0], family, chosen.params, seed)
    learner.fit(rounds)
    return Refitted(learner.model(), learner.cuts)


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
    best of other families: of `beside_chosen`). members: the chosen candidate, or those that are pooled,
    whose out-of-fold probabilities (m, K) and head follow; by_round is the first one's.
    """

    leaderboard: pd.DataFrame
    members: tuple[Chosen, ...]
    probabilities: np.ndarray
    head: Head
    by_round: tuple[tuple[int, float], ...]
    notes: tuple[str, ...] = ()

    @property
    def family(self) -> FamilyName:
        """The family of the one that is chosen, or that several are pooled."""
        return "pool" if len(self.members) > 1 else self.members[0].out_of_fold.family


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
    budget: float | None = None,
) -> SearchResult:
    """Cross-validate every candidate and baseline; choose the one of the lowest log loss, or pool families.

    The same seed gives the same choice, whatever the number of processes and wherever they are, unless the
    budget's seconds are over: then only what was begun is done, and the first candidate of each family.
    """
    fits, until = candidates_for(grid, data), None if budget is None else time.time() + budget
    named = baselines_for(data, seed) if baselines else {}
    begun = {fit.family for fit in fits}
    work: list[partial[Any]] = [partial(out_of_fold, predict=baseline) for baseline in named.values()]
    for fit in fits:
        first = fit.family in begun
        begun -= {fit.family}
        work.append(partial(cross_validate, fit=fit, seed=seed, until=None if first else until))
    answers = _answers(work, jobs, (data, folds), engine, on_done)
    pairs = zip(fits, answers[len(named) :], strict=True)
    found = [(fit.params, result) for fit, result in pairs if result]
    candidates = [(params, result.best) for params, result in found]
    if grid.pool:
        members = pooled(candidates, data)
    else:
        members = (Chosen(*min(candidates, key=lambda one: one[1].log_loss), 1.0),)
    shares, head = together(members)
    results, simple = [result for _, result in found], dict(zip(named, answers, strict=False))
    board = _leaderboard(data, folds, results, simple, members, shares)
    notes = describe_search(len(fits) - len(found), len(fits), budget)
    by_round = next(one.by_round for one in results if one.best is members[0].out_of_fold)
    return SearchResult(board, members, shares, head, by_round, notes)


def _answers(
    work: Work, jobs: int, shared: tuple[Any, ...], engine: Engine | None, on_done: OnDone | None
) -> list[Any]:
    """Do the work and return each piece's answer in its place, telling how far it is."""
    answers: dict[int, Any] = {}
    lowest: float | None = None
    for number, answer in run(work, jobs, shared=shared, engine=engine):
        answers[number] = answer
        if isinstance(answer, FitResult):
            lowest = answer.best.log_loss if lowest is None else min(lowest, answer.best.log_loss)
        if on_done:
            on_done(len(answers), len(work), lowest)
    return [answers[number] for number in range(len(work))]


def candidates_for(grid: Grid, data: TrainingData) -> list[Candidates]:
    """Return the fits of a grid that these data allow, the first of each family first.

    Where a head comes to what another one is, one of the two is left out, and a linear model of the score
    where there is none. Raises BadInput where nothing is left.
    """
    fits: dict[str, Candidates] = {}
    for fit in grid.fits():
        head = {"head": with_head(data, fit.params).kind} if "head" in fit.params else {}
        if fit.family != "linear" or data.kind == "score":
            fits.setdefault(fit.model_copy(update={"params": fit.params | head}).model_dump_json(), fit)
    if not fits:
        raise BadInput("No family of the grid can learn from these data: there is no score.")
    left = list(fits.values())
    firsts = {fit.family: place for place, fit in reversed(list(enumerate(left)))}
    return sorted(left, key=lambda fit: left.index(fit) != firsts[fit.family])


def cross_validate(
    data: TrainingData, folds: Folds, fit: Candidates, seed: int, until: float | None = None
) -> FitResult | None:
    """Fit all folds side by side and read every checkpoint off their pooled log loss.

    With patience, a checkpoint takes the best rounds up to it and fitting stops once the loss has
    not fallen for that many rounds; without, it takes its own number of rounds. Nothing is fitted where it
    is later than `until`, in seconds of the clock.
    """
    if until is not None and time.time() > until:
        return None
    started = time.perf_counter()
    data = with_head(data, fit.params)
    with threadpool_limits(1):  # the order of sums, and so the last digits, hang on the threads
        kept, curve = _kept(_checkpoints(data, folds, fit, seed), fit)
        kept = {limit: held.settled(data) for limit, held in kept.items()}
    seconds = (time.perf_counter() - started) / len(kept)
    rows = [
        {
            "family": fit.family,
            **fit.params,
            **({fit.rounds: limit} if fit.rounds else {}),
            "rounds": held.rounds,
            "sigma": held.head.sigma,
            **oof_figures(held.probabilities(), data.y, folds),
            "seconds": seconds,
        }
        for limit, held in kept.items()
    ]
    return FitResult(rows, min(kept.values(), key=lambda held: held.log_loss), tuple(curve))


def _kept(
    checkpoints: Iterator[OutOfFold], fit: Candidates
) -> tuple[dict[int, OutOfFold], list[tuple[int, float]]]:
    """Return what each of a fit's checkpoints takes, of those that it passes, and the log loss by rounds."""
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
    return {rounds: kept.get(rounds, best) for rounds in fit.checkpoints}, curve


def _checkpoints(data: TrainingData, folds: Folds, fit: Candidates, seed: int) -> Iterator[OutOfFold]:
    """Yield the pooled out-of-fold state at each checkpoint and, with patience, every few rounds."""
    learners = [_learner(data.rows(rows), data.X[held], fit, seed) for rows, held in folds]
    order = np.argsort(np.concatenate([held for _, held in folds]))
    repeats = [len(held) for _, held in folds]
    between = range(BLOCK, max(fit.checkpoints), BLOCK) if fit.patience else ()
    found: OutOfFold | None = None
    for rounds in sorted({*between, *fit.checkpoints}):
        for learner in learners:
            learner.fit(rounds)
        latent = np.concatenate([learner.held_out() for learner in learners])[order]
        cuts = np.repeat([learner.cuts for learner in learners], repeats, axis=0)[order]
        found = OutOfFold.at(data, fit.family, rounds, latent, cuts, found)
        yield found


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
    folds: Folds,
    results: Sequence[FitResult],
    baselines: Mapping[str, BaselineResult],
    members: Sequence[Chosen],
    chosen: np.ndarray,
) -> pd.DataFrame:
    """Return candidates and baselines in one frame, lowest cross-validated log loss first.

    Baselines, and the best candidate of each family but the chosen one's, have their difference to what is
    chosen, which says `chosen` (m, K) of the rows; other rows have none. A pool is a candidate of its own.
    """
    y, rows = data.y, []
    leaders: dict[str, FitResult] = {}
    for result in sorted(results, key=lambda one: one.best.log_loss, reverse=True):
        leaders[result.best.family] = result
    if len(members) == 1:
        leaders.pop(members[0].out_of_fold.family)
    else:
        rounds = members[0].out_of_fold.rounds
        rows.append({"model": OURS, "family": "pool", "rounds": rounds, **oof_figures(chosen, y, folds)})
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
