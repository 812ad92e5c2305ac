"""The cross-validated curve of one fit: the models of all folds grown side by side.

Rounds, sigma and candidate are all chosen on the same out-of-fold rows. That flatters the chosen
candidate's own cross-validated figures a little (two or three numbers picked on all rows), which
is fine for choosing and not for reporting: report the test split, or `bench/quality.py`, which
repeats the whole search inside each outer fold.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from data.manifest import FamilyName
from flows.training.boosters import BLOCK
from flows.training.data import TrainingData
from flows.training.families.choosing import start
from flows.training.folds import Folds
from flows.training.grid import Candidates
from flows.training.heads import class_probabilities, fit_sigma
from flows.training.metrics import oof_figures


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
